"""`Lab`: one lab, from outside.  A client of the lab's services; all it does, they do."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fqdnlab.errors import FqdnlabError, UsageError
from fqdnlab.lab.backends import Backend, backend, remember
from fqdnlab.lab.data import Measures
from fqdnlab.lab.endpoints import Endpoints
from fqdnlab.lab.explain import Explains
from fqdnlab.lab.insides import Insides
from fqdnlab.lab.interrupts import uninterrupted
from fqdnlab.lab.node import Node
from fqdnlab.lab.policies import Policies
from fqdnlab.lab.process import Process
from fqdnlab.lab.reach import Reach
from fqdnlab.lab.shows import Shows
from fqdnlab.lab.tracks import Tracks
from fqdnlab.model.settings import LabSettings
from fqdnlab.paths import check_lab_name
from fqdnlab.pb import control_pb2 as pb

if TYPE_CHECKING:
    from fqdnlab.recording.recorder import Recorder

__all__ = ["Lab"]


class Lab(Endpoints, Explains, Insides, Measures, Policies, Shows, Tracks):
    """A living lab of that name, or a new one.

    Parameters
    ----------
    name : str
        At most 24 lower-case letters, digits and inner hyphens.
    backend : str, optional
        Where it is: ``netns`` (this machine) or ``vagrant`` (virtual machines); none: as the
        environment's FQDNLAB_BACKEND says, or ``netns``.
    **settings
        As in `fqdnlab.model.settings.LabSettings`.

    Attributes
    ----------
    nodes : dict of str to Node
        Each node's processes, its machine and what it tells; most labs have one, ``node``.
    world : World
        The simulated internet.
    backend : Backend
    since : float
        Since when this client is there (Unix seconds).

    Raises
    ------
    SetupError
        If the machine's root service does not run; it says the line that starts it.
    ConflictError
        If a lab of that name lives with other settings; it says which.

    Examples
    --------
    >>> with Lab("intro") as lab:                                   # doctest: +SKIP
    ...     web = lab.endpoint("web", labels={"app": "web"})
    ...     lab.world["api.example.com"] = ["198.51.100.7"]
    ...     web.connect("api.example.com", 443)
    """

    def __init__(
        self, name: str = "lab", backend: str | Backend | None = None, **settings: Any
    ) -> None:
        self.name = check_lab_name(name)
        try:
            self.settings = LabSettings.from_dict(settings)
        except ValueError as error:
            raise UsageError(str(error)) from error
        self.backend = _chosen(backend)
        self.since = time.time()
        self.made = False
        try:
            with uninterrupted():
                self.made = self.backend.up(name, settings)
                self._open()
        except KeyboardInterrupt:
            if self.made:
                self.down()
            raise

    @classmethod
    def attach(cls, name: str, backend: str | Backend | None = None) -> Lab:
        """A living lab, whatever its settings.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        lab = cls.__new__(cls)
        lab.name = check_lab_name(name)
        lab.backend = _chosen(backend)
        lab.since = time.time()
        lab.made = False
        if not lab.backend.exists(name):
            raise UsageError(f"there is no lab {name!r}", f"make it: fqdnlab up {name}")
        lab._open()
        try:
            first = next(iter(lab.nodes.values()))
            lab.settings = LabSettings.from_json(first.status().settings)
        except BaseException:
            lab.close()
            raise
        return lab

    def _open(self) -> None:
        remember(self.name, self.backend)
        self.closed = False
        self._reach = Reach(self.name, self.backend)
        self.nodes: dict[str, Node] = {n: Node(self._reach, n) for n in self._reach.nodes}
        self.world = self._reach.world()
        self.recorders: list[Recorder] = []

    # ------------------------------------------------------------ life

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        if self.made:
            self.down()
        else:
            self.close()

    def close(self) -> None:
        """Let go of the lab; it goes on, and what was recorded of it is closed."""
        self.closed = True
        self.stop_recorders()
        self.world.close()
        for node in self.nodes.values():
            node.close()
        self._reach.close()

    def down(self) -> None:
        """Take the lab down: nothing of it is left."""
        with uninterrupted():
            self.close()
            self.backend.down(self.name)

    def reset(self) -> None:
        """Begin anew, as for the next group: the same settings, and nothing else of before.

        Endpoints, policies, the world's names and faults are gone; what is read from now on is of
        the new lab.
        """
        with uninterrupted():
            self.close()
            if self.backend.exists(self.name):  # not so, where the last reset failed half-way
                self.backend.down(self.name)
            self.backend.up(self.name, json.loads(self.settings.to_json()))
            self.since = time.time()
            self._open()

    # ------------------------------------------------------------ machines of its own

    def snapshot(self, name: str) -> None:
        """Keep the state of internet and nodes, with every lab on them, under that name.

        Raises
        ------
        UsageError
            If the backend has no machines of its own.
        """
        self.backend.snapshot(name)

    def snapshots(self) -> tuple[str, ...]:
        """Names of snapshots, oldest first.  Raises as `snapshot`."""
        return self.backend.snapshots()

    def restore(self, name: str) -> None:
        """Put internet and nodes back; what is read from now on is what they saw since.

        Raises
        ------
        UsageError
            If there is no snapshot of that name, or none of this lab in it.
        """
        if not self.backend.has_snapshot(name):
            have = ", ".join(self.snapshots()) or "none"
            raise UsageError(f"there is no snapshot {name!r}", f"there are: {have}")
        with uninterrupted():
            self.close()
            try:
                self.backend.restore(name)
            except BaseException:
                with suppress(FqdnlabError):  # why it failed is to be told
                    self._open()
                raise
            if not self.backend.exists(self.name):
                raise UsageError(
                    f"the snapshot {name!r} is older than the lab {self.name!r}",
                    f"make it: Lab({self.name!r})",
                )
            self._open()

    # ------------------------------------------------------------ nodes

    def node(self, name: str | None = None) -> Node:
        """The node of that name; none: the only one.

        Raises
        ------
        UsageError
            If there is none of that name; without a name, if there are several.
        """
        if name is None and len(self.nodes) == 1:
            return next(iter(self.nodes.values()))
        if name is None:
            raise self._several(f"node={next(iter(self.nodes))!r}")
        if name not in self.nodes:
            raise UsageError(f"there is no node {name!r}", f"one of {', '.join(self.nodes)}")
        return self.nodes[name]

    def only(self, what: str) -> Node:
        """The only node.  UsageError where there are several; it says how `what` of one is said."""
        if len(self.nodes) != 1:
            raise self._several(f'lab.nodes["{next(iter(self.nodes))}"].{what}')
        return next(iter(self.nodes.values()))

    def _several(self, which: str) -> UsageError:
        have = f"the lab has {len(self.nodes)} nodes: {', '.join(self.nodes)}"
        return UsageError(have, f"say which: {which}")

    @property
    def agent(self) -> Process:
        """The only node's agent."""
        return self.only("agent").agent

    @property
    def proxy(self) -> Process:
        """The only node's DNS proxy."""
        return self.only("proxy").proxy

    @property
    def observer(self) -> Process:
        """The only node's observer."""
        return self.only("observer").observer

    def status(self) -> pb.NodeStatus:
        """Processes, endpoints, settings, where metrics are, of the only node."""
        return self.only("status()").status()

    def __repr__(self) -> str:
        return f"<Lab {self.name}>"


def _chosen(name: str | Backend | None) -> Backend:
    return backend(name)
