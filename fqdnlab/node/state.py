"""What a node service must not forget: one JSON file, written whole at each change.

A new node service adopts the lab by it; the machine service reads who owns a lab and which
process serves it.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fqdnlab.errors import StateError
from fqdnlab.model.place import Place
from fqdnlab.node.processes import Identity
from fqdnlab.paths import LabPaths

__all__ = ["FAULTS_KEPT", "EndpointRecord", "FaultEntry", "LabState", "SlotRecord", "StateFile"]

FAULTS_KEPT = 1000


@dataclass
class SlotRecord:
    """One process of the lab, as it is kept.

    Attributes
    ----------
    pid, start : int
        Of the current process; 0: there is none.
    draining : list of (pid, start, generation)
        Predecessors that still answer what they have taken.
    generation : int
        How many times it was started.
    since : float
        Unix seconds of the last change.
    last_exit : str
        How the last one ended.
    """

    pid: int = 0
    start: int = 0
    draining: list[list[int]] = field(default_factory=list)
    generation: int = 0
    since: float = 0.0
    last_exit: str = ""


@dataclass
class EndpointRecord:
    """One endpoint, as it is kept; `machine` and its address: of one that is a whole machine."""

    id: int
    name: str
    namespace: str
    labels: dict[str, str]
    ifindex: int
    identity: int = 0
    enforced: bool = False
    link_up: bool = False
    machine: str = ""
    machine_address: str = ""


@dataclass
class FaultEntry:
    """One fault that was asked for (or a death that was seen)."""

    time: float
    process: str
    action: str
    pid: int
    generation: int
    note: str


@dataclass
class LabState:
    """All that is kept of a lab."""

    lab: str
    uid: int
    gid: int
    settings: dict[str, Any]
    since: float
    node_pid: int = 0
    node_start: int = 0
    node_starts: int = 0
    next_endpoint: int = 1
    slots: dict[str, SlotRecord] = field(default_factory=dict)
    endpoints: list[EndpointRecord] = field(default_factory=list)
    faults: list[FaultEntry] = field(default_factory=list)
    place: str = Place().to_json()  # of the machine

    @property
    def node(self) -> Identity:
        """The process that serves the lab, or did."""
        return Identity(self.node_pid, self.node_start)

    def to_json(self) -> str:
        """The whole state as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LabState:
        """The state that `to_json` wrote.

        Raises
        ------
        StateError
            If it is none.
        """
        try:
            given = json.loads(text)
            state = cls(**{f.name: given[f.name] for f in fields(cls) if f.name in given})
            state.slots = {k: SlotRecord(**v) for k, v in given["slots"].items()}
            state.endpoints = [EndpointRecord(**e) for e in given["endpoints"]]
            state.faults = [FaultEntry(**e) for e in given["faults"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(f"a lab's state cannot be read: {error}", "fqdnlab clean") from error
        return state


class StateFile:
    """`LabState` with its file and the lock under which it is changed."""

    def __init__(self, paths: LabPaths, state: LabState) -> None:
        self._path = paths.state("node") / "state.json"
        self.state = state
        self.lock = threading.RLock()

    @classmethod
    def read(cls, paths: LabPaths) -> LabState | None:
        """The state that is on disk; None if there is none.

        Raises
        ------
        StateError
            If it cannot be read.
        """
        try:
            return LabState.from_json((paths.state("node") / "state.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def save(self) -> None:
        """Write the state, atomically."""
        with self.lock:
            del self.state.faults[:-FAULTS_KEPT]
            fresh = self._path.with_suffix(".new")
            fresh.write_text(self.state.to_json())
            os.replace(fresh, self._path)

    def note_fault(self, entry: FaultEntry) -> None:
        """Add an entry to the log of faults."""
        with self.lock:
            self.state.faults.append(entry)
            self.save()
