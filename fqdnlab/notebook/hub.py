"""The one reader of a lab in this process: threads of its own, bounded memory, many panels.

Two loops: flows ten times a second, everything else four times a second, slower while nobody
looks.  Whatever is away is asked again; the reader ends with `Hub.stop`, or with the process.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import grpc

from fqdnlab.errors import FqdnlabError
from fqdnlab.lab.process import Process
from fqdnlab.lab.reach import Reach
from fqdnlab.model.flow_rates import is_outcome, rate_kind
from fqdnlab.model.flows import Table
from fqdnlab.notebook.bins import Bins
from fqdnlab.notebook.life import Lives
from fqdnlab.notebook.reading import FlowReader
from fqdnlab.notebook.rows import view
from fqdnlab.notebook.seen import Seen
from fqdnlab.notebook.state_loop import StateLoop
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc

__all__ = ["Hub", "Subscriber", "hub"]

_log = logging.getLogger(__name__)
_FLOW_SECONDS = 0.1
_STATE_SECONDS = 0.25
_IDLE_SECONDS = 1.0
_KEPT_ROWS = 4000


@dataclass(frozen=True)
class Subscriber:
    """What a panel wants to be told, on the reader's threads; it must return soon.

    Attributes
    ----------
    on_seen : callable
        Given a `Seen`, whenever something was read.
    on_rows : callable or None
        Given the views of new rows (`fqdnlab.notebook.rows.view`).
    wants : callable
        Whether anybody looks: if nobody does, the reader goes slowly.
    """

    on_seen: Callable[[Seen], None]
    on_rows: Callable[[list[list[Any]]], None] | None
    wants: Callable[[], bool]


class Hub:
    """Reads a lab until it is stopped; make one with `hub`.

    Parameters
    ----------
    lab : str
    node : str
        Whose flows, processes and mappings are read.
    """

    def __init__(self, lab: str, node: str) -> None:
        self.lab, self.node = lab, node
        self._lock = threading.RLock()
        self._subscribers: list[Subscriber] = []
        self._failed: set[tuple[Subscriber, type[Exception]]] = set()
        self._seen = Seen(lab, node)
        self._lives = Lives()
        self._bins = Bins()
        self._rows: deque[tuple[list[Any], Mapping[str, Any]]] = deque(maxlen=_KEPT_ROWS)
        self._number = 0
        self._stopping = threading.Event()
        self._poked = threading.Event()
        self._reach = Reach(lab)
        self._node = self._reach.peer("node", node)
        self._workers = ThreadPoolExecutor(4, thread_name_prefix=f"act-{lab}")
        self._threads = [
            threading.Thread(target=body, name=f"{name}-{lab}", daemon=True)
            for name, body in (("state", self._read_state), ("flows", self._read_flows))
        ]
        for thread in self._threads:
            thread.start()

    # ------------------------------------------------------------ for panels

    @property
    def seen(self) -> Seen:
        """What was seen last."""
        return self._seen

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell `subscriber` from now on; returns what ends that."""
        with self._lock:
            self._subscribers.append(subscriber)
        self.poke()

        def end() -> None:
            with self._lock:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)
                self._failed = {one for one in self._failed if one[0] is not subscriber}

        return end

    def recent(self, most: int) -> list[list[Any]]:
        """Views of the last rows, oldest first."""
        with self._lock:
            return [shown for shown, _ in list(self._rows)[-most:]]

    def rows(self, seconds: float) -> list[Mapping[str, Any]]:
        """The rows of the last `seconds` that are still kept, oldest first."""
        since = time.time() - seconds
        with self._lock:
            return [row for _, row in self._rows if row["time"].timestamp() >= since]

    def row(self, uuid: str) -> Mapping[str, Any] | None:
        """The whole row with that uuid, if it is still kept."""
        with self._lock:
            return next((r for _, r in reversed(self._rows) if r["uuid"] == uuid), None)

    def picture(self, seconds: float) -> dict[str, Any]:
        """What the timeline draws of the last `seconds`."""
        now = time.time()
        with self._lock:
            lanes = self._lives.picture(now - seconds, now)
            bars = self._bins.picture(now - seconds, now)
        return {"now": now, "seconds": seconds, **bars, **lanes}

    def act(self, do: Callable[[], Any], done: Callable[[str, bool], None]) -> None:
        """Call `do` on a thread of its own, then `done` with words and whether it went well."""

        def work() -> None:
            try:
                said, well = str(do() or ""), True
            except FqdnlabError as error:
                said, well = str(error), False
            except Exception as error:  # a panel shows it: nobody else would see it
                said, well = f"{type(error).__name__}: {error}", False
            self.poke()
            done(said, well)

        self._workers.submit(work)

    def process(self, name: str) -> Process:
        """A process of the lab, to do something to."""
        return Process(self._node, name)

    def maps(self) -> list[pb.MapEntry]:
        """The kernel's maps, agent dead or alive.  Raises UnavailableError."""
        stub = control_pb2_grpc.NodeStub(self._node.channel)
        return list(self._node.call(stub.Evidence, pb.EvidenceRequest()).entry)

    def poke(self) -> None:
        """Read the state now."""
        self._poked.set()

    def stop(self) -> None:
        """End the reader; its threads are gone when this returns, or end with their last call."""
        self._stopping.set()
        self._poked.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5.0)
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._node.close()
        self._reach.close()

    @property
    def running(self) -> bool:
        """Whether its threads are there."""
        return not self._stopping.is_set() and all(t.is_alive() for t in self._threads)

    # ------------------------------------------------------------ loops

    def _watched(self) -> bool:
        with self._lock:
            return any(s.wants() for s in self._subscribers)

    def _read_state(self) -> None:
        reader: StateLoop | None = None
        try:
            while not self._stopping.is_set():
                try:
                    if reader is None:
                        reader = StateLoop(self.lab, self.node, self._lives, self._lock)
                    self._seen = reader.read(self._seen, self._bins)
                except Exception as error:  # said on top of every dashboard, and tried again
                    _log.exception("the lab %s cannot be read", self.lab)
                    trouble = f"{type(error).__name__}: {error}"
                    self._seen = replace(self._seen, time=time.time(), trouble=trouble)
                for one in self._told():
                    self._tell(one, one.on_seen, self._seen)
                self._poked.wait(_STATE_SECONDS if self._watched() else _IDLE_SECONDS)
                self._poked.clear()
        finally:
            if reader is not None:
                reader.close()

    def _tell(self, subscriber: Subscriber, method: Callable[[Any], None], what: Any) -> None:
        """Tell one; a panel that fails must not take the others' news away."""
        try:
            method(what)
        except Exception as error:  # logged once a kind, and told on: it may be well again
            kind = (subscriber, type(error))
            with self._lock:
                fresh = kind not in self._failed
                self._failed.add(kind)
            if fresh:
                _log.exception("a panel of the lab %s failed", self.lab)

    def _told(self) -> list[Subscriber]:
        with self._lock:
            return list(self._subscribers)

    def _read_flows(self) -> None:
        reader: FlowReader | None = None
        table = Table()
        try:
            while not self._stopping.is_set():
                begin = time.monotonic()
                try:
                    if reader is None:
                        reader = FlowReader(self.lab, self.node)
                    table.add(reader.fresh())
                except grpc.RpcError:
                    pass  # the observer is away, as its card says
                except Exception:
                    _log.exception("flows of the lab %s cannot be read", self.lab)
                self._take(table.drain(), 0 if reader is None else reader.lost)
                pause = _FLOW_SECONDS if self._watched() else _IDLE_SECONDS
                self._stopping.wait(max(0.01, pause - (time.monotonic() - begin)))
        finally:
            if reader is not None:
                reader.close()

    def _take(self, rows: list[dict[str, Any]], lost: int) -> None:
        if not rows:
            return
        shown: list[list[Any]] = []
        with self._lock:
            self._lives.take_rows(rows)
            for row in rows:
                kind = rate_kind(row)
                if kind:
                    self._bins.add(kind, row["time"].timestamp())
                if is_outcome(row):  # a question that was forwarded has its answer's line
                    self._number += 1
                    one = view(self._number, row)
                    shown.append(one)
                    self._rows.append((one, row))
            self._bins.count(len(rows), lost)
        for subscriber in self._told():
            if subscriber.on_rows is not None and shown:
                self._tell(subscriber, subscriber.on_rows, shown)


_hubs: dict[tuple[str, str], Hub] = {}
_hubs_lock = threading.Lock()


def hub(lab: str, node: str) -> Hub:
    """The reader of a node of the lab of that name; one a node, however often a cell is run."""
    with _hubs_lock:
        found = _hubs.get((lab, node))
        if found is None or not found.running:
            found = _hubs[lab, node] = Hub(lab, node)
        return found


@atexit.register
def _stop_all() -> None:
    for one in list(_hubs.values()):
        one.stop()
