"""A lab's links to other machines: a node's to its world, and to endpoints that are machines."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from fqdnlab.errors import UsageError
from fqdnlab.model.place import Place
from fqdnlab.node import netlink, netns
from fqdnlab.node.addresses import EndpointAddresses, node_addresses, vxlan_id

__all__ = ["make_links", "make_machine_link", "world_nodes"]


def world_nodes(place: Place) -> tuple[int, ...]:
    """Indices of the nodes that the world of a lab at `place` has a link to."""
    return tuple(place.links) if place.role == "internet" else (place.index,)


def make_links(lab: str, place: Place, names: Mapping[str, str]) -> None:
    """Make the links of a new lab, down; called in the machine's own network namespace.

    Parameters
    ----------
    lab : str
    place : Place
    names : mapping
        ``node`` and ``world`` → the name of that namespace; of those that are here.

    Raises
    ------
    SetupError
        If the device that `place` names, or its address, is not there.
    StateError
        If the lab's VXLAN is taken.
    OSError
        If the kernel refuses.
    """
    if place.role == "whole":
        addresses = node_addresses(place.index)
        netns.inside(names["node"], lambda: netlink.make_veth(addresses, names["world"]))
        return
    underlay = netlink.underlay(place.device, place.address)
    for index, far in place.links.items():
        addresses, vxlan = node_addresses(index), vxlan_id(lab, index)
        if place.role == "node":
            end = netlink.End(names["node"], netlink.UPLINK, addresses.node_mac)
        else:
            end = netlink.End(names["world"], addresses.world_link, addresses.world_mac)
        netlink.make_vxlan(end, vxlan, underlay, far)


def make_machine_link(
    lab: str, place: Place, node: str, endpoint: EndpointAddresses, far: str
) -> int:
    """Make the node's side of the link of an endpoint that is a machine, down; its index.

    Parameters
    ----------
    lab : str
    place : Place
        Of the node.
    node : str
        Name of its namespace.
    endpoint : EndpointAddresses
    far : str
        The machine's address.

    Raises
    ------
    UsageError
        If there can be no such machine there.
    SetupError, StateError, OSError
        As `make_links`.
    """
    if place.role != "node":
        raise UsageError("no link leads to other machines here", "leave machine= out")
    below = netlink.underlay(place.device, place.address)
    try:
        known = ipaddress.IPv4Address(far) in ipaddress.ip_interface(below.network).network
    except ValueError:
        known = False
    if not known or far in (place.address, place.peer):
        raise UsageError(f"{far!r} is no address of a machine beside {below.network}")
    end = netlink.End(node, endpoint.ifname, endpoint.node_mac)
    netlink.make_vxlan(end, vxlan_id(lab, far), below, far)
    return netns.inside(node, lambda: netlink.link_index(endpoint.ifname))
