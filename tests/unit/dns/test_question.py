"""What is known of a question however often it is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fqdnlab.dns.proxy.question import Lease
from tests.unit.dns.kit import ask, reply

ANSWER = reply(ask())


def test_its_answers_answer_it_again_and_again() -> None:
    t = ask()
    answer = reply(t, "198.51.100.7")
    for seen in (None, answer, ANSWER):
        t.question.seen = seen
        assert t.question.asks_for(answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x81",
        ANSWER[:9],
        reply(ask(name="b.example.com")),
        reply(ask(name="API.example.com")),  # letter for letter
        ask().question.octets,  # no answer
        ANSWER[:3] + b"\2" + ANSWER[4:],
        ANSWER[:2] + b"\1" + ANSWER[3:],
        b"\xa0" + ANSWER[1:],  # another opcode
    ],
)
def test_others_do_not(answer: bytes) -> None:
    for seen in (None, ANSWER):
        t = ask()
        t.question.seen = seen
        assert not t.question.asks_for(answer)


def test_a_lease_ends_with_its_first_address() -> None:
    lease, both = Lease(), (b"1111", b"2222")
    lease.note(both, 50)
    lease.note(both[:1], 70)
    ends = []
    for addresses in (both, both[:1], (b"1111", b"3333")):
        lease.look(addresses)
        ends.append(lease.least)
    assert ends == [50, 70, 0]


@pytest.mark.parametrize("change", [lambda lease: lease.note((b"1111",), 9), Lease.forget])
def test_what_was_looked_up_is_looked_up_anew_after_a_change(
    change: Callable[[Lease], None],
) -> None:
    lease, addresses = Lease(), (b"1111",)
    lease.note(addresses, 70)
    lease.look(addresses)
    assert lease.addresses is addresses
    change(lease)
    assert lease.addresses is not addresses
