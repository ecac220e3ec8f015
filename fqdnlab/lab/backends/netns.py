"""Labs on this machine: the machine service makes them, their sockets are here."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from fqdnlab.lab.backends.base import Backend, NodeSockets
from fqdnlab.lab.machine import MachineClient, machine_service
from fqdnlab.paths import LabPaths

__all__ = ["NetnsBackend"]


class NetnsBackend(Backend):
    """This machine, with one node a lab."""

    name = "netns"

    @property
    def machine(self) -> MachineClient:
        """A client of the machine service."""
        return MachineClient()

    def service(self) -> AbstractContextManager[object]:
        """The machine service: the one that runs, else (as root) one that ends with the block."""
        return machine_service()

    def up(self, lab: str, settings: dict[str, Any]) -> bool:
        """As `MachineClient.up`."""
        return self.machine.up(lab, settings)

    def down(self, lab: str) -> None:
        """As `MachineClient.down`."""
        self.machine.down(lab)

    def clean(self) -> list[str]:
        """As `MachineClient.clean`."""
        return self.machine.clean()

    def list(self) -> list[dict[str, Any]]:
        """As `MachineClient.list`."""
        return self.machine.list()

    def node_names(self) -> tuple[str, ...]:
        """The only one."""
        return ("node",)

    def exists(self, lab: str) -> bool:
        """Whether it has its folder's sockets: no machine service need run."""
        return LabPaths(lab).node_socket.exists()

    def sockets(self, lab: str, node: str) -> NodeSockets:
        """The services' own."""
        paths = LabPaths(lab)
        return NodeSockets(node, paths.node_socket, paths.agent_socket, paths.observer_socket)

    def world_socket(self, lab: str) -> Path:
        """The world's own."""
        return LabPaths(lab).world_socket
