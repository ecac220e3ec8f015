"""The proxy's datagrams: whatever they are, they are read or counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.model.dnsrecord import HEADER, DnsRecord, pack_record, split_datagram
from fqdnlab.observer.counters import Counters
from fqdnlab.observer.history import Kind
from fqdnlab.observer.names import NameHistory
from fqdnlab.observer.records import RecordReader

U64, U32, U16, U8 = (st.integers(0, 2**n - 1) for n in (64, 32, 16, 8))
ADDRESS = st.binary(min_size=16, max_size=16)
RECORDS = st.builds(
    DnsRecord,
    time=U64,
    latency=U64,
    client=ADDRESS,
    server=ADDRESS,
    endpoint=U32,
    generation=U32,
    rule=U32,
    lost=U32,
    client_port=U16,
    server_port=U16,
    transport=U8,
    outcome=U8,
    early=U8,
    flags=U8,
    message=st.binary(max_size=200),
)


@given(st.lists(RECORDS, max_size=5))
def test_records_come_out_as_they_went_in(records: list[DnsRecord]) -> None:
    raws, whole = split_datagram(b"".join(map(pack_record, records)))
    assert whole
    assert [DnsRecord.unpack(raw) for raw in raws] == records


@given(st.lists(RECORDS, max_size=5), st.integers(1, 72))
def test_a_datagram_cut_short_loses_its_last_record_only(
    records: list[DnsRecord], cut: int
) -> None:
    octets = b"".join(map(pack_record, records))[:-cut]
    raws, whole = split_datagram(octets)
    assert [DnsRecord.unpack(raw) for raw in raws] == records[:-1]
    assert whole == (not octets)


@given(st.binary(max_size=400))
def test_any_datagram(octets: bytes) -> None:
    reader = RecordReader(Counters(), NameHistory())
    slots, _, malformed = reader.take(octets)
    read = sum(2 + len(s.raw) for s in slots if s.kind is Kind.DNS_REQUEST)
    assert (read == len(octets)) == (malformed == 0)


@given(RECORDS)
def test_any_record_makes_slots(record: DnsRecord) -> None:
    """One for a refused question, two for any other; times never below zero."""
    reader = RecordReader(Counters(), NameHistory())
    slots, lost, malformed = reader.take(pack_record(record))
    assert (lost, malformed) == (record.lost, 0)
    assert len(slots) == (1 if record.outcome == 2 else 2)
    assert all(0 <= s.time <= record.time for s in slots)


def test_the_longest_message_is_cut_to_what_fits() -> None:
    record = DnsRecord(1, 0, bytes(16), bytes(16), 1, 1, 1, 0, 1, 53, 6, 1, 0, 0, b"x" * 65535)
    raws, whole = split_datagram(pack_record(record))
    assert whole
    assert len(raws[0]) == 65535
    assert len(DnsRecord.unpack(raws[0]).message) == 65535 - HEADER.size
