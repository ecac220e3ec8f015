"""Stand-ins for the proxy's surroundings: a loop whose clock a test moves, an agent that notes."""

from __future__ import annotations

import heapq
import socket
from collections.abc import Callable
from itertools import count
from typing import Any

from dnslib import RR, DNSHeader, DNSQuestion, DNSRecord

from fqdnlab.dns.proxy.answers import Answers, Held
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.journal import Kept
from fqdnlab.dns.proxy.question import Question
from fqdnlab.dns.proxy.table import Decision
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.model.settings import LabSettings

__all__ = ["Agent", "Bench", "Loop", "ask", "reply", "wire_question"]

SECOND = 10**9


class _Handle:
    def __init__(self, call: Callable[[], Any]) -> None:
        self.call: Callable[[], Any] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """What the proxy's pure parts need of an event loop; time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, int, _Handle]] = []
        self._order = count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[..., Any], *args: Any) -> _Handle:
        handle = _Handle(lambda: call(*args))
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any) -> _Handle:
        return self.call_at(self.now + delay, call, *args)

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, handle = heapq.heappop(self._timers)
            if handle.call is not None:
                handle.call()
        self.now = end


class Agent:
    """Notes what it is given; acknowledges when a test says so."""

    def __init__(self) -> None:
        self.connected = True
        self.given: list[Held] = []
        self.kept: list[Kept] = []

    def hand_over(self, held: Held) -> None:
        self.given.append(held)

    def keep(self, mapping: Kept) -> None:
        self.kept.append(mapping)


def wire_question(name: str = "api.example.com") -> bytes:
    """A message but for its id."""
    return bytes(DNSRecord(DNSHeader(rd=1), q=DNSQuestion(name)).pack())[2:]


def ask(
    name: str = "api.example.com",
    endpoint: int = 1,
    number: int = 7,
    sent: list[bytes] | None = None,
    question: Question | None = None,
) -> Transaction:
    """A question, by default one that policy allowed; `sent` gets what the client gets."""
    if question is None:
        client = bytes([10, 10, 0, endpoint])
        question = Question(wire_question(name), client, b"\x0a\x60\0\x0a", 53, 17)
        question.judge(Decision(True, 3, endpoint))

    def send(t: Transaction, octets: bytes) -> None:
        if sent is not None:
            sent.append(t.identity.to_bytes(2, "little") + octets)

    identity = int.from_bytes(number.to_bytes(2, "big"), "little")
    return Transaction(question, identity, socket.htons(5000), boottime(), send)


def reply(t: Transaction, *addresses: str, ttl: int = 60, rcode: int = 0) -> bytes:
    """The answer as the world would give it, but for its id."""
    made = DNSRecord.parse(b"\0\0" + t.question.octets).reply()
    made.header.rcode = rcode
    for address in addresses:
        kind = "AAAA" if ":" in address else "A"
        made.add_answer(*RR.fromZone(f"{made.q.qname} {ttl} {kind} {address}"))
    return bytes(made.pack())[2:]


class Bench:
    """`Answers` with everything around it."""

    def __init__(self, **settings: Any) -> None:
        self.settings = LabSettings(**settings)
        self.loop = Loop()
        self.agent = Agent()
        self.counts = Counts()
        self.records: list[tuple[Transaction, int, bytes]] = []
        self._questions: dict[tuple[str, int], Question] = {}
        self.sent: list[bytes] = []
        self.answers = Answers(
            self.loop,  # type: ignore[arg-type]
            self.settings,
            lambda t, outcome, message: self.records.append((t, outcome, message)),
            self.counts,
        )
        self.answers.agent = self.agent

    def answer(self, *addresses: str, ttl: int = 60, **asked: Any) -> Transaction:
        """Ask, and let the answer come; what was asked before is the same question."""
        t = ask(sent=self.sent, **asked)
        which = asked.get("name", ""), asked.get("endpoint", 1)
        t.question = self._questions.setdefault(which, t.question)
        self.answers.answered(t, reply(t, *addresses, ttl=ttl), boottime())
        return t

    def acknowledge(self, which: int = -1, seconds: float = 3600) -> None:
        """Way 2.9, with a lease of so many seconds from now; 0: refused."""
        until = boottime() + int(seconds * SECOND) if seconds else 0
        self.answers.acknowledged(self.agent.given[which], until)
