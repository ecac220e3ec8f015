"""What a machine is to labs: all of one, a node, the internet, or an endpoint.  Pure."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from fqdnlab.errors import SetupError

__all__ = ["MAX_NODES", "ROLES", "Place", "node_name"]

#: Role → the processes that run there, in the order in which they are needed.
_PROCESSES: dict[str, tuple[str, ...]] = {
    "whole": ("world", "agent", "observer", "proxy"),
    "node": ("agent", "observer", "proxy"),
    "internet": ("world",),
    "client": (),
}
#: Role → the network namespaces that a lab has there, beside those of endpoints.
_NAMESPACES: dict[str, tuple[str, ...]] = {
    "whole": ("node", "world"),
    "node": ("node",),
    "internet": ("world",),
    "client": (),
}
ROLES = tuple(_PROCESSES)
#: Role → what else its place says.
_OWN = {
    "whole": frozenset({"units"}),
    "node": frozenset({"units", "index", "device", "address", "peer"}),
    "internet": frozenset({"units", "device", "address", "nodes"}),
    "client": frozenset({"units", "index", "device", "address", "peer"}),
}
#: Each has 1,024 addresses of 10.10.0.0/16, and the last of these is the endpoints' gateway.
MAX_NODES = 63
_DEVICE = re.compile(r"[^\s/:]{1,15}\Z")
_REMEDY = 'docs/architecture.md, "Machines", says what it must hold'


def node_name(index: int) -> str:
    """Name of the node of that index: ``node``, ``node2`` …"""
    return "node" if index == 1 else f"node{index}"


@dataclass(frozen=True)
class Place:
    """What a machine is to the labs on it.

    Attributes
    ----------
    role : str
        ``whole`` (all of a lab is here), ``node``, ``internet`` or ``client`` (the machine is an
        endpoint).
    index : int
        Which node, from 1; addresses follow from it.  A client's: which node is its peer.
    device : str
        The link that leads to the other machines.
    address : str
        This machine's IPv4 address there.
    peer : str
        A node's: the internet's address.  A client's: its node's.
    nodes : tuple of str
        The internet's: the nodes' addresses, that of index 1 first.
    units : bool
        Whether processes are started as scope units of systemd.
    """

    role: str = "whole"
    index: int = 1
    device: str = ""
    address: str = ""
    peer: str = ""
    nodes: tuple[str, ...] = ()
    units: bool = False

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes of a lab that run here, in the order in which they are needed."""
        return _PROCESSES[self.role]

    @property
    def namespaces(self) -> tuple[str, ...]:
        """What a lab's namespaces here are for: ``node``, ``world``."""
        return _NAMESPACES[self.role]

    @property
    def name(self) -> str:
        """``node``, ``node2`` …, ``internet`` or ``client``."""
        return self.role if self.role in ("internet", "client") else node_name(self.index)

    @property
    def links(self) -> dict[int, str]:
        """Index of each node that a lab has a link to or from here → address of its far end."""
        if self.role == "internet":
            return dict(enumerate(self.nodes, 1))
        return {self.index: self.peer} if self.peer else {}

    def to_json(self) -> str:
        """For a command line."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, where: str = "the place") -> Place:
        """Read and check it.

        Parameters
        ----------
        text : str
            A JSON object with the attributes' names; missing ones: their default.
        where : str
            Where it comes from, for messages.

        Raises
        ------
        SetupError
            If it is none.
        """
        try:
            given = json.loads(text)
        except ValueError as error:
            raise SetupError(f"{where} is no JSON: {error}", _REMEDY) from error
        wrong = "it must be a JSON object" if not isinstance(given, dict) else _wrong(given)
        if wrong:
            raise SetupError(f"{where}: {wrong}", _REMEDY)
        return cls(**{**given, "nodes": tuple(given.get("nodes", ()))})


def _wrong(given: dict[str, Any]) -> str:
    """What is wrong with the object, in words; empty if nothing is."""
    unknown = sorted(set(given) - {f.name for f in fields(Place)})
    if unknown:
        return f"unknown: {', '.join(unknown)}"
    role, index = given.get("role", "whole"), given.get("index", 1)
    if not isinstance(role, str) or role not in ROLES:
        return f"role must be one of {', '.join(ROLES)}, not {role!r}"
    default = json.loads(Place().to_json())
    strange = sorted(
        name for name in set(given) - _OWN[role] - {"role"} if given[name] != default[name]
    )
    if strange:
        return f"role {role} takes no {', '.join(strange)}"
    if type(index) is not int or not 1 <= index <= MAX_NODES:
        return f"index must be 1 … {MAX_NODES}, not {index!r}"
    if type(given.get("units", False)) is not bool:
        return f"units must be true or false, not {given['units']!r}"
    return "" if role == "whole" else _wrong_link(role, given)


def _wrong_link(role: str, given: dict[str, Any]) -> str:
    device, nodes = given.get("device"), given.get("nodes")
    if not isinstance(device, str) or not _DEVICE.match(device):
        return f"device must name a link, as eth1, not {device!r}"
    wanted = [("address", given.get("address"))]
    if role != "internet":
        wanted.append(("peer", given.get("peer")))
    elif not isinstance(nodes, list) or not 1 <= len(nodes) <= MAX_NODES:
        return f"nodes must be a list of 1 … {MAX_NODES} addresses, not {nodes!r}"
    else:
        wanted += [(f"nodes[{number}]", node) for number, node in enumerate(nodes)]
    for name, text in wanted:
        if not _is_address(text):
            return f"{name} must be an IPv4 address, not {text!r}"
    values = [str(text) for _, text in wanted]
    if len(set(values)) < len(values):
        return f"each machine has an address of its own, not {', '.join(values)}"
    return ""


def _is_address(text: object) -> bool:
    try:
        return isinstance(text, str) and str(ipaddress.IPv4Address(text)) == text
    except ValueError:
        return False
