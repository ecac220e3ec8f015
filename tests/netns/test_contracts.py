"""Short promises of the contracts that no other test would miss."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fqdnlab.lab.machine import machine_service
from fqdnlab.testing import eventually
from tests.node_kit import NodeLab, lab

PORT = 40053
_IPV6_FREEBIND = 78  # every address is the world's, and none is on an interface


@pytest.fixture(scope="module")
def node() -> Iterator[NodeLab]:
    with machine_service() as client, lab(client, f"contracts-{os.getpid()}") as made:
        made.endpoint("web", app="web")
        yield made


def bound(node: NodeLab, part: str, address: str) -> socket.socket:
    """A UDP socket of a namespace of the lab."""

    def make() -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        made.bind((address, PORT))
        made.settimeout(0.2)
        return made

    return node.inside(part, make)


def came(sock: socket.socket) -> bytes:
    try:
        return sock.recv(100)
    except TimeoutError:
        return b""


@pytest.mark.parametrize(
    ("any_address", "source"), [("0.0.0.0", "198.51.100.7"), ("::", "2001:db8::7")]
)
def test_what_is_for_an_endpoint_is_no_wildcard_sockets(
    node: NodeLab, any_address: str, source: str
) -> None:
    """Upstream answers are assigned only to a socket that is bound to the endpoint's address."""
    web = node.endpoints()["web"]
    target = web.ip6 if ":" in source else web.ip4
    with (
        bound(node, "node", any_address) as nodes,
        bound(node, "ep-web", target) as endpoints,
        bound(node, "world", source) as worlds,
    ):

        def arrives() -> bool:
            worlds.sendto(b"hello", (target, PORT))
            return came(endpoints) == b"hello"

        eventually(arrives, 10, "the datagram at the endpoint")
        assert came(nodes) == b""


def test_the_nodes_own_settings(node: NodeLab) -> None:
    wanted = {
        "ipv4/ip_forward": "1",
        "ipv6/conf/all/forwarding": "1",
        "ipv4/conf/all/rp_filter": "0",
        "ipv4/conf/up0/rp_filter": "0",
        "ipv4/conf/lxc1/rp_filter": "0",
        "ipv4/conf/all/src_valid_mark": "0",
        "ipv4/conf/all/accept_source_route": "0",
    }

    def read() -> dict[str, str]:
        return {name: Path("/proc/sys/net", name).read_text().strip() for name in wanted}

    assert node.inside("node", read) == wanted
