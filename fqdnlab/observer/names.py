"""Way 3.8: which names an address had, for one endpoint, at the time a packet passed.

An endpoint's answers say it: from the answer on, for its TTL, the address is one of that name.
Later answers neither take that away nor rename what passed before them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from typing import NamedTuple

from fqdnlab.model.labtime import LabClock
from fqdnlab.observer.dnswire import Message

__all__ = ["NameHistory", "Told"]

_FRESH = 8192  # answers noted before they are sorted by address
_SPELLS = 64  # kept for each endpoint and address
_SLACK = 50_000_000  # ns: the proxy's stamp may follow the packet that the answer let go


class Told(NamedTuple):
    """An endpoint was told that `address` is `name`'s, from `start` to `end` (ns)."""

    endpoint: int
    address: str
    name: str
    start: int
    end: int
    early: str


@dataclass(slots=True)
class _Spell:
    name: str
    start: int
    end: int
    early: str


@dataclass(slots=True)
class _Given:
    """One answer given once or more; `span` is how long its addresses hold, ns."""

    first: int
    last: int
    early: str
    span: int


class NameHistory:
    """Names by endpoint and address, bounded (least recently learned goes first).

    Parameters
    ----------
    time_scale : float
        Lab seconds a wall-clock second, for TTLs.
    min_ttl : int
        Lab seconds.
    limit : int
        Pairs of endpoint and address kept.
    """

    def __init__(self, time_scale: float = 1.0, min_ttl: int = 0, limit: int = 131_072) -> None:
        self._clock = LabClock(time_scale)
        self._begun = False
        self._min_ttl = min_ttl
        self._limit = limit
        self._spells: OrderedDict[tuple[int, str], list[_Spell]] = OrderedDict()
        self._fresh: dict[tuple[int, Message], _Given] = {}
        self._new: list[Told] = []  # not yet drained; bounded as what it repeats
        self._lock = Lock()

    def __len__(self) -> int:
        with self._lock:
            self._settle()
            return len(self._spells)

    def answer(self, endpoint: int, message: Message, at: int, early: str = "") -> None:
        """The endpoint was given `message` at `at` (ns).

        `early` says why the answer was released before the kernel had it ('' otherwise).  An
        answer given again within its TTL costs no more than noting the time.
        """
        key = (endpoint, message)
        with self._lock:
            fresh = self._fresh.get(key)
            if fresh is not None and fresh.early == early and at - fresh.last <= fresh.span:
                fresh.last = at
                return
            if fresh is not None or len(self._fresh) >= _FRESH:
                self._settle()
            self._fresh[key] = _Given(at, at, early, self._span(message))

    def follow(self, clock: LabClock) -> None:
        """Lab time goes by `clock`: what was to end later than it began ends so much later.

        The first one says how time goes already.
        """
        with self._lock:
            self._settle()
            if self._begun and clock != self._clock:
                for spell in (s for s in chain(*self._spells.values()) if s.end > clock.boot_ns):
                    spell.end = self._clock.moved(spell.end, clock.scale, clock.boot_ns)
            self._clock, self._begun = clock, True

    def _span(self, message: Message) -> int:
        """How long its addresses hold, ns."""
        return self._lab_seconds(max(message.ttl, self._min_ttl))

    def _lab_seconds(self, seconds: int) -> int:
        return int(seconds / self._clock.scale * 1e9)

    def _settle(self) -> None:
        for (endpoint, message), told in self._fresh.items():
            name = message.query.rstrip(".")
            for address, ttl in message.addresses:
                self._learn(endpoint, address, name, told.first, told.last, ttl, told.early)
        self._fresh.clear()

    def _learn(
        self, endpoint: int, address: str, name: str, at: int, last: int, ttl: int, early: str
    ) -> None:
        end = last + self._lab_seconds(max(ttl, self._min_ttl))
        told = Told(endpoint, address, name, at, end, early)
        if self._add(told) and len(self._new) < self._limit:
            self._new.append(told)

    def _add(self, told: Told) -> bool:
        """Remember it; whether it is more than a spell that goes on."""
        key = (told.endpoint, told.address)
        spells = self._spells.setdefault(key, [])
        self._spells.move_to_end(key)
        if len(self._spells) > self._limit:
            self._spells.popitem(last=False)
        for spell in reversed(spells):
            if spell.name == told.name:
                if spell.start <= told.start <= spell.end and spell.early == told.early:
                    spell.end = max(spell.end, told.end)
                    return False
                break
        spells.append(_Spell(told.name, told.start, told.end, told.early))
        if len(spells) > _SPELLS:
            del spells[0]
        return True

    def restore(self, told: Told) -> None:
        """Remember what a former observer was told."""
        with self._lock:
            self._add(told)

    def drain(self) -> list[Told]:
        """What was learned since the last call, but for spells that go on."""
        with self._lock:
            self._settle()
            new, self._new = self._new, []
            return new

    def everything(self) -> list[Told]:
        """All that is remembered."""
        with self._lock:
            self._settle()
            return [
                Told(endpoint, address, s.name, s.start, s.end, s.early)
                for (endpoint, address), spells in self._spells.items()
                for s in spells
            ]

    def names(self, endpoint: int, address: str, at: int) -> list[str]:
        """Names of `address` for `endpoint` at `at` (ns), sorted.

        Those whose TTL ran then; if none did, the one that ended last: the kernel may have kept
        the mapping (a zombie), and the reader wants to know what the address had been.
        """
        return sorted({s.name for s in self._at(endpoint, address, at)})

    def early(self, endpoint: int, address: str, at: int) -> str:
        """Why the answer that told the endpoint of `address` was early; '' if one was not."""
        reasons = [s.early for s in self._at(endpoint, address, at)]
        return "" if not reasons or "" in reasons else reasons[-1]

    def _at(self, endpoint: int, address: str, at: int) -> list[_Spell]:
        with self._lock:
            self._settle()
            spells = list(self._spells.get((endpoint, address), ()))
        begun = [s for s in spells if s.start <= at + _SLACK]
        live = [s for s in begun if at < s.end]
        if live or not begun:
            return live
        last = max(s.end for s in begun)
        return [s for s in begun if s.end == last]
