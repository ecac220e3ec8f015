"""The addresses of a lab (docs/architecture.md, "Namespaces and addresses"); pure."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from fqdnlab.errors import UsageError

__all__ = [
    "CLUSTER4",
    "CLUSTER6",
    "GATEWAY4",
    "GATEWAY6",
    "MAX_ENDPOINT",
    "PROXY6",
    "RESOLVER4",
    "RESOLVER6",
    "EndpointAddresses",
    "NodeAddresses",
    "endpoint_addresses",
    "node_addresses",
    "vxlan_id",
]

#: Where the endpoints of all nodes have theirs.
CLUSTER4, CLUSTER6 = "10.10.0.0/16", "fd10::/64"
GATEWAY4, GATEWAY6 = "10.10.255.254", "fe80::1"
RESOLVER4, RESOLVER6 = "10.96.0.10", "fd96::10"
PROXY6 = "fd00:53::/120"
#: bpf/abi.h: MAX_ENDPOINTS - 1.
MAX_ENDPOINT = 1023
_BLOCK = MAX_ENDPOINT + 1  # addresses of a node's endpoints


class NodeAddresses(NamedTuple):
    """What follows from a node's index.

    Attributes
    ----------
    endpoints4, endpoints6 : str
        Where its endpoints have their addresses.
    uplink4 : str
        The network of the link to the world.
    node4, node6, node_mac : str
        Its own end.
    world4, world6, world_mac : str
        The world's end.
    world_link : str
        Name of the world's end.
    """

    endpoints4: str
    endpoints6: str
    uplink4: str
    node4: str
    node6: str
    node_mac: str
    world4: str
    world6: str
    world_mac: str
    world_link: str


def node_addresses(index: int) -> NodeAddresses:
    """Addresses of the node `index` (1 … `model.place.MAX_NODES`) and of its link to the world."""
    block, link = _BLOCK * (index - 1), 4 * (index - 1)
    network6 = f"fd31:0:0:{index - 1:x}:" if index > 1 else "fd31:"
    return NodeAddresses(
        endpoints4=f"10.10.{block // 256}.0/22",
        endpoints6=f"fd10::{block:x}/118" if block else "fd10::/118",
        uplink4=f"172.31.0.{link}/30",
        node4=f"172.31.0.{link + 1}",
        node6=f"{network6}:1",
        # Locally administered; equal in every lab, as no two labs share a link.
        node_mac=f"02:31:00:00:{index - 1:02x}:01",
        world4=f"172.31.0.{link + 2}",
        world6=f"{network6}:2",
        world_mac=f"02:31:00:00:{index - 1:02x}:02",
        world_link=f"world{index - 1}",
    )


def vxlan_id(lab: str, far: int | str) -> int:
    """Number of a VXLAN of the lab: of its node of the index `far` with the world on another
    machine, or of the endpoint that is the machine with the address `far`.
    """
    digest = hashlib.sha256(f"{lab}/{far}".encode()).digest()
    return int.from_bytes(digest[:3], "big") or 1


class EndpointAddresses(NamedTuple):
    """What follows from an endpoint's number.

    Attributes
    ----------
    ifname : str
        The node's side of the veth.
    ip4, ip6 : str
        Without prefix length.
    mac, node_mac : str
        Of ``eth0`` and of the node's side.
    """

    ifname: str
    ip4: str
    ip6: str
    mac: str
    node_mac: str


def endpoint_addresses(number: int, index: int = 1) -> EndpointAddresses:
    """Addresses of endpoint `number` of the node `index`.

    Raises
    ------
    UsageError
        Unless the number is 1 … `MAX_ENDPOINT`.
    """
    if not 1 <= number <= MAX_ENDPOINT:
        raise UsageError(f"no endpoint {number}: a node has at most {MAX_ENDPOINT}")
    high, low = divmod(number, 256)
    place = _BLOCK * (index - 1) + number
    return EndpointAddresses(
        ifname=f"lxc{number}",
        ip4=f"10.10.{place // 256}.{place % 256}",
        ip6=f"fd10::{place:x}",
        mac=f"02:10:00:00:{high:02x}:{low:02x}",
        node_mac=f"02:11:00:00:{high:02x}:{low:02x}",
    )
