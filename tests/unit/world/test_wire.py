"""Messages as octets, against dnslib's own reading of them."""

from __future__ import annotations

import pytest
from dnslib import EDNS0, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.errors import UsageError
from fqdnlab.world.wire import (
    AAAA,
    CNAME,
    A,
    MalformedError,
    Record,
    build,
    compile_answer,
    header_only,
    name_text,
    name_wire,
    parse_question,
)
from tests.unit.world.strategies import NAMES


def asked(name: str, kind: str = "A", size: int = 0) -> bytes:
    record = DNSRecord.question(name, kind)
    if size:
        record.add_ar(EDNS0(udp_len=size))
    return bytes(record.pack())


@given(NAMES, st.sampled_from(["A", "AAAA", "MX", "HTTPS"]), st.sampled_from([0, 512, 4096]))
def test_questions_are_read(name: str, kind: str, size: int) -> None:
    data = asked(name, kind, size)
    question = parse_question(data)
    parsed = DNSRecord.parse(data)
    assert question.id == data[:2]
    assert name_text(question.name) == name
    assert question.key[:-4] == name_wire(name)
    assert question.type == parsed.q.qtype
    assert question.qclass == 1
    assert question.size == size


@given(st.binary(max_size=80))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    try:
        question = parse_question(data)
    except MalformedError as error:
        if error.answerable:
            assert DNSRecord.parse(header_only(data, 1)).header.rcode == 1
        return
    assert data[12:].startswith(question.name)


@given(NAMES, st.integers(0, 200))
def test_a_question_cut_anywhere_is_refused(name: str, cut: int) -> None:
    data = asked(name)
    with pytest.raises(MalformedError):
        parse_question(data[: cut % len(data)])


@given(st.integers(0, 120), NAMES, st.sampled_from([0, 512, 1232, 4096]))
def test_answers_are_whole_or_cut_at_a_record(count: int, name: str, size: int) -> None:
    question = parse_question(asked(name, "A", size))
    key = question.key[:-4]
    target = name_wire("some.target.example")
    records = [Record(key, CNAME, 5, target)]
    records += [Record(target, A, 60, bytes([10, 0, n // 250, n % 250])) for n in range(count)]
    limit = size or 512
    data = build(question, compile_answer(question.name, 0, records), limit)
    assert len(data) <= limit
    answer = DNSRecord.parse(data)
    assert str(answer.q.qname) == f"{name}."
    got = [str(r.rdata) for r in answer.rr]
    want = ["some.target.example.", *(f"10.0.{n // 250}.{n % 250}" for n in range(count))]
    assert got == want[: len(got)]
    assert bool(answer.header.tc) == (len(got) < len(want))
    assert [r.rtype for r in answer.ar] == ([41] if size else [])
    if answer.header.tc:
        assert limit - len(data) < 16 + len(target)  # no room for one more
    assert str(answer.rr[0].rname) == f"{name}." if got else True


def test_sections_and_flags() -> None:
    question = parse_question(asked("a.example", "AAAA"))
    soa = Record(name_wire("example"), 6, 5, b"\0\0" + bytes(20))
    extra = Record(name_wire("b.example"), AAAA, 7, bytes(16))
    answer = DNSRecord.parse(
        build(question, compile_answer(question.name, 3, (), [soa], [extra]), 512)
    )
    assert (answer.header.rcode, answer.header.aa, answer.header.rd) == (3, 1, 1)
    assert [str(r.rname) for r in (*answer.auth, *answer.ar)] == ["example.", "b.example."]


# --- Names ------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=6))
def test_any_name_survives_as_text(labels: list[bytes]) -> None:
    wire = b"".join(bytes([len(one)]) + one for one in labels) + b"\0"
    assert name_wire(name_text(wire)) == wire.lower()


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        wire = name_wire(text)
    except UsageError:
        return
    assert len(wire) <= 255
    assert name_wire(name_text(wire)) == wire


@pytest.mark.parametrize(
    "text",
    [
        "a..b",
        ".a",
        "a b",
        "ä.example",
        "\\Ā",
        "\\²³¹",
        "\\1²³",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "a\n",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError, match="no DNS name"):
        name_wire(text)


def test_names_at_the_limit() -> None:
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(longest) == 253
    assert len(name_wire(longest + ".")) == 255
    with pytest.raises(UsageError):
        name_wire(longest + "d")
