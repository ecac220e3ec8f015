"""Behaviours: what is accepted, which one holds, and what the octets of wrong answers are."""

from __future__ import annotations

from typing import Any

import pytest
from dnslib import DNSError, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.errors import UsageError
from fqdnlab.world.behaviour import MALFORMED, WRONG, Behaviour, Behaviours, forward_target
from fqdnlab.world.log import QueryLog
from fqdnlab.world.responder import Responder
from fqdnlab.world.store import Edit, Store
from fqdnlab.world.wire import A, name_wire
from tests.unit.world.strategies import NAMES, V4

SERVER = bytes([10, 96, 0, 10])
CLIENT = ("10.10.0.1", 5555)


class Asked:
    """A responder with one name, asked over UDP."""

    def __init__(self, address: str = "198.51.100.7", name: str = "a.example") -> None:
        self.store, self.behaviours, self.log = Store(), Behaviours(), QueryLog()
        self.store.apply([Edit("set", name, values=(address,))])
        self.responder = Responder(self.store, self.behaviours, self.log)
        self.question = bytes(DNSRecord.question(name).pack())

    def replies(self, **behaviour: Any) -> list[Any]:
        self.behaviours.put("", "", Behaviour(**behaviour))
        return list(self.responder.respond(self.question, SERVER, CLIENT, "udp"))


@pytest.mark.parametrize(
    "given_",
    [
        {"delay": -1.0},
        {"delay": float("nan")},
        {"loss": 1.01},
        {"rcode": "OK"},
        {"rcode": "BADVERS"},
        {"wrong": ("colour",)},
        {"wrong_addresses": ("x",)},
        {"instead": True},
        {"extra": ("bank.example",)},
        {"extra": ("bank.example 1.2.3",)},
        {"malformed": "odd"},
        {"malformed": "hex:abc"},
        {"limit": -1},
        {"times": -1},
        {"types": ("B",)},
        {"transports": ("quic",)},
        {"forward": "127.0.0.1"},
        {"forward": "127.0.0.1:0"},
        {"forward": "knot.example:53"},
        {"forward": "unix:relative"},
    ],
)
def test_what_cannot_be(given_: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as told:
        Behaviour(**given_)
    assert told.value.remedy or told.value.message


def test_targets() -> None:
    assert forward_target("127.0.0.1:5353") == ("127.0.0.1", 5353)
    assert forward_target("[::1]:53") == ("::1", 53)
    assert forward_target("unix:/run/knot.sock") == ("/run/knot.sock", 0)


def test_which_one_holds() -> None:
    behaviours = Behaviours()
    places = [("", ""), ("", "10.96.0.10"), ("*.a", ""), ("*.b.a", ""), ("x.b.a", "")]
    places += [("*.a", "10.96.0.10"), ("x.b.a", "10.96.0.10")]
    for number, (name, server) in enumerate(places, 1):
        behaviours.put(name, server, Behaviour(delay=float(number)))

    def delay(name: str, server: bytes = bytes(4)) -> float:
        found = behaviours.of(server, name_wire(name), A, "udp")
        assert found is not None
        return found.delay

    assert [delay(n) for n in ("z", "a", "y.a", "y.b.a", "x.b.a")] == [1, 1, 3, 4, 5]
    assert [delay(n, SERVER) for n in ("z", "y.a", "y.b.a", "x.b.a")] == [2, 6, 4, 7]
    behaviours.clear(server="10.96.0.10")
    assert delay("x.b.a", SERVER) == 5
    behaviours.clear("x.b.a")
    assert delay("x.b.a", SERVER) == 4
    behaviours.put("*.b.a", "", Behaviour())
    assert delay("x.b.a", SERVER) == 3
    behaviours.clear()
    assert not behaviours


def test_times_and_transports() -> None:
    asked = Asked()
    asked.behaviours.put("", "", Behaviour(silent=True, times=2, transports=("udp",)))

    def answers(transport: str) -> int:
        return len(asked.responder.respond(asked.question, SERVER, CLIENT, transport))

    assert [answers(t) for t in ("tcp", "udp", "https", "udp", "udp")] == [1, 0, 1, 0, 1]


@given(NAMES, V4, st.sampled_from(WRONG), st.booleans())
def test_forged_answers_differ_in_one_thing(
    name: str, address: str, word: str, instead: bool
) -> None:
    asked = Asked(address, name)
    replies = asked.replies(wrong=(word,), wrong_addresses=("203.0.113.66",), instead=instead)
    assert len(replies) == 2 - instead
    forged = DNSRecord.parse(replies[0].data)
    question = DNSRecord.parse(asked.question)
    differs = {
        "id": forged.header.id != question.header.id,
        "name": str(forged.q.qname) != str(question.q.qname),
        "type": forged.q.qtype != question.q.qtype,
        "port": replies[0].port != 0,
        "address": replies[0].source not in (b"", SERVER),
    }
    assert [key for key, value in differs.items() if value] == [word]
    if word != "type":
        assert [str(r.rdata) for r in forged.rr] == ["203.0.113.66"]
    if not instead:
        assert [str(r.rdata) for r in DNSRecord.parse(replies[1].data).rr] == [address]


@pytest.mark.parametrize("transport", ["tcp", "tls", "https"])
def test_a_stream_has_one_port_and_one_address(transport: str) -> None:
    asked = Asked()
    asked.behaviours.put("", "", Behaviour(wrong=("port", "address", "id")))
    replies = asked.responder.respond(asked.question, SERVER, CLIENT, transport)
    assert len(replies) == 2


@pytest.mark.parametrize("kind", [one for one in MALFORMED if one not in ("empty", "oversized")])
@pytest.mark.parametrize("code", ["", "NXDOMAIN"])
def test_spoilt_messages_cannot_be_read(kind: str, code: str) -> None:
    data = Asked().replies(malformed=kind, rcode=code)[0].data
    if kind == "short" and code:
        assert len(data) < 24
    with pytest.raises((DNSError, ValueError)):
        DNSRecord.parse(data)


def test_poison_leaves_the_answer_whole() -> None:
    data = Asked().replies(extra=("bank.example 203.0.113.5",), truncate=False)[0].data
    answer = DNSRecord.parse(data)
    assert [str(r.rdata) for r in answer.rr] == ["198.51.100.7"]
    assert [(str(r.rname), str(r.rdata)) for r in answer.ar] == [("bank.example.", "203.0.113.5")]


def test_limit_and_turns() -> None:
    asked = Asked()
    asked.store.apply([Edit("set", "a.example", values=("10.0.0.1", "10.0.0.2", "10.0.0.3"))])
    asked.behaviours.put("", "", Behaviour(limit=1, rotate_each=True))
    seen = []
    for _ in range(4):
        (reply,) = asked.responder.respond(asked.question, SERVER, CLIENT, "udp")
        seen.append(str(DNSRecord.parse(reply.data).rr[0].rdata))
    assert seen == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"]


@given(st.binary(max_size=100))
def test_no_octets_break_the_responder(data: bytes) -> None:
    asked = Asked()
    for behaviour in ({}, {"wrong": WRONG, "malformed": "pointer", "extra": ("b 10.0.0.1",)}):
        asked.behaviours.put("", "", Behaviour(**behaviour))
        asked.responder.respond(data, SERVER, CLIENT, "udp")
    assert asked.log.newest + asked.log.malformed == 2


def test_another_opcode_or_class_is_refused() -> None:
    asked = Asked()
    update = asked.question[:2] + b"\x28\0" + asked.question[4:]  # opcode UPDATE
    chaos = asked.question[:-1] + b"\3"
    codes = []
    for data in (update, chaos, asked.question):
        (reply,) = asked.responder.respond(data, SERVER, CLIENT, "udp")
        codes.append(DNSRecord.parse(reply.data).header.rcode)
    assert codes == [4, 5, 0]


def test_the_log_forgets_the_oldest() -> None:
    log = QueryLog()
    for number in range(50_010):
        log.add((f"10.0.{number % 5}.1", 1), SERVER, b"\1a\0", b"\1a\0\0\1\0\1", A, b"\0\1", "udp")
    assert (log.newest, log.dropped) == (50_010, 10)
    assert [e.number for e in log.since(50_007)] == [50_008, 50_009, 50_010]
    assert next(log.since(0)).number == 11
    assert log.clients()[0] == "10.0.4.1"
    assert log.counts.total() == 50_010


def test_counts_are_bounded() -> None:
    log = QueryLog()
    for number in range(100_010):
        key = b"\4" + number.to_bytes(4, "big") + b"\0\0\1\0\1"
        log.add(CLIENT, SERVER, key[:-4], key, A, b"\0\1", "udp")
    assert len(log.counts) == 100_001
    assert log.counts.total() == 100_010
    log.malformed_ever += 2
    log.reset()
    assert (log.counts.total(), log.malformed, log.malformed_ever) == (0, 0, 2)
    assert log.transports["udp"] == 100_010
