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
from typing import Any

from fqdnlab import errors, paths
from fqdnlab.errors import (
    ConflictError,
    FqdnlabError,
    LateError,
    StateError,
    UnavailableError,
    UsageError,
)
from fqdnlab.machine.peer import Caller
from fqdnlab.model.settings import LabSettings
from fqdnlab.node import netns
from fqdnlab.node.processes import Process, clean_environment, launch, wait_ready
from fqdnlab.node.state import LabState, StateFile
from fqdnlab.node.teardown import end_lab, labs_here
from fqdnlab.node.tree import make_tree
from fqdnlab.paths import LabPaths, check_lab_name

__all__ = ["Labs", "check_lab"]

_UP_SECONDS = 45.0  # the node service gives up sooner, and says who is late
_DOWN_SECONDS = 25.0


class Labs:
    """What the machine service does; each method may be called by several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
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

    def up(self, caller: Caller, name: str, wanted: LabSettings) -> bool:
        """Make the lab, or attach to it; whether it was made.

        Raises
        ------
        ConflictError
            If it lives with other settings.
        UsageError
            If the name cannot be one, or the lab is another user's.
        LateError, UnavailableError, SetupError, OSError
            If it does not come up; nothing is left of it then.
        """
        check_lab(name)
        with self._alone(name):
            state = _read(name)
            if state is not None:
                _check_owner(caller, state)
            if state is None or not (_lives(state) or _has_namespaces(name)):
                end_lab(name)  # what a killed attempt left, or the machine's last run
                self._start(name, wanted, caller.uid, caller.gid)
                return True
            _check_settings(name, wanted, state)
            if not _lives(state):
                self._start(name, wanted, state.uid, state.gid, adopt=True)
            return False

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
                _check_owner(caller, state)
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

    def _start(
        self, name: str, settings: LabSettings, uid: int, gid: int, adopt: bool = False
    ) -> None:
        lab = LabPaths(name)
        self._ours.add(name)
        read, write = os.pipe()
        try:
            make_tree(lab, uid, gid)
            command = [sys.executable, "-P", "-m", "fqdnlab.node", "--lab", name]
            command += ["--settings", settings.to_json(), "--uid", str(uid), "--gid", str(gid)]
            command += ["--ready-fd", str(write)]
            process = launch(command, lab.log("node"), [write], clean_environment())
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        try:
            said = wait_ready(process, read, _UP_SECONDS)
        finally:
            os.close(read)
        if said != "ready":
            fault = _fault(name, said, process)
            process.end(_DOWN_SECONDS)
            if not adopt:
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
                process.end(_DOWN_SECONDS)  # SIGTERM: it takes the lab down by itself
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


def check_lab(name: str) -> None:
    """See that `name` can name a lab, and that its namespaces cannot be taken for another's.

    Raises
    ------
    UsageError
        If not.
    """
    check_lab_name(name)
    if "-ep-" in f"{name}-":
        raise UsageError(
            f"{name!r} cannot name a lab: '-ep-' tells its endpoints' namespaces from it",
            "choose a name without '-ep'",
        )


def _read(name: str) -> LabState | None:
    return StateFile.read(LabPaths(name))


def _lives(state: LabState) -> bool:
    return Process.adopt(state.node) is not None


def _has_namespaces(name: str) -> bool:
    return all(netns.identity(paths.netns(name, part)) for part in ("node", "world"))


def _check_owner(caller: Caller, state: LabState) -> None:
    if caller.uid not in (0, state.uid):
        raise UsageError(f"lab {state.lab!r} belongs to another user", "choose another name")


def _check_settings(name: str, wanted: LabSettings, state: LabState) -> None:
    theirs = LabSettings.from_dict(state.settings)
    different = wanted.differences(theirs)
    if different:
        words = ", ".join(f"{k} is {b!r}, not {a!r}" for k, (a, b) in sorted(different.items()))
        raise ConflictError(
            f"lab {name!r} lives with other settings: {words}",
            "ask for the same settings, take that lab down, or choose another name",
        )


def _fault(name: str, said: str, process: Process) -> FqdnlabError:
    """What the node service said was wrong, as an error."""
    if not said:
        if process.wait(0.5):  # its pipe closes a moment before it is dead
            log = LabPaths(name).log("node")
            text = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            return UnavailableError(f"lab {name!r}: its node service ended:\n{text}")
        return LateError(f"lab {name!r}: its node service is not ready after {_UP_SECONDS:g} s")
    given = json.loads(said)
    kind = getattr(errors, given["error"], StateError)
    return kind(f"lab {name!r}: {given['message']}", given["remedy"])
