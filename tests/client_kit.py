"""A whole machine as an endpoint, for tests: what any process there does and sees."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from fqdnlab.lab import Lab
from fqdnlab.node import netns as namespaces
from fqdnlab.testing import eventually
from tests.lab_kit import PATIENCE, Site
from tests.split_kit import D, Machine, SplitLab, ip

T = TypeVar("T")


class ClientSite(Site):
    """Plain sockets of the whole machine, as of any process there."""

    def __init__(self, lab: Lab, machine: Machine) -> None:
        super().__init__(lab)
        self.machine = machine

    def inside(self, endpoint: str, function: Callable[[], T]) -> T:
        return namespaces.inside(f"/proc/{self.machine.pid}/ns/net", function)


def there(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program as anybody on that machine would."""
    enter = ["nsenter", "-t", str(machine.pid), "-r", "-m", "-p", "-n", "--", *words]
    return subprocess.run(enter, capture_output=True, text=True, timeout=30)


def routes(machine: Machine) -> list[str]:
    """All routes and rules but what counts down."""
    told = [
        ip(machine.pid, "-o", *family, what, "show", *more)
        for family in ((), ("-6",))
        for what, more in (("route", ("table", "all")), ("rule", ()))
    ]
    return sorted(line.split(" expires ")[0] for text in told for line in text.splitlines())


def state_of(machine: Machine) -> dict[str, Any]:
    """What joining a lab may change and leaving must give back."""
    files = ("/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt")
    seen = {file: there(machine, "cat", file).stdout for file in files}
    mounts = there(machine, "cat", "/proc/self/mountinfo").stdout
    targets = sorted(line.split()[4] for line in mounts.splitlines())
    return {**seen, "routes": routes(machine), "links": machine.links(), "mounts": targets}


def settled_state_of(machine: Machine) -> dict[str, Any]:
    asked = ("-6", "-o", "address", "show", "tentative")
    eventually(lambda: not ip(machine.pid, *asked), 20, "addresses that are settled")
    return state_of(machine)


def tap(machine: Machine) -> socket.socket:
    """What comes by the client's link for ssh, at its far end."""
    space, kind = f"/proc/{machine.pid}/ns/net", socket.htons(3)  # ETH_P_ALL
    made = namespaces.inside(
        space, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, kind)
    )
    made.bind(("ssh1", 3))
    made.setblocking(False)
    return made


def seen(from_tap: socket.socket, addresses: list[str]) -> set[str]:
    """Those of the addresses that packets went to."""
    found: set[str] = set()
    while True:
        try:
            packet = from_tap.recv(65536)
        except BlockingIOError:
            return found
        to = packet[24:40] if packet[0] >> 4 == 6 else packet[16:20]
        found |= {a for a in addresses if ipaddress.ip_address(a).packed == to}


def exchange(site: Site, endpoint: str, world: SplitLab) -> None:
    """4 MiB of TCP there and back, whole: through both VXLANs, in pieces as large as they get."""
    sent = os.urandom(4 << 20)
    listener = world.inside("world", lambda: socket.create_server((D, 4243)))

    def serve() -> None:
        with listener, listener.accept()[0] as accepted:
            accepted.settimeout(30)
            accepted.sendall(_received(accepted, len(sent)))

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    dial = lambda: socket.create_connection((D, 4243), PATIENCE)  # noqa: E731
    with site.inside(endpoint, dial) as mine:
        mine.settimeout(30)
        mine.sendall(sent)
        assert _received(mine, len(sent)) == sent
    server.join(30)


def _received(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length and (got := connection.recv(1 << 16)):
        data += got
    return bytes(data)
