"""The addresses of a lab (docs/architecture.md, "Namespaces and addresses"); pure."""

from __future__ import annotations

from typing import NamedTuple

from fqdnlab.errors import UsageError

__all__ = [
    "ENDPOINTS4",
    "ENDPOINTS6",
    "GATEWAY4",
    "GATEWAY6",
    "MAX_ENDPOINT",
    "NODE4",
    "NODE6",
    "NODE_MAC",
    "PROXY6",
    "RESOLVER4",
    "RESOLVER6",
    "UPLINK4",
    "WORLD4",
    "WORLD6",
    "WORLD_MAC",
    "EndpointAddresses",
    "endpoint_addresses",
]

ENDPOINTS4, ENDPOINTS6 = "10.10.0.0/16", "fd10::/64"
GATEWAY4, GATEWAY6 = "10.10.255.254", "fe80::1"
UPLINK4 = "172.31.0.0/30"
NODE4, NODE6 = "172.31.0.1", "fd31::1"
WORLD4, WORLD6 = "172.31.0.2", "fd31::2"
RESOLVER4, RESOLVER6 = "10.96.0.10", "fd96::10"
PROXY6 = "fd00:53::/120"
#: Locally administered; equal in every lab, as no two labs share a link.
NODE_MAC, WORLD_MAC = "02:31:00:00:00:01", "02:31:00:00:00:02"
#: bpf/abi.h: MAX_ENDPOINTS - 1.
MAX_ENDPOINT = 1023


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


def endpoint_addresses(number: int) -> EndpointAddresses:
    """Addresses of endpoint `number`.

    Raises
    ------
    UsageError
        Unless it is 1 … `MAX_ENDPOINT`.
    """
    if not 1 <= number <= MAX_ENDPOINT:
        raise UsageError(f"no endpoint {number}: a lab has at most {MAX_ENDPOINT}")
    high, low = divmod(number, 256)
    return EndpointAddresses(
        ifname=f"lxc{number}",
        ip4=f"10.10.{high}.{low}",
        ip6=f"fd10::{number:x}",
        mac=f"02:10:00:00:{high:02x}:{low:02x}",
        node_mac=f"02:11:00:00:{high:02x}:{low:02x}",
    )
