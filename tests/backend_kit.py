"""Backends for tests of the client: over links that can be lost, and of machines of their own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fqdnlab.lab.backends import Backend, NodeSockets
from fqdnlab.lab.backends.netns import NetnsBackend
from fqdnlab.paths import LabPaths
from fqdnlab.pb import control_pb2 as pb
from tests.split_kit import Machine

SERVICES = ("node", "agent", "observer", "world")


class Relay:
    """Carries what comes at `path` to `target`, as ssh does: it accepts first, and closes if nobody
    is there.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self.path, self._target = path, target
        self._open: list[socket.socket] = []
        self.start()

    def start(self) -> None:
        """Accept connections."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                far.connect(str(self._target))
            except OSError:
                near.close()
                far.close()
                continue
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()

    def stop(self) -> None:
        """Lose the link: nobody is at `path`, and what was under way is cut."""
        _end(self._listener)
        self._thread.join(10)
        self.path.unlink(missing_ok=True)
        for one in self._open:
            _end(one)
        self._open.clear()


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while octets := one.recv(65536):
            other.sendall(octets)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Linked(NetnsBackend):
    """This machine's labs, reached by links that can be lost; the node's clock is said to be ahead.

    Parameters
    ----------
    folder : Path
        For the links' sockets.
    ahead : float
        Seconds.
    """

    name = "linked"
    world_link = "the link to internet"

    def __init__(self, folder: Path, ahead: float) -> None:
        super().__init__()
        self._folder, self._ahead = folder, ahead
        self.relays: dict[str, Relay] = {}

    def open(self, lab: str) -> None:
        """Begin to carry."""
        for service in SERVICES:
            target = getattr(LabPaths(lab), f"{service}_socket")
            self.relays[service] = Relay(self._folder / service, target)

    def shut(self, lab: str) -> None:
        """End it."""
        for relay in self.relays.values():
            relay.stop()
        self.relays.clear()

    def sockets(self, lab: str, node: str) -> NodeSockets:
        """The near ends."""
        near = (self._folder / service for service in SERVICES[:3])
        return NodeSockets(node, *near, link=f"the link to {node}")

    def world_socket(self, lab: str) -> Path:
        """The near end."""
        return self._folder / "world"

    def offset(self, node: str) -> float:
        """As was given."""
        return self._ahead

    def suspend(self, node: str) -> None:
        """Of a machine that nobody looks at."""


class Split(Backend):
    """Machines in namespaces of their own (`tests.split_kit`): ``internet``, nodes, ``client``.

    Parameters
    ----------
    machines : dict of str to Machine
    ahead : dict of str to float
        Node → seconds that its clock is said to be ahead.
    """

    name = "split"

    def __init__(self, machines: Mapping[str, Machine], ahead: Mapping[str, float]) -> None:
        super().__init__()
        self._internet = machines["internet"]
        self._machines = machines
        self._nodes = {n: m for n, m in machines.items() if n not in ("internet", "client")}
        self._ahead = ahead

    def up(self, lab: str, settings: dict[str, Any]) -> bool:
        """The world first: nodes trust its CA."""
        made = self._internet.client.make(lab, settings)
        for machine in self._nodes.values():
            machine.client.make(lab, settings, made["ca"])
        return bool(made["created"])

    def down(self, lab: str) -> None:
        """The nodes first."""
        if "client" in self._machines:
            self.leave(lab, "client")
        for machine in (*self._nodes.values(), self._internet):
            machine.client.down(lab)

    def clean(self) -> list[str]:
        """On each."""
        machines = (*self._nodes.values(), self._internet)
        return sorted({name for machine in machines for name in machine.client.clean()})

    def list(self) -> list[dict[str, Any]]:
        """As the internet has them."""
        return self._internet.client.list()

    def node_names(self) -> tuple[str, ...]:
        """All nodes."""
        return tuple(self._nodes)

    def sockets(self, lab: str, node: str) -> NodeSockets:
        """The services' own, by the machine's root."""
        services = ("node", "agent", "observer")
        return NodeSockets(node, *(self._at(self._nodes[node], lab, s) for s in services))

    def world_socket(self, lab: str) -> Path:
        """Likewise."""
        return self._at(self._internet, lab, "world")

    def machine_address(self, machine: str) -> str:
        """As it was told."""
        address: str = self._machines[machine].client.ping()["place"]["address"]
        return address

    def join(self, lab: str, endpoint: pb.Endpoint, ca: str) -> None:
        """By its machine service."""
        self._machines[endpoint.machine].client.join(lab, endpoint, ca)

    def leave(self, lab: str, machine: str) -> None:
        """Likewise."""
        self._machines[machine].client.leave(lab)

    def machine_socket(self, lab: str, machine: str) -> Path:
        """The service's own."""
        return self._at(self._machines[machine], lab, "node")

    def _at(self, machine: Machine, lab: str, service: str) -> Path:
        own: Path = getattr(LabPaths(lab), f"{service}_socket")
        return machine.root / own.relative_to("/")

    def offset(self, node: str) -> float:
        """As was given."""
        return self._ahead.get(node, 0.0)

    def echo_seconds(self, node: str) -> float:
        """Of its machine service."""
        return self._nodes[node].client.echo_seconds()
