"""Writing a recording: a thread that reads the lab's services, as any client does."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

import fqdnlab
from fqdnlab.errors import FqdnlabError, StateError, UsageError
from fqdnlab.model import hubble_json
from fqdnlab.patience import patiently
from fqdnlab.recording.format import FORMAT, VERSION, Maps, line, map_changes, message
from fqdnlab.recording.origin import commit, kernel, versions

if TYPE_CHECKING:
    from fqdnlab.lab.explain import Gathered
    from fqdnlab.lab.lab import Lab
    from fqdnlab.lab.node import Node

__all__ = ["Recorder"]

_METRICS_SECONDS = 5.0


class Recorder:
    """Records a lab until `stop`; a context manager.

    Parameters
    ----------
    lab : Lab
    node : Node
        The one that is recorded.
    path : Path
        Of a file that is not there yet.
    seed : int or None
    interval : float
        Seconds.

    Raises
    ------
    UsageError
        If the file is there already, or cannot be written.
    """

    def __init__(self, lab: Lab, node: Node, path: Path, seed: int | None, interval: float) -> None:
        self.path = path
        self.node = node
        self._lab = lab
        self._interval = interval
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._counts: dict[str, int] = {}
        self._last: dict[str, Any] = {}
        self._maps: Maps = {}
        self._faults = 0
        self._event = (0.0, -1)  # since of the agent, number of its last event
        self._next_metrics = 0.0
        self._broken: OSError | None = None
        self._tail = node.tail()
        try:
            self._file = path.open("x", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}", "name a new file") from error
        self._write("header", time.time(), **self._header(seed))
        lab.recorders.append(self)
        self.look()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def _header(self, seed: int | None) -> dict[str, Any]:
        here = self._lab.backend.name == "netns"
        return {
            "format": FORMAT,
            "version": VERSION,
            "lab": self._lab.name,
            "seed": seed,
            "settings": vars(self._lab.settings),
            "versions": versions(),
            "backend": self._lab.backend.name,
            "node": self.node.name,
            # elsewhere they are not this machine's, and no service tells them
            "kernel": kernel() if here else "",
            "machine": platform.machine() if here else "",
            "fqdnlab": fqdnlab.__version__,
            "commit": commit(),
        }

    # ------------------------------------------------------------ looking

    def _run(self) -> None:
        while self._broken is None and not self._stopping.wait(self._interval):
            self._safely(self.look)

    def _safely(self, do: Callable[[], None]) -> None:
        """A look that fails leaves a gap; a file that cannot be written ends the recording."""
        try:
            try:
                do()
            except (FqdnlabError, ValueError) as error:
                self._change("gap", time.time(), {"error": str(error)})
        except OSError as error:
            self._broken = error

    def look(self) -> None:
        """Look once: everything that has changed is written."""
        with self._lock:
            if self._file.closed:
                return
            self.take(self._lab.gather(self.node.name))
            self._rest()
            self._file.flush()

    def take(self, seen: Gathered) -> None:
        """Write one state: what an explanation made of it at that time can be made of again."""
        with self._lock:
            if self._file.closed:
                return
            now = seen.evidence.time
            self._flows(seen.queries_known)
            evidence = message(seen.evidence)
            entries = evidence.pop("entry", [])
            for key in ("time", "boottime_ns"):
                evidence.pop(key, None)
            status = message(seen.status)
            state = {"evidence": evidence, "status": status, "queries": seen.queries_known}
            if self._put_maps(now, entries) | self._change("state", now, state):
                self._operations(seen)
            zones = None if seen.zones is None else [_record(r) for r in seen.zones]
            self._change("zones", now, {"records": zones})
            self._write("look", now)

    def _put_maps(self, now: float, entries: list[dict[str, str]]) -> bool:
        maps: Maps = {}
        for entry in entries:
            maps.setdefault(entry["map"], {})[entry["key"]] = entry["value"]
        put, gone = map_changes(self._maps, maps)
        if put or gone:
            self._write("maps", now, put=put, gone=gone)
        self._maps = maps
        return bool(put or gone)

    def _flows(self, alive: bool) -> None:
        """Every flow; an observer that is dead is told of once."""
        fault = "" if alive else "the observer does not run"
        try:
            if not alive:
                return
            for response in self._tail.fresh():
                if response.HasField("flow"):
                    seconds = response.flow.time.seconds + response.flow.time.nanos / 1e9
                    self._write("flow", seconds, response=hubble_json.to_dict(response))
        except grpc.RpcError as error:
            fault = f"the observer does not answer: {error.code().name}"
        finally:
            self._change("observer", time.time(), {"fault": fault})

    def _operations(self, seen: Gathered) -> None:
        """The agent's own record of what it did, event by event."""
        agent = next((p for p in seen.status.process if p.name == "agent"), None)
        if agent is None or agent.state != "running":
            return
        since, last = self._event
        last = last if since == agent.since else -1
        try:
            events = self.node.dump()["events"]
        except FqdnlabError:
            return  # it dies just now; what it did is in the maps
        offset = seen.evidence.time - seen.evidence.boottime_ns / 1e9
        for event in events:
            if event["event"] > last:
                self._write("operations", offset + event["boottime_ns"] / 1e9, event=event)
                last = event["event"]
        self._event = (agent.since, last)

    def _rest(self) -> None:
        """Faults, policies as a person reads them, metrics."""
        now = time.time()
        faults = self._lab.fault_records(self.node.name)
        for record in faults[self._faults :]:
            self._write("fault", record.time, fault=message(record))
        self._faults = len(faults)
        try:
            policies = [message(p) for p in self.node.policy_statuses()]
            self._change("policies", now, {"policies": policies})
        except FqdnlabError:
            pass  # the agent is dead: the last ones stand
        if now >= self._next_metrics:
            self._metrics(now)

    def _metrics(self, now: float) -> None:
        self._write("metrics", now, metrics=message(self.node.metrics()))
        self._next_metrics = now + _METRICS_SECONDS

    # ------------------------------------------------------------ writing

    def _change(self, kind: str, now: float, fields: dict[str, Any]) -> bool:
        """Write it if it is other than the last of its kind; whether it was."""
        with self._lock:
            if self._last.get(kind) == fields or self._file.closed:
                return False
            self._last[kind] = fields
            self._write(kind, now, **fields)
            return True

    def _write(self, kind: str, now: float, **fields: Any) -> None:
        self._file.write(line(kind, now, **fields))
        self._counts[kind] = self._counts.get(kind, 0) + 1

    # ------------------------------------------------------------ the end

    @property
    def running(self) -> bool:
        """Whether it still records."""
        return not self._file.closed

    def stop(self) -> Path:
        """Look once more, and close the file.  Idempotent.

        Returns
        -------
        Path
            Of the recording.

        Raises
        ------
        StateError
            If the file could not be written to its end; what was written opens.
        """
        self._stopping.set()
        self._thread.join(patiently(30.0))
        with self._lock:
            if not self._file.closed:
                self._finish()
        return self.path

    def _finish(self) -> None:
        if self in self._lab.recorders:
            self._lab.recorders.remove(self)
        for last in (self.look, lambda: self._metrics(time.time()), self._end):
            if self._broken is None:
                self._safely(last)
        with suppress(OSError):  # what is in its buffer has no place
            self._file.close()
        if self._broken is not None:
            what = f"the recording {self.path} is cut short: {self._broken.strerror}"
            raise StateError(what, "what was written before opens") from self._broken

    def _end(self) -> None:
        self._write("end", time.time(), lines=dict(self._counts))
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        flows = self._counts.get("flow", 0)
        return f"<Recorder {self.path}: {flows} flows, {'running' if self.running else 'stopped'}>"


def _record(record: Any) -> dict[str, Any]:
    return {**vars(record), "values": list(record.values)}
