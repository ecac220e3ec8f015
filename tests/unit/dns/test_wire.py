"""The raw reader: any octets give a result or an error; well-formed ones what dnslib says."""

from __future__ import annotations

import struct

import pytest
from dnslib import DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.dns.proxy.wire import (
    FORMERR,
    NOTIMP,
    REFUSED,
    SERVFAIL,
    MalformedError,
    error_reply,
    limit_edns,
    name_text,
    read_answer,
    read_question,
)
from tests.unit.dns.strategies import answers, messages, octets, queries, wire_name

ASKED = bytes(DNSRecord.question("api.example.com", "A").pack())
EDNS = b"\0\0\x29\x10\0\0\0\0\0\0\0"


def header(*counts: int, flags: int = 0x0100, number: int = 0x1234) -> bytes:
    return struct.pack("!6H", number, flags, *counts)


def refused(data: bytes) -> int:
    with pytest.raises(MalformedError) as caught:
        read_question(data)
    return caught.value.rcode


# --- any octets


@given(st.one_of(octets, messages()))
def test_a_question_is_read_or_refused(data: bytes) -> None:
    try:
        name, qtype, end = read_question(data)
    except MalformedError as error:
        reply = error_reply(data, error.rcode) if len(data) >= 12 else b""
        assert reply[3:4] in (b"\1", b"\4", b"\x11", b"\x14", b"")  # FORMERR, NOTIMP; CD kept
        return
    assert data[12 : 12 + len(name)].lower() == name
    assert end == 12 + len(name) + 4 <= len(data)
    assert 1 <= len(name) <= 255
    assert 0 <= qtype < 1 << 16
    assert name_text(name).endswith(".")


@given(st.one_of(octets, messages()), st.integers(0, 620))
def test_an_answer_is_read_or_refused(data: bytes, at: int) -> None:
    if len(data) < 12:
        return  # the callers' own check
    try:
        addresses, ttl = read_answer(data, at)
    except MalformedError:
        return
    assert all(len(address) in (4, 16) for address in addresses)
    assert 0 <= ttl < 1 << 31


@given(st.one_of(octets, messages()))
def test_what_one_accepts_dnslib_accepts(data: bytes) -> None:
    """The other way round is not promised: dnslib is lenient with counts and what follows."""
    try:
        name, qtype, _ = read_question(data)
    except MalformedError:
        return
    if data[6:12] == bytes(6) and name.isascii():  # dnslib takes no other octets
        question = DNSRecord.parse(data).q
        assert (question.qtype, len(question.qname.label)) == (
            qtype,
            name_text(name).count(".") or 0,
        )


# --- agreement with dnslib


@given(queries())
def test_questions_as_dnslib_packs_them(record: DNSRecord) -> None:
    data = bytes(record.pack())
    name, qtype, end = read_question(data)
    assert name == wire_name(str(record.q.qname))
    assert name_text(name) == str(record.q.qname).lower()
    assert qtype == record.q.qtype
    assert data[12 : end - 4].lower() == name


@given(answers())
def test_answers_as_dnslib_packs_them(record: DNSRecord) -> None:
    data = bytes(record.pack())
    _, _, end = read_question(data)
    addresses, ttl = read_answer(data, end)
    ours = [rr for rr in record.rr if rr.rtype in (1, 28)]
    expected = list(dict.fromkeys(bytes(rr.rdata.data) for rr in ours))
    assert list(addresses) == expected
    assert ttl == min((rr.ttl for rr in record.rr if rr.rtype in (1, 5, 28)), default=0)


@given(queries(), st.sampled_from([FORMERR, SERVFAIL, REFUSED]))
def test_an_error_reply_is_the_question_back(record: DNSRecord, rcode: int) -> None:
    data = bytes(record.pack())
    reply = DNSRecord.parse(error_reply(data, rcode, read_question(data)[2]))
    assert (reply.header.qr, reply.header.rcode, reply.header.id) == (1, rcode, record.header.id)
    assert reply.header.rd == record.header.rd
    assert str(reply.q.qname) == str(record.q.qname)  # 0x20: letter for letter
    assert (reply.header.a, reply.header.auth) == (0, 0)
    assert len(reply.ar) == len(record.ar)  # EDNS is answered by EDNS, and only then


def test_an_error_reply_without_a_question_is_a_header() -> None:
    assert error_reply(header(5, 1, 2, 3), FORMERR) == header(0, 0, 0, 0, flags=0x8101)


# --- what is malformed


@pytest.mark.parametrize("length", range(len(ASKED)))
def test_short_ones(length: int) -> None:
    assert refused(ASKED[:length]) == FORMERR


@pytest.mark.parametrize("count", [0, 2, 65535])
def test_not_one_question(count: int) -> None:
    assert refused(header(count, 0, 0, 0) + ASKED[12:]) == FORMERR


@pytest.mark.parametrize("at", [12, 14, 0, 0x3FFF])
def test_a_pointer_in_a_question_s_name(at: int) -> None:
    assert refused(header(1, 0, 0, 0) + struct.pack("!HHH", 0xC000 | at, 1, 1)) == FORMERR


@pytest.mark.parametrize("first", [0x40, 0x80])
def test_a_reserved_kind_of_label(first: int) -> None:
    assert refused(header(1, 0, 0, 0) + bytes([first]) + bytes(70)) == FORMERR


@pytest.mark.parametrize("counts", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 65535)])
def test_counts_of_records_that_are_not_there(counts: tuple[int, int, int]) -> None:
    assert refused(header(1, *counts) + ASKED[12:]) == FORMERR


@pytest.mark.parametrize("more", [b"\0", EDNS, bytes(9000)])
def test_octets_that_no_count_speaks_of(more: bytes) -> None:
    assert refused(ASKED + more) == FORMERR


@pytest.mark.parametrize(
    "opt", [EDNS + b"\0", EDNS[:-1], EDNS[:-1] + b"\5", EDNS[:-2] + b"\xff\xff"]
)
def test_an_opt_record_of_a_wrong_length(opt: bytes) -> None:
    assert refused(header(1, 0, 0, 1) + ASKED[12:] + opt) == FORMERR


def test_records_after_a_question_are_walked() -> None:
    """An IXFR has the zone's SOA in its authority section; TSIG follows OPT."""
    soa = b"\xc0\x0c" + struct.pack("!HHIH", 6, 1, 0, 22) + bytes(22)
    tsig = b"\1k\0" + struct.pack("!HHIH", 250, 255, 0, 3) + b"abc"
    data = header(1, 0, 1, 2) + ASKED[12:] + soa + EDNS + tsig
    assert read_question(data)[0] == wire_name("api.example.com")
    assert refused(data[:-1]) == FORMERR
    assert refused(data + b"\0") == FORMERR


@pytest.mark.parametrize(("labels", "good"), [([63, 63, 63, 61], True), ([63, 63, 63, 62], False)])
def test_the_longest_name(labels: list[int], good: bool) -> None:
    name = b"".join(bytes([n]) + b"a" * n for n in labels) + b"\0"
    data = header(1, 0, 0, 0) + name + b"\0\1\0\1"
    if good:
        assert read_question(data)[0] == name
        assert len(name) == 255
    else:
        assert refused(data) == FORMERR


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 15])
def test_other_opcodes_are_not_implemented(opcode: int) -> None:
    assert refused(header(1, 0, 0, 0, flags=opcode << 11) + ASKED[12:]) == NOTIMP


# --- answers that are not to be learned from


def answered(record: bytes, count: int = 1) -> bytes:
    return header(1, count, 0, 0, flags=0x8180) + ASKED[12:] + record


def address(name: bytes, octets_: bytes = b"\1\2\3\4", ttl: int = 60, kind: int = 1) -> bytes:
    return name + struct.pack("!HHIH", kind, 1, ttl, len(octets_)) + octets_


END = len(ASKED)


def test_a_good_answer() -> None:
    assert read_answer(answered(address(b"\xc0\x0c")), END) == ((b"\1\2\3\4",), 60)


@pytest.mark.parametrize(
    "name",
    [
        struct.pack("!H", 0xC000 | END),  # to itself
        struct.pack("!H", 0xC000 | END + 2),  # ahead
        b"\1a" + struct.pack("!H", 0xC000 | END),  # to a name that leads here again
        b"\xff\xff",  # past the end
        b"\xc0\0",  # into the header
        b"\x7fa",
    ],
)
def test_pointers_that_lead_nowhere(name: bytes) -> None:
    with pytest.raises(MalformedError):
        read_answer(answered(address(name)), END)


def test_pointers_to_pointers_backwards_are_followed() -> None:
    second = address(b"\3www" + struct.pack("!H", 0xC000 | END), b"\5\6\7\x08", 30)
    data = answered(address(b"\xc0\x0c") + second, 2)
    assert read_answer(data, END) == ((b"\1\2\3\4", b"\5\6\7\x08"), 30)


@pytest.mark.parametrize(
    ("record", "count"),
    [
        (address(b"\xc0\x0c", b"\1\2\3"), 1),
        (address(b"\xc0\x0c", b"\1\2\3\4", kind=28), 1),
        (address(b"\xc0\x0c")[:-1], 1),
        (address(b"\xc0\x0c"), 2),
        (address(b"\xc0\x0c", b"\3www\0x", kind=5), 1),  # an alias and something more
        (b"\xc0", 1),
    ],
)
def test_records_of_a_wrong_shape(record: bytes, count: int) -> None:
    with pytest.raises(MalformedError):
        read_answer(answered(record, count), END)


@pytest.mark.parametrize(("ttl", "read"), [(0, 0), (1 << 31, 0), ((1 << 31) - 1, (1 << 31) - 1)])
def test_ttls_at_the_edge(ttl: int, read: int) -> None:
    assert read_answer(answered(address(b"\xc0\x0c", ttl=ttl)), END)[1] == read


def test_the_lowest_ttl_of_a_chain_and_of_nothing_else() -> None:
    records = (
        address(b"\xc0\x0c", wire_name("cdn.example.net"), 300, kind=5)
        + address(wire_name("cdn.example.net"), ttl=20)
        + address(b"\xc0\x0c", b"\0\1\1x\0", 1, kind=15)  # an MX record's TTL counts for nothing
    )
    assert read_answer(answered(records, 3), END) == ((b"\1\2\3\4",), 20)


def test_another_class_is_not_an_address() -> None:
    chaos = b"\xc0\x0c" + struct.pack("!HHIH", 1, 3, 5, 4) + b"\1\2\3\4"
    assert read_answer(answered(chaos), END) == ((), 0)


@pytest.mark.parametrize("more", [b"\0", EDNS, bytes(9000)])
def test_an_answer_with_more_than_its_header_says(more: bytes) -> None:
    with pytest.raises(MalformedError):
        read_answer(answered(address(b"\xc0\x0c")) + more, END)


def test_an_answer_s_other_sections_must_be_whole() -> None:
    data = bytearray(answered(address(b"\xc0\x0c")) + EDNS)
    data[11] = 1
    assert read_answer(bytes(data), END)[0] == (b"\1\2\3\4",)
    for wrong in (data[:-1], bytes(data).replace(EDNS, EDNS[:-1] + b"\1")):
        with pytest.raises(MalformedError):
            read_answer(bytes(wrong), END)


# --- EDNS on its way upstream


@pytest.mark.parametrize(("size", "sent"), [(512, 512), (1232, 1232), (1233, 1232), (65535, 1232)])
def test_no_answer_is_asked_for_that_might_come_in_fragments(size: int, sent: int) -> None:
    opt = b"\0\0\x29" + size.to_bytes(2, "big") + b"\0\0\x80\0\0\0"
    data = header(1, 0, 0, 1) + ASKED[12:] + opt
    found = limit_edns(data, END)
    assert found == data.replace(opt[:5], opt[:3] + sent.to_bytes(2, "big"))


@pytest.mark.parametrize("data", [ASKED, header(1, 0, 0, 2) + ASKED[12:] + EDNS + b"\1k" + EDNS])
def test_other_questions_go_as_they_are(data: bytes) -> None:
    """Two additional records: one may be a signature (TSIG) over the rest."""
    assert limit_edns(data, END) == data


# --- names with odd octets


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=6))
def test_no_two_names_have_one_text(labels: list[bytes]) -> None:
    wire = b"".join(bytes([len(one)]) + one for one in labels) + b"\0"
    text = name_text(wire)
    assert text.isascii()
    assert text.isprintable()
    assert _labels(text) == labels


def _labels(text: str) -> list[bytes]:
    """The labels of a name in master-file form (RFC 1035, 5.1)."""
    if text == ".":
        return []
    found, label, at = [], bytearray(), 0
    while at < len(text):
        if text[at] == ".":
            found.append(bytes(label))
            label.clear()
        elif text[at] != "\\":
            label.append(ord(text[at]))
        elif text[at + 1].isdigit():
            label.append(int(text[at + 1 : at + 4]))
            at += 3
        else:
            label.append(ord(text[at + 1]))
            at += 1
        at += 1
    return found
