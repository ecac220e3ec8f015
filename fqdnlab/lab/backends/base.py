"""What a backend is: it makes labs, and says where the sockets of their services are."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from fqdnlab.errors import UsageError
from fqdnlab.pb import control_pb2 as pb

__all__ = ["Backend", "NodeSockets"]


@dataclass(frozen=True)
class NodeSockets:
    """One node of a lab, as this client reaches it.

    Attributes
    ----------
    name : str
        Of the node.
    node, agent, observer : Path
        Unix sockets of this machine, which stay the same as long as the lab is held; each path is
        shorter than 108 octets.
    link : str
        What carries them, for messages (``the ssh link to node``); empty: they are the services'
        own.  Where it is set, a socket that is not there means a lost link, not a dead process.
    """

    name: str
    node: Path
    agent: Path
    observer: Path
    link: str = ""


class Backend(ABC):
    """Makes labs; one object a kind and process, shared by its clients, safe in threads.

    Attributes
    ----------
    name : str
        By which users choose it.
    world_link : str
        What carries the world's socket, for messages; empty: it is the world's own.
    machine_link : str
        Likewise, of machines that are endpoints.
    has_machines : bool
        Whether nodes are machines of its own, which can be suspended, reset, cut off, put back.
    noted : list of FaultRecord
        What was done to its machines by this process (`fqdnlab.lab.vm.Vm`), oldest first.
    """

    name: str
    world_link: str = ""
    machine_link: str = ""
    has_machines: bool = False

    def __init__(self) -> None:
        self.noted: list[pb.FaultRecord] = []
        self._held: Counter[str] = Counter()
        self._holding = threading.Lock()
        self._noting = threading.Lock()

    # ------------------------------------------------------------ labs

    def service(self) -> AbstractContextManager[object]:
        """Have what makes labs while the block runs, if that is this process's to start."""
        return nullcontext()

    @abstractmethod
    def up(self, lab: str, settings: dict[str, Any]) -> bool:
        """Make the lab of that name, or find it living; whether it was made.

        Raises
        ------
        SetupError, ConflictError, UsageError, UnavailableError, LateError
            As `fqdnlab.lab.machine.MachineClient.up`.
        """

    @abstractmethod
    def down(self, lab: str) -> None:
        """Take the lab down; UsageError if there is none of that name."""

    @abstractmethod
    def clean(self) -> list[str]:
        """Remove what is left of labs whose node service was killed; their names."""

    @abstractmethod
    def list(self) -> list[dict[str, Any]]:
        """Each lab: ``name``, ``uid``, ``alive``, ``since`` (Unix seconds), ``settings`` …"""

    # ------------------------------------------------------------ the way to them

    @abstractmethod
    def node_names(self) -> tuple[str, ...]:
        """The nodes that each lab has, the first one first."""

    @abstractmethod
    def sockets(self, lab: str, node: str) -> NodeSockets:
        """Where a node's services are.  Called while the lab is held."""

    @abstractmethod
    def world_socket(self, lab: str) -> Path:
        """Where the world is.  Called while the lab is held."""

    def exists(self, lab: str) -> bool:
        """Whether there is a lab of that name, its node service dead or alive."""
        return any(one["name"] == lab for one in self.list())

    def offset(self, node: str) -> float:
        """Seconds by which the node's wall clock is ahead of ours."""
        return 0.0

    def hold(self, lab: str) -> None:
        """A client begins to use the lab's sockets; the first one has them made (`open`).

        A lab may go down and up again while it is held: its sockets are the same then.
        """
        with self._holding:
            if not self._held[lab]:
                self.open(lab)
            self._held[lab] += 1

    def release(self, lab: str) -> None:
        """A client lets go of the lab; after the last one its sockets go (`shut`)."""
        with self._holding:
            if self._held[lab] == 1:
                del self._held[lab]
                self.shut(lab)
            elif self._held[lab]:
                self._held[lab] -= 1

    def open(self, lab: str) -> None:  # noqa: B027  (most have nothing to do)
        """Make the sockets of a lab, be there one or not; called by `hold`."""

    def shut(self, lab: str) -> None:  # noqa: B027  (likewise)
        """Take them away; called by `release`."""

    def note_back(self, node: str, what: str) -> None:
        """Note that a node's machine (``vm``) or its ``link`` is back, if it was noted away."""
        with self._noting:  # a button and the panels' reader may both find it back
            mine = [f for f in self.noted if f.note == node and f.process == what]
            if mine and mine[-1].action in ("suspend", "cut"):
                action = {"suspend": "resume", "cut": "mend"}[mine[-1].action]
                record = pb.FaultRecord(time=time.time(), process=what, action=action, note=node)
                self.noted.append(record)

    # ------------------------------------------------------------ a whole machine as an endpoint

    def machine_address(self, machine: str) -> str:
        """Have the machine running; its address on the link between machines."""
        self._no_machines()

    def join(self, lab: str, endpoint: pb.Endpoint, ca: str) -> None:
        """Let the machine be this endpoint, as its node made it; nothing, if it is that already.

        Parameters
        ----------
        lab : str
        endpoint : pb.Endpoint
        ca : str
            The world's CA, for the machine to trust.

        Raises
        ------
        ConflictError
            If the machine is in another lab.
        SetupError, UsageError, UnavailableError, LateError
            As `fqdnlab.lab.machine.MachineClient.join`.
        """
        self._no_machines()

    def leave(self, lab: str, machine: str) -> None:
        """Let the machine be what it was; nothing, if it is not in that lab.  `down` does it."""
        self._no_machines()

    def machine_socket(self, lab: str, machine: str) -> Path:
        """Where the node service of a machine in that lab is.  Called while the lab is held."""
        self._no_machines()

    # ------------------------------------------------------------ what machines of its own can do

    def snapshot(self, name: str) -> None:
        """Keep the state of all machines, their labs in them, under that name."""
        self._no_machines()

    def restore(self, name: str) -> None:
        """Put all machines back to a snapshot, their clocks set; UsageError if there is none."""
        self._no_machines()

    def snapshots(self) -> tuple[str, ...]:
        """Names of snapshots, oldest first."""
        self._no_machines()

    def has_snapshot(self, name: str) -> bool:
        """Whether there is a snapshot of that name."""
        return name in self.snapshots()

    def suspend(self, node: str) -> None:
        """Let a node's machine stand still."""
        self._no_machines()

    def resume(self, node: str) -> None:
        """Let it go on, its clock set."""
        self._no_machines()

    def reset(self, node: str) -> None:
        """Cut its power and start it; what ran on it is dead."""
        self._no_machines()

    def cut_link(self, node: str) -> None:
        """Cut the link between a node and the internet, for every lab."""
        self._no_machines()

    def mend_link(self, node: str) -> None:
        """Mend it."""
        self._no_machines()

    def echo_seconds(self, node: str) -> float:
        """Seconds of a round trip of one octet on the link to a node."""
        self._no_machines()

    def _no_machines(self) -> NoReturn:
        raise UsageError(
            f"the backend {self.name!r} has no machines of its own",
            "with virtual machines: FQDNLAB_BACKEND=vagrant",
        )
