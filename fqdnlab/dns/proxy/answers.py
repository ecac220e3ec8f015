"""Ways 2.7 to 2.10: an answer is released when the kernel holds its addresses, or at the deadline.

The order is Cilium's: addresses are recorded, identities and maps updated, then the answer goes.
A mapping that is leased (the agent has promised to keep it open for the TTL that this client is
given) costs no call.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.journal import Kept
from fqdnlab.dns.proxy.question import Lease, Question
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.dns.proxy.wire import SERVFAIL, MalformedError, name_text, read_answer
from fqdnlab.model.dnsrecord import Early, Outcome
from fqdnlab.model.settings import LabSettings

__all__ = ["Agent", "Answers", "Held"]

_MOST_LEASES = 200_000
_MOST_ADDRESSES = 4096  # of one name
_USUAL = 512  # octets of an answer that a question remembers
_ANSWERED = int(Outcome.ANSWERED)
Record = Callable[[Transaction, int, bytes], None]


class Held:
    """A mapping on its way to the agent, and the transactions that wait for it."""

    __slots__ = ("again", "kept", "key", "mapping", "waiting")

    def __init__(
        self, mapping: Kept, key: tuple[int, bytes], kept: bool = False, again: bool = False
    ) -> None:
        self.mapping = mapping
        self.key = key
        self.kept = kept
        self.again = again
        self.waiting: list[Transaction] = []


class Agent(Protocol):
    """What answers need of the agent (`agent_link`)."""

    connected: bool

    def hand_over(self, held: Held) -> None:
        """Send it; `Answers.acknowledged` is called when the kernel holds it."""

    def keep(self, mapping: Kept) -> None:
        """No agent is there: for later."""


class Answers:
    """All answers between upstream and client.

    Parameters
    ----------
    loop : event loop
    settings : LabSettings
    record : callable
        Told of each transaction's end.
    counts : Counts
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: LabSettings,
        record: Record,
        counts: Counts,
    ) -> None:
        self._loop = loop
        self._hold = settings.hold
        self._second = 1e9 / settings.time_scale
        self._lock = settings.name_lock
        self._most = settings.kept_mappings
        self._handed = 0
        self._record = record
        self._counts = counts
        self._leases: dict[tuple[int, bytes], Lease] = {}
        self._on_way: dict[tuple[int, bytes], Held] = {}
        self._by_name: dict[bytes, Held] = {}
        self._deadlines: deque[tuple[float, Transaction]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.agent: Agent | None = None

    def set_time(self, scale: float, leases: bool) -> None:
        """How fast lab time runs, and whether leases may be used: not while that changes."""
        second = 1e9 / scale if leases else math.inf
        if second != self._second:
            self._second = second
            self.forget_leases()

    # ------------------------------------------------------------ from upstream

    def answered(self, t: Transaction, octets: bytes, now: int) -> None:
        """An answer that is believed: learn from it if there is something, then release it.

        Parameters
        ----------
        t : Transaction
        octets : bytes
            A message but for its id.
        now : int
            When it came; CLOCK_BOOTTIME, ns.
        """
        t.answer = octets
        question = t.question
        if octets != question.seen:
            try:
                self._read(question, octets)
            except MalformedError:
                self._counts.malformed += 1
                self.failed(t)
                return
        if question.addresses and not self._leased(question, now):
            self._learn(t, now)
        elif self._by_name and self._lock and question.addresses:
            self._in_turn(t, now)
        else:
            self.release(t, now)

    def _read(self, question: Question, octets: bytes) -> None:
        addresses: tuple[bytes, ...] = ()
        seconds = 0
        if not octets[1] & 15 and (octets[4] or octets[5]):
            addresses, seconds = read_answer(b"\0\0" + octets, question.end)
        question.seen = octets if len(octets) <= _USUAL else None
        question.addresses = addresses
        question.seconds = seconds

    def failed(self, t: Transaction, silent: bool = False) -> None:
        """No answer, or none that can be passed on."""
        if t.done:
            return
        t.done = True
        self._counts.failed += 1
        if not silent:
            t.send(t, t.question.error(SERVFAIL))
        self._record(t, Outcome.FAILED, t.question.octets)

    def release(self, t: Transaction, now: int) -> None:
        """Way 2.10."""
        if t.done:
            return
        t.done = True
        t.took = now - t.start
        t.send(t, t.answer)
        self._record(t, _ANSWERED, t.answer)
        self._counts.answered(t)

    # ------------------------------------------------------------ mappings

    def _in_turn(self, t: Transaction, now: int) -> None:
        """Per-name lock: not before the answer that came first."""
        busy = self._by_name.get(t.question.name)
        if busy is None:
            self.release(t, now)
        else:
            t.leased = True
            self._wait(busy, t)

    def _learn(self, t: Transaction, now: int) -> None:
        question = t.question
        key = question.key
        agent = self.agent
        held = self._on_way.get(key)
        name = name_text(question.name)
        mapping = Kept(question.endpoint, name, question.addresses, question.seconds)
        if agent is None or not agent.connected:
            if agent is not None:
                agent.keep(mapping)
            t.early = Early.AGENT_DEAD
            self.release(t, now)
            return
        if held is None or held.mapping != mapping:
            if self._handed > self._most:  # a silent agent, for long
                self._counts.lost_mappings += 1
                t.early = Early.HOLD_DEADLINE
                self.release(t, now)
                return
            held = self._hand_over(agent, Held(mapping, key))
        if self._hold:
            self._wait(held, t)
        else:
            t.early = Early.HOLD_OFF
            self.release(t, now)

    def _hand_over(self, agent: Agent, held: Held) -> Held:
        self._on_way[held.key] = self._by_name[held.key[1]] = held
        self._handed += 1
        agent.hand_over(held)
        return held

    def _leased(self, question: Question, now: int) -> bool:
        """Whether its addresses stay open for as long as an answer released now may be used."""
        lease = question.lease
        if lease is None or lease.addresses is not question.addresses:
            lease = question.lease = self._leases.get(question.key)
            if lease is None:
                return False
            lease.look(question.addresses)
        return lease.least >= now + question.seconds * self._second

    def _wait(self, held: Held, t: Transaction) -> None:
        held.waiting.append(t)
        self._deadlines.append((self._loop.time() + self._hold, t))
        if self._timer is None:
            self._timer = self._loop.call_later(self._hold, self._expire)

    def _expire(self) -> None:
        """Release what was held to its deadline."""
        now = self._loop.time() + 0.0005
        self._timer = None
        while self._deadlines:
            when, t = self._deadlines[0]
            if not t.done and when > now:
                self._timer = self._loop.call_at(when, self._expire)
                return
            self._deadlines.popleft()
            if not t.done:
                self._counts.update_timeouts += 1
                self._release_early(t, Early.HOLD_DEADLINE)

    def _release_early(self, t: Transaction, why: Early) -> None:
        if not t.leased and not t.done:
            t.early = why
        self.release(t, boottime())

    def acknowledged(self, held: Held, valid_until: int) -> None:
        """Way 2.9: the kernel holds it (0: the agent would not have it)."""
        self._settle(held)
        if not valid_until:
            self._counts.refused_mappings += 1
            for t in held.waiting:
                self._release_early(t, Early.REFUSED)
            return
        self._note_lease(held, valid_until)
        # Open for as long as each client is told?  Not for one that came late to a slow agent's.
        now = boottime()
        enough = held.again or valid_until >= now + held.mapping.ttl * self._second
        late = []
        for t in held.waiting:
            if enough or t.leased:
                self.release(t, now)
            elif not t.done:
                late.append(t)
        if late and self.agent is not None:
            again = self._hand_over(self.agent, Held(held.mapping, held.key, again=True))
            again.waiting = late

    def _note_lease(self, held: Held, valid_until: int) -> None:
        if len(self._leases) >= _MOST_LEASES:
            self.forget_leases()
        lease = self._leases.get(held.key)
        if lease is None:
            lease = self._leases[held.key] = Lease()
        elif len(lease.until) > _MOST_ADDRESSES:
            lease.forget()
        lease.note(held.mapping.addresses, valid_until)

    def agent_gone(self, held: Held) -> None:
        """It will not be acknowledged: release, and keep the mapping."""
        self._settle(held)
        if self.agent is not None:
            self.agent.keep(held.mapping)
        for t in held.waiting:
            self._release_early(t, Early.AGENT_DEAD)

    def _settle(self, held: Held) -> None:
        self._handed -= 1
        if self._on_way.get(held.key) is held:
            del self._on_way[held.key]
        if self._by_name.get(held.key[1]) is held:
            del self._by_name[held.key[1]]

    def forget_leases(self) -> None:
        """Promises of the past hold no more."""
        for lease in self._leases.values():
            lease.forget()  # questions have it still
        self._leases.clear()

    @property
    def holding(self) -> bool:
        """Whether some answer is still held."""
        return any(not t.done for _, t in self._deadlines)
