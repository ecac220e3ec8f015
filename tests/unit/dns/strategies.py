"""Names, questions and answers for hypothesis; what is well formed is made by dnslib."""

from __future__ import annotations

import ipaddress
from typing import Any

from dnslib import (
    AAAA,
    CLASS,
    CNAME,
    EDNS0,
    MX,
    QTYPE,
    RR,
    TXT,
    A,
    DNSHeader,
    DNSQuestion,
    DNSRecord,
)
from hypothesis import strategies as st

__all__ = ["answers", "messages", "names", "octets", "queries", "wire_name"]

octets = st.binary(max_size=600)
_label = st.text("abcXYZ019-_", min_size=1, max_size=12)
names = st.lists(_label, min_size=1, max_size=5).map(".".join)
_ttl = st.integers(0, (1 << 31) - 1)


def _record(name: str, ttl: int, kind: Any) -> RR:
    return RR(name, QTYPE.reverse[type(kind).__name__], CLASS.IN, ttl, kind)


_rdata = st.one_of(
    st.integers(0, (1 << 32) - 1).map(lambda n: A(str(ipaddress.IPv4Address(n)))),
    st.integers(0, (1 << 128) - 1).map(lambda n: AAAA(str(ipaddress.IPv6Address(n)))),
    names.map(CNAME),
    names.map(MX),
    st.text("ab", max_size=20).map(TXT),
)
_records = st.lists(st.builds(_record, names, _ttl, _rdata), max_size=8)


@st.composite
def queries(draw: st.DrawFn) -> DNSRecord:
    """A question as clients send it, some with EDNS."""
    kind = draw(st.sampled_from([QTYPE.A, QTYPE.AAAA, QTYPE.MX, QTYPE.TXT]))
    header = DNSHeader(id=draw(st.integers(0, 65535)), rd=1)
    record = DNSRecord(header, q=DNSQuestion(draw(names), kind))
    if draw(st.booleans()):
        record.add_ar(EDNS0(udp_len=draw(st.sampled_from([512, 1232, 4096]))))
    return record


@st.composite
def answers(draw: st.DrawFn) -> DNSRecord:
    """An answer of any records, packed (and so compressed) by dnslib."""
    header = DNSHeader(id=draw(st.integers(0, 65535)), qr=1, aa=draw(st.integers(0, 1)))
    made = DNSRecord(header, q=DNSQuestion(draw(names), QTYPE.A))
    made.add_answer(*draw(_records))
    made.add_auth(*draw(st.lists(st.builds(_record, names, _ttl, _rdata), max_size=2)))
    return made


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A good message, some of its octets changed, cut or added."""
    data = bytearray(draw(st.one_of(queries(), answers())).pack())
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.none(), st.integers(0, len(data))))
    return bytes(data[:cut]) + draw(st.binary(max_size=3))


def wire_name(text: str) -> bytes:
    """A plain name's octets, lower case."""
    labels = [part.encode().lower() for part in text.rstrip(".").split(".") if part]
    return b"".join(bytes([len(one)]) + one for one in labels) + b"\0"
