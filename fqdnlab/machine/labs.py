"""The labs of this machine: made, found, taken down, cleaned up.

Nothing is kept in memory but the pidfds of node services we started: what is true is what is on
disk and in the kernel, so that a new machine service knows as much as its predecessor.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from fqdnlab import errors, paths
from fqdnlab.errors import (
    ConflictError,
    FqdnlabError,
    LateError,
    SetupError,
    StateError,
    UnavailableError,
    UsageError,
)
from fqdnlab.machine.ca import check_ca, hand_over
from fqdnlab.machine.checks import check_lab, check_owner, check_place, check_settings
from fqdnlab.machine.peer import Caller
from fqdnlab.model.place import Place
from fqdnlab.model.settings import LabSettings
from fqdnlab.node import netns
from fqdnlab.node.processes import Process, clean_environment, launch, wait_ready
from fqdnlab.node.state import EndpointRecord, LabState, StateFile
from fqdnlab.node.teardown import end_lab, labs_here
from fqdnlab.node.tree import make_tree
from fqdnlab.node.units import UNITS_REMEDY, complaint, unit_name
from fqdnlab.paths import LabPaths
from fqdnlab.patience import patiently

__all__ = ["Labs"]

_UP_SECONDS = 45.0  # the node service gives up sooner, and says who is late
_DOWN_SECONDS = 25.0


class Labs:
    """What the machine service does; each method may be called by several threads.

    Parameters
    ----------
    place : Place
        What the machine is to its labs.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._guard = threading.Lock()
        self._joining = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._started: dict[str, Process] = {}
        self._ours: set[str] = set()

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            yield

    # ------------------------------------------------------------ what callers ask

    def up(self, caller: Caller, name: str, wanted: LabSettings, ca: str = "") -> bool:
        """Make the lab, or attach to it; whether it was made.

        Parameters
        ----------
        caller : Caller
        name : str
        wanted : LabSettings
        ca : str
            The CA of the lab's world, where that is on another machine: PEM.

        Raises
        ------
        ConflictError
            If it lives with other settings, or was made when the machine was another.
        UsageError
            If the name cannot be one, the lab is another user's, or `ca` is not to be taken.
        LateError, UnavailableError, SetupError, OSError
            If it does not come up; nothing is left of it then.
        """
        check_lab(name)
        check_ca(self._place, ca)
        if self._place.role == "client":
            raise UsageError("this machine is an endpoint of labs", "it joins one")
        with self._alone(name):
            state = _read(name)
            if state is not None:
                check_owner(caller, state)
            if state is None or not (_lives(state) or self._has_namespaces(name)):
                end_lab(name)  # what a killed attempt left, or the machine's last run
                self._start(name, wanted, caller.uid, caller.gid, ca)
                return True
            check_place(self._place, state)
            check_settings(name, wanted, state)
            if not _lives(state):
                self._start(name, wanted, state.uid, state.gid, ca, adopt=state)
            elif ca:
                hand_over(LabPaths(name), ca)  # of a world that was made anew
            return False

    def join(self, caller: Caller, name: str, wanted: EndpointRecord, ca: str) -> bool:
        """Make this machine an endpoint of a lab; whether it was not that very one before.

        Parameters
        ----------
        caller : Caller
        name : str
            Of the lab, which has made `wanted` on the node that is this machine's peer.
        wanted : EndpointRecord
        ca : str
            The CA of the lab's world: PEM.

        Raises
        ------
        ConflictError
            If it is in another lab; it says which.
        UsageError
            If it is no client, or another user's.
        LateError, UnavailableError, SetupError, OSError
            If it cannot be done; nothing is left of it then.
        """
        check_lab(name)
        check_ca(self._place, ca)
        if self._place.role != "client":
            raise UsageError(f"this machine is no client but the labs' {self._place.name}")
        with self._joining, self._alone(name):
            for other in sorted(labs_here() - {name}):
                raise ConflictError(
                    f"this machine is in the lab {other!r}",
                    f"delete its endpoint there; or on this machine: fqdnlab down {other}",
                )
            state = _read(name)
            if state is not None:
                check_owner(caller, state)
            if state is None or not self._is(state, wanted, ca):
                self._end(name, state)
                self._start(name, LabSettings(), caller.uid, caller.gid, ca, endpoint=wanted)
                return True
            if not _lives(state):
                self._start(name, LabSettings(), state.uid, state.gid, ca, adopt=state)
            return False

    def leave(self, caller: Caller, name: str) -> bool:
        """Be no endpoint of that lab any more; whether it was.  Raises as `down`."""
        check_lab(name)
        with self._joining:
            here = self._place.role == "client" and name in labs_here()
            if here:
                self.down(caller, name)
            return here

    def ca(self, name: str) -> str:
        """The CA of the lab's world (PEM); empty where that is on another machine, or has none."""
        try:
            return (LabPaths(name).state("world") / "ca.pem").read_text("ascii")
        except FileNotFoundError:
            return ""

    def down(self, caller: Caller, name: str) -> None:
        """Take the lab down; nothing is left of it.

        Raises
        ------
        UsageError
            If there is none of that name, or it is another user's.
        """
        check_lab(name)
        with self._alone(name):
            if name not in labs_here():
                raise UsageError(f"no lab {name!r} here", "see  fqdnlab status")
            state = _read(name)
            if state is not None:
                check_owner(caller, state)
            elif caller.uid != 0:
                raise UsageError(f"it is unknown whose lab {name!r} is", "sudo fqdnlab clean")
            self._end(name, state)

    def clean(self, caller: Caller) -> list[str]:
        """Remove what is left of labs whose node service is dead; their names.

        Of the caller's own labs only, unless that is root.
        """
        removed: list[str] = []
        for name in sorted(labs_here()):
            with self._alone(name):
                try:
                    state = StateFile.read(LabPaths(name))
                except StateError:
                    state = None
                theirs = state.uid if state is not None else 0
                if (state is not None and _lives(state)) or caller.uid not in (0, theirs):
                    continue
                self._end(name, state)
                removed.append(name)
        return removed

    def take_all_down(self) -> None:
        """Take down every lab this service started, and those that it starts just now."""
        for name in list(self._ours):
            with self._alone(name):
                self._end(name, _read(name))

    # ------------------------------------------------------------ inner parts

    def _is(self, state: LabState, wanted: EndpointRecord, ca: str) -> bool:
        """Whether that is this machine as it is now, as the endpoint that is wanted."""
        had = [(e.id, e.name, e.namespace, e.labels) for e in state.endpoints]
        same = had == [(wanted.id, wanted.name, wanted.namespace, wanted.labels)]
        file = LabPaths(state.lab).ca
        trusted = file.read_text("ascii") if file.exists() else ""
        return same and trusted == ca and state.place == self._place.to_json()

    def _has_namespaces(self, name: str) -> bool:
        return all(netns.identity(paths.netns(name, part)) for part in self._place.namespaces)

    def _start(
        self,
        name: str,
        settings: LabSettings,
        uid: int,
        gid: int,
        ca: str,
        adopt: LabState | None = None,
        endpoint: EndpointRecord | None = None,
    ) -> None:
        lab = LabPaths(name)
        # Commands of endpoints may outlive a node service, in its scope: a new one has another.
        generation = adopt.node_starts + 1 if adopt is not None else 1
        unit = unit_name(name, "node", generation) if self._place.units else ""
        self._ours.add(name)
        read, write = os.pipe()
        try:
            make_tree(lab, uid, gid)
            if ca:
                hand_over(lab, ca)
            command = [sys.executable, "-P", "-m", "fqdnlab.node", "--lab", name]
            command += ["--settings", settings.to_json(), "--uid", str(uid), "--gid", str(gid)]
            command += ["--place", self._place.to_json(), "--ready-fd", str(write)]
            if endpoint is not None:
                command += ["--endpoint", json.dumps(asdict(endpoint))]
            process = launch(command, lab.log("node"), [write], clean_environment(), unit)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        try:
            said = wait_ready(process, read, patiently(_UP_SECONDS))
        finally:
            os.close(read)
        if said != "ready":
            fault = _fault(name, said, process)
            process.end(patiently(_DOWN_SECONDS))
            if adopt is None:
                end_lab(name)
            raise fault
        self._forget(name)
        self._started[name] = process
        threading.Thread(
            target=process.wait, args=(None,), name=f"reap-{name}", daemon=True
        ).start()

    def _end(self, name: str, state: LabState | None) -> None:
        if state is not None:
            process = Process.adopt(state.node)
            if process is not None:
                process.end(patiently(_DOWN_SECONDS))  # SIGTERM: it takes the lab down by itself
        end_lab(name)  # what is left, if it was killed or is late
        self._forget(name)
        self._ours.discard(name)

    def _forget(self, name: str) -> None:
        process = self._started.pop(name, None)
        if process is not None:
            process.wait(None)

    def list(self) -> list[dict[str, Any]]:
        """Every lab here: name, uid, gid, pid (0: its node service is dead), since, settings."""
        found: list[dict[str, Any]] = []
        for name in sorted(labs_here()):
            try:
                state = StateFile.read(LabPaths(name))
            except StateError:
                state = None
            if state is None:
                found.append({"name": name, "pid": 0, "alive": False})
                continue
            alive = _lives(state)
            found.append(
                {
                    "name": name,
                    "uid": state.uid,
                    "gid": state.gid,
                    "pid": state.node_pid if alive else 0,
                    "alive": alive,
                    "since": state.since,
                    "settings": state.settings,
                }
            )
        return found


def _read(name: str) -> LabState | None:
    return StateFile.read(LabPaths(name))


def _lives(state: LabState) -> bool:
    return Process.adopt(state.node) is not None


def _fault(name: str, said: str, process: Process) -> FqdnlabError:
    """What the node service said was wrong, as an error."""
    if not said:
        if process.wait(patiently(0.5)):  # its pipe closes a moment before it is dead
            log = LabPaths(name).log("node")
            text = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            told = complaint(text.splitlines())
            if told:
                text = f"lab {name!r}: systemd-run does not start its node service: {told}"
                return SetupError(text, UNITS_REMEDY)
            return UnavailableError(f"lab {name!r}: its node service ended:\n{text}")
        return LateError(
            f"lab {name!r}: its node service is late", f"see {LabPaths(name).log('node')}"
        )
    given = json.loads(said)
    kind = getattr(errors, given["error"], StateError)
    return kind(f"lab {name!r}: {given['message']}", given["remedy"])
