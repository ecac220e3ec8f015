"""Crafted frames through a living lab: sent at an endpoint's interface, seen in the world."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fqdnlab.datapath.maps import Maps
from tests.node_kit import NodeLab

from .packets import packed

ALLOWED, DENIED_TO = "198.51.100.7", "203.0.113.7"
ALLOWED6, DENIED6 = "2001:db8:1::7", "2001:db8:2::7"

POLICY = f"""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: live}}
spec:
  endpointSelector: {{matchLabels: {{app: web}}}}
  egress:
  - toCIDR: [{ALLOWED}/32, "{ALLOWED6}/128"]
    toPorts: [{{ports: [{{port: "9000", protocol: ANY}}]}}]
"""


def drops(node: NodeLab) -> dict[int, int]:
    """Packets dropped, by reason, as the kernel counts them."""
    with Maps(node.paths.bpf) as maps:
        return {reason: packets for reason, (packets, _) in maps.drops().items()}


class Wire:
    """The endpoint's end of its veth, by a raw socket of root's."""

    def __init__(self, node: NodeLab, endpoint: str) -> None:
        def open_raw() -> tuple[socket.socket, bytes]:
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            raw.bind(("eth0", 0))
            return raw, raw.getsockname()[4]

        self._raw, mine = node.inside(f"ep-{endpoint}", open_raw)
        sysfs = node.inside(f"ep-{endpoint}", _gateway_mac)
        self.head = bytes.fromhex(sysfs.replace(":", "")) + mine

    def send(self, frame: bytes) -> None:
        """Send `frame` with the addresses of this link in place of its own."""
        self._raw.send(self.head + frame[12:])

    def close(self) -> None:
        self._raw.close()


def _gateway_mac() -> str:
    for line in Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]:
        address, _, _, mac, *_ = line.split()
        if address == "10.10.255.254":
            return mac
    raise AssertionError("the gateway is no neighbour")


class Ear:
    """What arrives in the world, by a raw socket on its link."""

    def __init__(self, node: NodeLab) -> None:
        def open_raw() -> socket.socket:
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            raw.bind(("world0", 3))
            return raw

        self._raw = node.inside("world", open_raw)
        self._raw.settimeout(0.05)

    def hears(self, payload: bytes, to: str, seconds: float = 3.0) -> bool:
        """Whether an IP packet to `to` with `payload` in it arrives in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                frame = self._raw.recv(4096)
            except TimeoutError:
                continue
            if payload in frame and packed(to) in frame[14:54]:
                return True
        return False

    def close(self) -> None:
        self._raw.close()


@contextmanager
def wire_and_ear(node: NodeLab, endpoint: str) -> Iterator[tuple[Wire, Ear]]:
    wire, ear = Wire(node, endpoint), Ear(node)
    try:
        yield wire, ear
    finally:
        wire.close()
        ear.close()


def reaches(node: NodeLab, endpoint: str, to: str, port: int = 9000, seconds: float = 1.0) -> bool:
    """Whether a connection gets an answer at all: nobody listens there, so it is refused."""

    def make() -> socket.socket:
        return socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET)

    with node.inside(f"ep-{endpoint}", make) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect((to, port))
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
    raise AssertionError(f"somebody listens at {to}:{port}")
