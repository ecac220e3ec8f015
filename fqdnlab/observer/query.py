"""Way 3.9: which slots a GetFlows request gets, in which order.

Behaviour: pkg/hubble/observer/local_observer.go of Cilium 1.20.2: oldest first; ``number`` alone
is the last so many that pass the filters; with ``first`` or ``since`` the first so many; ``follow``
goes on for ever.  Losses are never filtered and never counted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fqdnlab.observer.history import History, Kind, Slot

__all__ = ["LOSS", "Item", "Lost", "Plan", "select"]

LOSS = struct.Struct("<BQ")  # raw octets of a Kind.LOST slot: source, count
_HUBBLE_RING_BUFFER = 3  # flow.LostEventSource
_CHUNK = 512  # slots read at once


@dataclass(frozen=True)
class Plan:
    """A GetFlowsRequest in numbers; times are CLOCK_BOOTTIME in ns, None: unbounded."""

    number: int = 0
    first: bool = False
    follow: bool = False
    since: int | None = None
    until: int | None = None
    start: int | None = None  # number of the first slot, instead of all the above


@dataclass(frozen=True)
class Item:
    """A flow to be sent: its number and slot, and what `test` made of it."""

    number: int
    slot: Slot
    made: Any


@dataclass(frozen=True)
class Lost:
    """So many events are missing here; `at` is CLOCK_BOOTTIME in ns."""

    source: int
    count: int
    at: int


Test = Callable[[int, Slot], Any]


def select(
    history: History, plan: Plan, test: Test, going: Callable[[], bool], now: Callable[[], int]
) -> Iterator[Item | Lost | None]:
    """What a client gets, in order; ends unless `plan` follows.

    None in between says: that is all for now.

    Parameters
    ----------
    history : History
    plan : Plan
    test : callable
        (number, slot) → what is to be sent, or None if the filters reject it.
    going : callable
        Whether the client is still there.
    now : callable
        CLOCK_BOOTTIME in ns.
    """
    newest = history.newest
    at = _start(history, plan, test, newest, going)
    sent = 0
    while going():
        stop = min(at + _CHUNK, history.newest if plan.follow else newest)
        begin, slots = history.read(at, stop)
        if begin > at and at < stop:  # overwritten before it was read
            yield Lost(_HUBBLE_RING_BUFFER, begin - at, now())
        for number, slot in enumerate(slots, begin):
            if not plan.follow and plan.number and sent >= plan.number:
                return
            if slot.kind is Kind.LOST:
                source, count = LOSS.unpack(slot.raw)
                yield Lost(source, count, slot.time)
                continue
            if _outside(plan, slot.time):
                continue
            made = test(number, slot)
            if made is not None:
                sent += 1
                yield Item(number, slot, made)
        at = max(at, begin + len(slots))
        if at >= newest and not plan.follow:
            return
        if plan.follow and at >= history.newest:
            yield None
            if not _wait(history, plan, at, now):
                return


def _wait(history: History, plan: Plan, at: int, now: Callable[[], int]) -> bool:
    """Wait for slot `at`, a second at most; False if there is nothing more to wait for."""
    if history.closed and history.newest <= at:
        return False
    if plan.until is not None and now() > plan.until and history.newest <= at:
        return False
    history.wait(at, 1.0)
    return True


def _outside(plan: Plan, time: int) -> bool:
    """Two sources fill the history, so that order is near, not exact: each slot is asked."""
    if plan.since is not None and time < plan.since:
        return True
    return plan.until is not None and time > plan.until


def _start(history: History, plan: Plan, test: Test, newest: int, going: Callable[[], bool]) -> int:
    oldest = history.oldest
    if plan.start is not None:
        return plan.start
    if plan.since is not None or plan.first:
        return oldest
    if plan.number == 0:
        return newest if plan.follow else oldest
    if plan.number >= newest - oldest:
        return oldest  # all there are, however many pass
    return _rewind(history, plan, test, oldest, newest, going)


def _rewind(
    history: History,
    plan: Plan,
    test: Test,
    oldest: int,
    newest: int,
    going: Callable[[], bool],
) -> int:
    """Number of the slot from which on `plan.number` slots pass."""
    found = 0
    stop = newest
    while stop > oldest and going():
        begin, slots = history.read(max(oldest, stop - _CHUNK), stop)
        for number in range(begin + len(slots) - 1, begin - 1, -1):
            slot = slots[number - begin]
            if slot.kind is Kind.LOST or _outside(plan, slot.time):
                continue
            if test(number, slot) is not None:
                found += 1
                if found == plan.number:
                    return number
        if begin >= stop:
            break
        stop = begin
    return oldest
