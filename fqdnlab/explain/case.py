"""What is asked about: who, to where, by which protocol and port.  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from fqdnlab.errors import UsageError
from fqdnlab.explain.facts import Facts, Known, Workload
from fqdnlab.model.names import normalise
from fqdnlab.world.client_names import RecordsOf
from fqdnlab.world.store import Edit, Store
from fqdnlab.world.wire import AAAA, A, name_wire

__all__ = [
    "PROTOCOLS",
    "SOMEWHERE",
    "Case",
    "addresses_of",
    "find_workload",
    "make_case",
    "names_of",
]

#: Stands for an address that nobody knows: no policy names its network (class E).
SOMEWHERE = "240.0.0.53"
#: IP protocol numbers by the names that flows have.
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132, "ICMPv4": 1, "ICMPv6": 58}
_WORDS = {name.upper(): name for name in PROTOCOLS} | {"ICMP": "ICMPv4"}


@dataclass(frozen=True)
class Case:
    """One packet that opens a flow.

    Attributes
    ----------
    who : Workload
    address : str
        Empty: nobody knows which the name will have.
    name : str
        With its final dot; '' where only an address was given.
    protocol : str
    port : int
        The type, for ICMP.
    look_up : bool
        Whether the endpoint looks the name up before.
    """

    who: Workload
    address: str
    name: str
    protocol: str
    port: int
    look_up: bool = False

    @property
    def proto(self) -> int:
        """The protocol's number."""
        return PROTOCOLS[self.protocol]

    @property
    def about(self) -> str:
        """``web → api.example.com (198.51.100.7) 443/TCP``."""
        shown = self.name.rstrip(".") or ("." if self.name else "")
        where = f"{shown} ({self.address or 'address unknown'})" if shown else self.address
        return f"{self.who.name} → {where} {self.port}/{self.protocol}"


def find_workload(facts: Facts, name: str) -> Workload:
    """The endpoint of that name; ``namespace/name`` where two namespaces have it.

    Raises
    ------
    UsageError
        If there is none.
    """
    for who in facts.endpoints:
        if name in (who.name, f"{who.namespace}/{who.name}"):
            return who
    known = ", ".join(w.name for w in facts.endpoints) or "none"
    raise UsageError(f"there is no endpoint {name!r}", f"there are: {known}")


def make_case(facts: Facts, endpoint: str, target: str, port: int, protocol: str) -> Case:
    """The case of a forecast; see `fqdnlab.explain.forecast`."""
    word = _WORDS.get(protocol.upper())
    if word is None:
        raise UsageError(f"{protocol!r} is no protocol", f"one of {', '.join(PROTOCOLS)}")
    if not 0 <= port <= 0xFFFF:
        raise UsageError(f"{port} is no port", "expected 0 to 65535")
    who = find_workload(facts, endpoint)
    try:
        return Case(who, str(ipaddress.ip_address(target)), "", word, port)
    except ValueError:
        pass
    name = normalise(target.strip())
    family = {"ICMPv4": 4, "ICMPv6": 6}.get(word, 0)
    found = [a for a in addresses_of(facts, name) if family in (0, ipaddress.ip_address(a).version)]
    return Case(who, found[0] if found else "", name, word, port, look_up=True)


def addresses_of(facts: Facts, name: str) -> list[str]:
    """Addresses that a look-up of `name` gives, as far as anybody knows; IPv4 first."""
    if facts.zones is not None:
        return _answer(facts, name)
    every = [*(facts.mappings or ()), *facts.kept]
    found = {k.address: None for k in every if k.name == name and k.state != "zombie"}
    return sorted(found, key=lambda a: ipaddress.ip_address(a).version)


@lru_cache(maxsize=4)  # the same for all names of one moment
def _store(zones: tuple[RecordsOf, ...]) -> Store:
    store = Store()
    for r in zones:
        store.apply([Edit("put", r.name, r.type, r.values, r.ttl, server=r.server)])
    return store


def _answer(facts: Facts, name: str) -> list[str]:
    store = _store(facts.zones or ())
    server = ipaddress.ip_address(facts.server).packed
    found: list[str] = []
    for kind in (A, AAAA):
        records = store.find(server, name_wire(name.rstrip(".") or "."), kind).answer
        found += [str(ipaddress.ip_address(r.rdata)) for r in records if r.type == kind]
    return found


def names_of(facts: Facts, case: Case) -> Iterator[str]:
    """Names that the case's address has or had, the likeliest first; each once."""
    seen: set[str] = set()
    for name in _names(facts, case):
        if name and name not in seen and "*" not in name:
            seen.add(name)
            yield name


def _names(facts: Facts, case: Case) -> Iterator[str]:
    yield case.name
    for row in reversed(facts.queries or ()):
        if case.address in row["ips"] and row["endpoint"] == case.who.name:
            yield str(row["query"]).lower()
    for known in _mine_first([*facts.kept, *(facts.mappings or ())], case):
        yield known.name
    for record in facts.zones or ():
        if case.address in record.values and record.type in ("A", "AAAA"):
            yield normalise(record.name)


def _mine_first(every: list[Known], case: Case) -> list[Known]:
    here = [k for k in every if k.address == case.address]
    return sorted(here, key=lambda k: k.endpoint != case.who.name)
