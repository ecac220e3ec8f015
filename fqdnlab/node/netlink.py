"""Links, addresses, routes and rules of a lab: the one importer of pyroute2.

Every function here is called in a thread that is in the namespace it works on (`netns.inside`).
Addresses are docs/architecture.md's.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fqdnlab.errors import SetupError, StateError
from fqdnlab.node.addresses import (
    CLUSTER4,
    CLUSTER6,
    GATEWAY4,
    GATEWAY6,
    PROXY6,
    EndpointAddresses,
    NodeAddresses,
    node_addresses,
)
from fqdnlab.node.netns import NETNS

__all__ = [
    "MACHINE_LINK",
    "UPLINK",
    "End",
    "Underlay",
    "drop_link",
    "link_index",
    "make_endpoint_link",
    "make_veth",
    "make_vxlan",
    "raise_endpoint_link",
    "set_up_endpoint",
    "set_up_machine",
    "set_up_node",
    "set_up_world",
    "underlay",
]

#: The node's end of its link to the world.
UPLINK = "up0"
#: The link of an endpoint that is a whole machine, there.
MACHINE_LINK = "fql0"
#: Two halves are nearer than any default route of the machine's own, which stays as it is.
_HALVES4, _HALVES6 = ("0.0.0.0/1", "128.0.0.0/1"), ("::/1", "8000::/1")
_VXLAN_PORT, _VXLAN_OCTETS = 4789, 50
_LEAST_MTU = 1280  # IPv6's
_UNREACHABLE = 7  # RTN_UNREACHABLE
_LOCAL = 255  # table local
_PROXY_TABLE = 200
_PROXY_MARK = 0x200
_AF_INET, _AF_INET6 = 2, 10
_NODAD = 0x02  # IFA_F_NODAD
_PERMANENT = 0x80  # NUD_PERMANENT


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


class Underlay(NamedTuple):
    """What carries VXLANs: a link of the machine, this machine's address and network there, its
    MTU.
    """

    ifindex: int
    address: str
    network: str
    mtu: int


class End(NamedTuple):
    """One end of a link: the namespace it is in (empty: the machine's own), its name and its MAC
    address.
    """

    namespace: str
    ifname: str
    mac: str


def underlay(device: str, address: str) -> Underlay:
    """In the machine's own namespace: the link that leads to the other machines.

    Raises
    ------
    SetupError
        If it is not there, or has not that address.
    """
    with IPRoute() as ip:
        found = ip.link_lookup(ifname=device)
        if not found:
            raise SetupError(f"no link {device} on this machine", "mend place.json: device")
        index = int(found[0])
        found = ip.get_addr(index=index, family=_AF_INET)
        own = {a.get_attr("IFA_ADDRESS"): a["prefixlen"] for a in found}
        mtu = int(ip.get_links(index)[0].get_attr("IFLA_MTU"))
    if address not in own:
        has = ", ".join(own) or "none"
        raise SetupError(f"{device} has not the address {address} but {has}", "mend place.json")
    if mtu - _VXLAN_OCTETS < _LEAST_MTU:
        raise SetupError(
            f"the MTU of {device} is {mtu}, too small for IPv6 in a VXLAN",
            f"set it to {_LEAST_MTU + _VXLAN_OCTETS} or more",
        )
    return Underlay(index, address, f"{address}/{own[address]}", mtu)


def make_vxlan(end: End, number: int, below: Underlay, far: str) -> None:
    """In the machine's own namespace: a VXLAN to the machine `far`, which begins in the lab's.

    It is made where it belongs, so nothing is left here; what it carries comes and goes here.

    Raises
    ------
    StateError
        If there is a VXLAN of that number.
    OSError
        If the kernel refuses.
    """

    def make(fd: int | None) -> None:
        where = {} if fd is None else {"net_ns_fd": fd}
        ip.link(
            "add",
            ifname=end.ifname,
            kind="vxlan",
            address=end.mac,
            mtu=below.mtu - _VXLAN_OCTETS,
            **where,
            vxlan_id=number,
            vxlan_link=below.ifindex,
            vxlan_local=below.address,
            vxlan_group=far,
            vxlan_port=_VXLAN_PORT,
            vxlan_learning=0,
        )

    with IPRoute() as ip:
        try:
            if end.namespace:
                _in_other(end.namespace, make)
            else:
                make(None)
        except NetlinkError as error:
            if error.code == errno.EEXIST:
                raise StateError(
                    f"the VXLAN {number} of this lab is taken on this machine",
                    "give the lab another name; fqdnlab clean, if no other lab is here",
                ) from error
            raise OSError(error.code, f"make VXLAN {number} to {far}: {error}") from error


def make_veth(addresses: NodeAddresses, world: str) -> None:
    """In the node's namespace: its link to the world in namespace `world`."""
    peer = {"ifname": addresses.world_link, "address": addresses.world_mac}
    with IPRoute() as ip:
        _in_other(
            world,
            lambda fd: ip.link(
                "add",
                ifname=UPLINK,
                kind="veth",
                address=addresses.node_mac,
                peer={**peer, "net_ns_fd": fd},
            ),
        )


def set_up_node(index: int) -> None:
    """In the namespace of the node `index`: addresses, routes, rules; its uplink is there."""
    own = node_addresses(index)
    with IPRoute() as ip:
        lo, uplink = _up(ip, "lo"), _up(ip, UPLINK)
        _address(ip, lo, GATEWAY4, 32)
        _address(ip, uplink, own.node4, 30)
        _address(ip, uplink, own.node6, 64)
        _neighbour(ip, uplink, own.world4, own.world_mac)
        _neighbour(ip, uplink, own.world6, own.world_mac)
        ip.route("add", dst="default", gateway=own.world4, oif=uplink)
        ip.route("add", dst="default", gateway=own.world6, oif=uplink, family=_AF_INET6)
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


def set_up_world(indices: Sequence[int]) -> None:
    """In the world's namespace: every address is local, but the cluster's and the nodes'."""
    with IPRoute() as ip:
        lo = _up(ip, "lo")
        for index in indices:
            _to_node(ip, node_addresses(index))
        for family, cluster in ((_AF_INET, CLUSTER4), (_AF_INET6, CLUSTER6)):
            ip.route("add", dst=cluster, table=_LOCAL, type=_UNREACHABLE, family=family)
        _local(ip, lo, "0.0.0.0/0", _LOCAL)
        _local(ip, lo, "::/0", _LOCAL)


def _to_node(ip: IPRoute, node: NodeAddresses) -> None:
    """Routes in table local, beside the one that makes all local: a longer prefix wins."""
    link = _up(ip, node.world_link)
    _address(ip, link, node.world4, 30)
    _address(ip, link, node.world6, 64)
    _neighbour(ip, link, node.node4, node.node_mac)
    _neighbour(ip, link, node.node6, node.node_mac)
    ip.route("add", dst=node.uplink4, oif=link, table=_LOCAL, scope=253)
    ip.route("add", dst=f"{node.node6}/128", oif=link, table=_LOCAL, family=_AF_INET6)
    for to, gateway in ((node.endpoints4, node.node4), (node.endpoints6, node.node6)):
        family = _AF_INET6 if ":" in to else _AF_INET
        ip.route("add", dst=to, gateway=gateway, oif=link, table=_LOCAL, family=family)


def make_endpoint_link(endpoint: EndpointAddresses, namespace: str) -> int:
    """In the node's namespace: the veth of an endpoint, down; returns its index here.

    It takes what the uplink takes, so that an endpoint never sends what must be cut up.
    """
    with IPRoute() as ip:
        mtu = int(ip.get_links(_index(ip, UPLINK))[0].get_attr("IFLA_MTU"))
        _in_other(
            namespace,
            lambda fd: ip.link(
                "add",
                ifname=endpoint.ifname,
                kind="veth",
                address=endpoint.node_mac,
                mtu=mtu,
                peer={"ifname": "eth0", "net_ns_fd": fd, "address": endpoint.mac, "mtu": mtu},
            ),
        )
        return _index(ip, endpoint.ifname)


def set_up_endpoint(endpoint: EndpointAddresses) -> None:
    """In the endpoint's namespace: addresses and routes; nothing passes until the far end is up."""
    with IPRoute() as ip:
        _up(ip, "lo")
        _set_up(ip, "eth0", endpoint, ("default",), ("default",))


def set_up_machine(endpoint: EndpointAddresses) -> None:
    """In the own namespace of a machine that is an endpoint: the same, beside its other links.

    Raises
    ------
    SetupError
        If routes of its own are in the way.
    """
    with IPRoute() as ip:
        try:
            _set_up(ip, MACHINE_LINK, endpoint, _HALVES4, _HALVES6)
        except NetlinkError as error:
            text = f"this machine's own routes do not let {MACHINE_LINK} be its way out: {error}"
            raise SetupError(text, "is there a VPN? end it") from error


def _set_up(
    ip: IPRoute, ifname: str, own: EndpointAddresses, to4: Sequence[str], to6: Sequence[str]
) -> None:
    link = _up(ip, ifname)
    _address(ip, link, own.ip4, 32)
    _address(ip, link, own.ip6, 128)
    _neighbour(ip, link, GATEWAY4, own.node_mac)
    _neighbour(ip, link, GATEWAY6, own.node_mac)
    ip.route("add", dst=f"{GATEWAY4}/32", oif=link, scope=253)
    for to in to4:
        ip.route("add", dst=to, gateway=GATEWAY4, oif=link, prefsrc=own.ip4)
    for to in to6:
        ip.route("add", dst=to, gateway=GATEWAY6, oif=link, prefsrc=own.ip6, family=_AF_INET6)


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
