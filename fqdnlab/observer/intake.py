"""Way 3.7 (and 2.11): one thread reads the ring buffer and the proxy's datagrams into the history.

It decodes nothing: it splits, counts by a few octets, orders by time, keeps.  What comes is held
back for some milliseconds, so that the two sources end up in one order and an answer is known
before the packet that it let go.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
from bisect import bisect_right
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Protocol

from fqdnlab.model.reasons import POLICY_REASONS
from fqdnlab.observer.counters import Counters
from fqdnlab.observer.history import History, Kind, Slot
from fqdnlab.observer.query import LOSS
from fqdnlab.observer.records import RecordReader

__all__ = ["Events", "Intake"]

_log = logging.getLogger(__name__)
_HOLD = 15_000_000  # ns
_AHEAD = 2_000_000_000  # ns
_TICK = 0.010  # s: while something is held
_REST = 0.5  # s: otherwise; also how often losses and rules.json are looked at
_PAUSE = 0.020  # s between two turns that found something: one serves many, in a warm cache
_DATAGRAM = 1 << 18
_TYPE, _REASON = 62, 64  # in struct flow_event
_EVENT_DROP = 2
_EVENT_OCTETS = 73  # up to the padding
_BY_TIME = itemgetter(0)
_PERF_EVENT_RING_BUFFER, _OBSERVER_EVENTS_QUEUE = 1, 2  # flow.LostEventSource


class Events(Protocol):
    """The kernel's events: `fqdnlab.datapath.events.RingReader`."""

    def fileno(self) -> int: ...

    def consume(self) -> int: ...


class Intake:
    """The reader; `run` it in a thread of its own until `stop`.

    Parameters
    ----------
    history : History
    counters : Counters
    reader : RecordReader
    records : socket
        Bound, not blocking.
    lost : callable
        Events that the kernel found no room for, since its map was made.
    kept_lost : Path
        File with what `lost` was when it was last told: an observer's death loses no count.
    tick : callable
        Called at least every half second.
    boottime : callable
        CLOCK_BOOTTIME, ns.
    """

    def __init__(
        self,
        history: History,
        counters: Counters,
        reader: RecordReader,
        records: socket.socket,
        lost: Callable[[], int],
        kept_lost: Path,
        tick: Callable[[], None],
        boottime: Callable[[], int],
    ) -> None:
        self._history = history
        self._counters = counters
        self._reader = reader
        self._records = records
        self._lost = lost
        self._kept_lost = kept_lost
        self._told_lost = self._read_kept()
        self._tick = tick
        self._boottime = boottime
        self._held: list[Slot] = []
        self._stop = threading.Event()
        self._turn = threading.Condition()
        self._published = 0  # all that is older is in the history
        self._wanted = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    # ------------------------------------------------------------ from the kernel

    def sample(self, raw: bytes) -> None:
        """Take one ``struct flow_event`` (the ring reader's callback)."""
        if len(raw) < _EVENT_OCTETS:
            self._counters.malformed += 1
            return
        self._counters.count_packet(raw)
        time = int.from_bytes(raw[:8], "little")
        if raw[_TYPE] == _EVENT_DROP:
            if raw[_REASON] in POLICY_REASONS:
                self._held.append(Slot(time, Kind.VERDICT, raw))
            self._held.append(Slot(time, Kind.DROP, raw))
        else:
            self._held.append(Slot(time, Kind.VERDICT, raw))

    # ------------------------------------------------------------ from the proxy

    def _datagrams(self) -> int:
        taken = 0
        for _ in range(1024):
            try:
                octets = self._records.recv(_DATAGRAM)
            except BlockingIOError:
                break
            found = self._reader.take(octets)
            self._held += found.slots
            taken += len(found.slots)
            self._counters.malformed += found.malformed
            if found.lost:
                self._counters.records_lost += found.lost
                self._held.append(self._loss(_OBSERVER_EVENTS_QUEUE, found.lost))
        return taken

    # ------------------------------------------------------------ the thread

    def run(self, events: Events) -> None:
        """Read until `stop`; then publish what is held."""
        poll = select.poll()
        for fd in (events.fileno(), self._records.fileno(), self._wake_read):
            poll.register(fd, select.POLLIN)
        looked = 0
        try:
            while not self._stop.is_set():
                waiting = self._held or self._wanted > self._published
                poll.poll((_TICK if waiting else _REST) * 1000)
                self._drain_wakes()
                now = self._boottime()  # before the look: what comes after it may have been missed
                taken = events.consume() + self._datagrams()
                self._publish(now - _HOLD)
                self._tell(now - _HOLD)
                if now - looked > _REST * 1e9:
                    looked = now
                    self._look()
                if taken:  # a flow may be shown so much later
                    self._stop.wait(_PAUSE)
        finally:
            self._publish(None)
            self._tell(1 << 63)

    def settle(self, timeout: float = 1.0) -> None:
        """Wait, at most `timeout` s, until all that was stamped before is in the history."""
        with self._turn:
            now = self._boottime()
            self._wanted = max(self._wanted, now)
            self._wake()
            self._turn.wait_for(lambda: self._published >= now, timeout)

    def _tell(self, until: int) -> None:
        with self._turn:
            self._published = until
            self._turn.notify_all()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # closed, as it has ended; or full, so it is awake
            os.write(self._wake_write, b"x")

    def _drain_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def stop(self) -> None:
        """Let `run` end; callable from a signal handler."""
        self._stop.set()
        self._wake()

    def close(self) -> None:
        """Close what `run` no longer needs."""
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _publish(self, until: int | None) -> None:
        """Move what is not newer than `until` from the held ones to the history, in order.

        A time far ahead is nobody's true stamp: such a record is not held.
        """
        if not self._held:
            return
        held = self._held
        held.sort(key=_BY_TIME)
        if until is None:
            due, self._held = held, []
        else:
            first = bisect_right(held, until, key=_BY_TIME)
            false = bisect_right(held, until + _AHEAD, key=_BY_TIME)
            due, self._held = held[:first] + held[false:], held[first:false]
        self._history.extend(due)

    # ------------------------------------------------------------ now and then

    def _look(self) -> None:
        try:
            total = self._lost()
            if total > self._told_lost:
                count = total - self._told_lost
                self._counters.events_lost += count
                self._history.extend([self._loss(_PERF_EVENT_RING_BUFFER, count)])
            if total != self._told_lost:  # less: the maps were made anew
                self._told_lost = total
                self._kept_lost.write_text(str(total), encoding="ascii")
            self._tick()
        except OSError as error:
            _log.warning("cannot look at what was lost: %s", error)

    def _loss(self, source: int, count: int) -> Slot:
        return Slot(self._boottime(), Kind.LOST, LOSS.pack(source, count))

    def _read_kept(self) -> int:
        try:
            return int(self._kept_lost.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0
