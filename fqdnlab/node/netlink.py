"""Links, addresses, routes, rules and sysctls of a lab: the one importer of pyroute2.

Every function here is called in a thread that is in the namespace it works on (`netns.inside`).
Addresses are docs/architecture.md's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pyroute2 import IPRoute

from fqdnlab.node.addresses import (
    ENDPOINTS4,
    ENDPOINTS6,
    GATEWAY4,
    GATEWAY6,
    NODE4,
    NODE6,
    NODE_MAC,
    PROXY6,
    UPLINK4,
    WORLD4,
    WORLD6,
    WORLD_MAC,
    EndpointAddresses,
)
from fqdnlab.node.netns import NETNS

__all__ = [
    "drop_link",
    "link_index",
    "make_endpoint_link",
    "prepare",
    "raise_endpoint_link",
    "set_up_endpoint",
    "set_up_node",
    "set_up_world",
]

_LOCAL = 255  # table local
_PROXY_TABLE = 200
_PROXY_MARK = 0x200
_AF_INET, _AF_INET6 = 2, 10
_NODAD = 0x02  # IFA_F_NODAD
_PERMANENT = 0x80  # NUD_PERMANENT

#: No waiting for duplicate addresses, no autoconfiguration, no reverse-path check.
_COMMON = {
    f"net/{family}/conf/{scope}/{key}": value
    for scope in ("all", "default")
    for family, key, value in (
        ("ipv4", "rp_filter", "0"),
        ("ipv4", "src_valid_mark", "0"),
        ("ipv4", "send_redirects", "0"),
        ("ipv4", "accept_redirects", "0"),
        ("ipv6", "accept_dad", "0"),
        ("ipv6", "dad_transmits", "0"),
        ("ipv6", "accept_ra", "0"),
        ("ipv6", "accept_redirects", "0"),
        ("ipv6", "disable_ipv6", "0"),
        ("ipv6", "addr_gen_mode", "1"),  # no link-local address of its own making
    )
}
_NODE = {
    **_COMMON,
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
}
_ENDPOINT = {
    **_COMMON,
    "net/ipv4/ping_group_range": "0 2147483647",  # ping without a capability
    "net/ipv4/ip_unprivileged_port_start": "0",  # servers in endpoints run as the user
}
_SYSCTLS = {"node": _NODE, "world": _COMMON, "endpoint": _ENDPOINT}


def prepare(part: Literal["node", "world", "endpoint"]) -> None:
    """Say how links to come behave in this new namespace; before it has any."""
    for name, value in _SYSCTLS[part].items():
        Path("/proc/sys", name).write_text(value)


def _index(ip: IPRoute, name: str) -> int:
    found = ip.link_lookup(ifname=name)
    if not found:
        raise OSError(f"no link {name} here")
    return int(found[0])


def link_index(name: str) -> int:
    """Interface index of `name` in this namespace; 0 if there is none."""
    with IPRoute() as ip:
        found = ip.link_lookup(ifname=name)
    return int(found[0]) if found else 0


def _in_other(namespace: str, make: Callable[[int], None]) -> None:
    fd = os.open(NETNS / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        make(fd)
    finally:
        os.close(fd)


def _up(ip: IPRoute, name: str) -> int:
    index = _index(ip, name)
    ip.link("set", index=index, state="up")
    return index


def _address(ip: IPRoute, index: int, address: str, length: int) -> None:
    six = ":" in address
    flags = {"flags": _NODAD} if six else {}
    family = _AF_INET6 if six else _AF_INET
    ip.addr("add", index=index, address=address, prefixlen=length, family=family, **flags)


def _neighbour(ip: IPRoute, index: int, address: str, mac: str) -> None:
    """A neighbour known for good: no packet waits for, or is lost to, its resolution."""
    family = _AF_INET6 if ":" in address else _AF_INET
    ip.neigh("replace", dst=address, lladdr=mac, ifindex=index, state=_PERMANENT, family=family)


def set_up_node(world: str) -> None:
    """In the node's namespace: uplink to namespace `world`, routes, rules."""
    with IPRoute() as ip:
        _in_other(
            world,
            lambda fd: ip.link(
                "add",
                ifname="up0",
                kind="veth",
                address=NODE_MAC,
                peer={"ifname": "world0", "net_ns_fd": fd, "address": WORLD_MAC},
            ),
        )
        lo, uplink = _up(ip, "lo"), _up(ip, "up0")
        _address(ip, lo, GATEWAY4, 32)
        _address(ip, uplink, NODE4, 30)
        _address(ip, uplink, NODE6, 64)
        _neighbour(ip, uplink, WORLD4, WORLD_MAC)
        _neighbour(ip, uplink, WORLD6, WORLD_MAC)
        ip.route("add", dst="default", gateway=WORLD4, oif=uplink)
        ip.route("add", dst="default", gateway=WORLD6, oif=uplink, family=_AF_INET6)
        # AnyIP: the proxy of any generation finds its address here (v4: 127.0.0.0/8 is).
        _local(ip, lo, PROXY6, _LOCAL)
        # What the enforcer marks is for the proxy's sockets, whatever its address.
        for family, everything in ((_AF_INET, "0.0.0.0/0"), (_AF_INET6, "::/0")):
            _local(ip, lo, everything, _PROXY_TABLE)
            ip.rule(
                "add",
                family=family,
                table=_PROXY_TABLE,
                priority=100,
                fwmark=_PROXY_MARK,
                fwmask=0xFFFFFFFF,  # the proxy's own mark, 0x300, has that bit too
            )


def _local(ip: IPRoute, lo: int, prefix: str, table: int) -> None:
    family = _AF_INET6 if ":" in prefix else _AF_INET
    ip.route("add", dst=prefix, oif=lo, table=table, type="local", scope=254, family=family)


def set_up_world() -> None:
    """In the world's namespace: every address is local, but the endpoints and the node."""
    with IPRoute() as ip:
        lo, link = _up(ip, "lo"), _up(ip, "world0")
        _address(ip, link, WORLD4, 30)
        _address(ip, link, WORLD6, 64)
        _neighbour(ip, link, NODE4, NODE_MAC)
        _neighbour(ip, link, NODE6, NODE_MAC)
        # In table local, beside the route that makes everything local: a longer prefix wins.
        ip.route("add", dst=UPLINK4, oif=link, table=_LOCAL, scope=253)
        ip.route("add", dst=f"{NODE6}/128", oif=link, table=_LOCAL, family=_AF_INET6)
        ip.route("add", dst=ENDPOINTS4, gateway=NODE4, oif=link, table=_LOCAL)
        ip.route("add", dst=ENDPOINTS6, gateway=NODE6, oif=link, table=_LOCAL, family=_AF_INET6)
        _local(ip, lo, "0.0.0.0/0", _LOCAL)
        _local(ip, lo, "::/0", _LOCAL)


def make_endpoint_link(endpoint: EndpointAddresses, namespace: str) -> int:
    """In the node's namespace: the veth of an endpoint, down; returns its index here."""
    with IPRoute() as ip:
        _in_other(
            namespace,
            lambda fd: ip.link(
                "add",
                ifname=endpoint.ifname,
                kind="veth",
                address=endpoint.node_mac,
                peer={"ifname": "eth0", "net_ns_fd": fd, "address": endpoint.mac},
            ),
        )
        return _index(ip, endpoint.ifname)


def set_up_endpoint(endpoint: EndpointAddresses) -> None:
    """In the endpoint's namespace: addresses and routes; nothing passes until the far end is up."""
    with IPRoute() as ip:
        _up(ip, "lo")
        link = _up(ip, "eth0")
        _address(ip, link, endpoint.ip4, 32)
        _address(ip, link, endpoint.ip6, 128)
        _neighbour(ip, link, GATEWAY4, endpoint.node_mac)
        _neighbour(ip, link, GATEWAY6, endpoint.node_mac)
        ip.route("add", dst=f"{GATEWAY4}/32", oif=link, scope=253)
        ip.route("add", dst="default", gateway=GATEWAY4, oif=link)
        ip.route("add", dst="default", gateway=GATEWAY6, oif=link, family=_AF_INET6)


def raise_endpoint_link(endpoint: EndpointAddresses) -> None:
    """In the node's namespace: set the endpoint's link up, with its addresses and routes."""
    with IPRoute() as ip:
        link = _up(ip, endpoint.ifname)
        _address(ip, link, GATEWAY6, 64)
        _neighbour(ip, link, endpoint.ip4, endpoint.mac)
        _neighbour(ip, link, endpoint.ip6, endpoint.mac)
        ip.route("replace", dst=f"{endpoint.ip4}/32", oif=link, scope=253)
        ip.route("replace", dst=f"{endpoint.ip6}/128", oif=link, family=_AF_INET6)


def drop_link(name: str) -> None:
    """Remove a link of this namespace with all that hangs on it; nothing if it is gone."""
    with IPRoute() as ip:
        for index in ip.link_lookup(ifname=name):
            ip.link("del", index=index)
