"""What is done with each question: policy, limits, time-outs."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from fqdnlab.dns.proxy.asking import Asking
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.question import Question
from fqdnlab.dns.proxy.sockets import is_own, own_addresses
from fqdnlab.dns.proxy.table import PolicyTable
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.model.dnsrecord import Outcome
from tests.unit.dns.kit import SECOND, Bench, ask, reply, wire_question
from tests.unit.dns.test_table import UDP, snapshot

SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5


class Asked(Bench):
    """`Asking` over `Answers`; what would go upstream is noted in `out`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.out: list[Transaction] = []
        self._waiting: dict[int, Transaction] = {}
        self.asking = Asking(
            self.loop,  # type: ignore[arg-type]
            self.settings,
            self.answers,
            lambda t, outcome, message: self.records.append((t, outcome, message)),
            self.counts,
            100,
        )
        rule = (1, 9, 53, UDP, ["*.example.com"], [3])
        self.asking.table = PolicyTable(snapshot(rule, prefixes={"0.0.0.0/0": 9, "::/0": 9}))

    def upstream(self, t: Transaction) -> None:
        t.number = len(self.out)
        self.out.append(t)
        t.asked = self._waiting
        self._waiting[t.number] = t

    def judged(self, name: str = "api.example.com", server: str = "192.0.2.53") -> Question:
        client = bytes([10, 10, 0, 1])
        packed = ip_address(server).packed
        return self.asking.question(wire_question(name), client, packed, 53, UDP)

    def question(self, **asked: Any) -> Transaction:
        t = ask(sent=self.sent, question=self.judged(**asked))
        if self.asking.allowed(t):
            self.asking.ask(t, self.upstream)
        return t

    def answer_upstream(self, t: Transaction) -> None:
        t.forget()
        self.asking.answered(t, reply(t), boottime())

    def rcodes(self) -> list[int]:
        return [sent[3] & 15 for sent in self.sent]


def test_denied_is_answered_here_and_never_forwarded() -> None:
    bench = Asked()
    t = bench.question(name="other.org")
    assert (bench.rcodes(), bench.out) == ([REFUSED], [])
    assert bench.records == [(t, Outcome.DENIED, t.question.octets)]
    assert (bench.counts.received, bench.counts.denied, bench.counts.forwarded) == (1, 1, 0)


def test_the_reject_code_is_settable() -> None:
    bench = Asked(reject_code="nameError")
    bench.question(name="other.org")
    assert bench.rcodes() == [NXDOMAIN]


@pytest.mark.parametrize("generation", [0, 1, 249, 250, 1000])
def test_nobody_may_ask_the_proxy_itself(generation: int) -> None:
    """Of whatever generation: a loop would have no end."""
    bench = Asked()
    for address in own_addresses(generation):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        assert is_own(socket.inet_pton(family, address))
        t = ask(sent=bench.sent, question=bench.judged(server=address))
        assert not bench.asking.allowed(t)
    assert bench.rcodes() == [REFUSED, REFUSED]


@pytest.mark.parametrize("address", ["127.0.54.1", "127.0.0.53", "fd00:54::1", "fd00:53::1:1"])
def test_others_are_not_the_proxy(address: str) -> None:
    assert not is_own(ip_address(address).packed)


def test_allowed_questions_and_upstream_questions_are_as_many() -> None:
    """Never from a cache, however often the same is asked."""
    bench = Asked()
    for _ in range(5):
        bench.answer_upstream(bench.question())
    assert (len(bench.out), len(bench.sent), bench.counts.forwarded) == (5, 5, 5)


# --- limits


def test_over_the_limit_is_shed_at_once_and_counted() -> None:
    bench = Asked(concurrency_limit=2)
    first, _, third = (bench.question() for _ in range(3))
    assert (bench.rcodes(), third.done, bench.counts.shed) == ([SERVFAIL], True, 1)
    bench.answer_upstream(first)
    bench.question()
    assert (len(bench.out), bench.counts.shed) == (3, 1)


def test_with_grace_one_waits_for_room() -> None:
    bench = Asked(concurrency_limit=1, concurrency_grace=0.5)
    first, second = bench.question(), bench.question()
    assert (bench.out, bench.sent) == ([first], [])
    bench.loop.pass_time(0.4)
    bench.answer_upstream(first)
    assert bench.out == [first, second]
    bench.loop.pass_time(1)
    assert bench.counts.shed == 0


def test_and_is_shed_when_grace_is_over() -> None:
    bench = Asked(concurrency_limit=1, concurrency_grace=0.5)
    bench.question()
    bench.question()
    bench.loop.pass_time(0.51)
    assert (bench.rcodes(), bench.counts.shed, len(bench.out)) == ([SERVFAIL], 1, 1)


def test_a_time_out_makes_room() -> None:
    bench = Asked(concurrency_limit=1, concurrency_grace=60.0)
    first, second = bench.question(), bench.question()
    first.start -= 11 * SECOND
    bench.asking.sweep()
    assert (bench.rcodes(), bench.out) == ([SERVFAIL], [first, second])


# --- time-outs


@pytest.mark.parametrize(("word", "rcodes"), [("servfail", [SERVFAIL]), ("silent", [])])
def test_no_answer_in_time(word: str, rcodes: list[int]) -> None:
    bench = Asked(upstream_timeout_answer=word)
    late, early = bench.question(), bench.question()
    late.start -= 11 * SECOND
    bench.asking.sweep()
    assert (bench.rcodes(), late.done, early.done) == (rcodes, True, False)
    assert late.asked is None
    assert late not in bench._waiting.values()  # an answer is believed no more
    assert [(t, outcome) for t, outcome, _ in bench.records] == [(late, Outcome.FAILED)]
    assert bench.asking.busy
    bench.answer_upstream(early)
    assert not bench.asking.busy


def test_what_cannot_be_sent_is_servfail_at_once() -> None:
    bench = Asked()
    t = ask(sent=bench.sent)

    def unreachable(_: Transaction) -> None:
        raise OSError("network is unreachable")

    bench.asking.ask(t, unreachable)
    assert (bench.rcodes(), bench.asking.busy) == ([SERVFAIL], False)


def test_one_that_nobody_waits_for_any_more() -> None:
    bench = Asked(concurrency_limit=1)
    bench.asking.give_up(bench.question(), silent=True)
    assert bench.sent == []
    bench.question()
    assert (len(bench.out), bench.counts.shed) == (2, 0)
