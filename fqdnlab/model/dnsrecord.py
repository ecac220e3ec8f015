"""DNS records, proxy → observer: one a transaction, packed fields and the message as it was.

A datagram holds records, each preceded by its length as u16.  The proxy packs one struct and
appends octets; the observer reads the message only when somebody looks.  All little endian.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

__all__ = ["FRAME", "HEADER", "DnsRecord", "Early", "Outcome", "pack_record", "split_datagram"]

#: time, latency (ns), client, server (16 octets each; IPv4 mapped), endpoint, generation, rule,
#: lost, client port, server port, transport, outcome, early, flags.
HEADER = struct.Struct("<QQ16s16sIIIIHHBBBB")
#: The same with the length (of `HEADER` and message together) before it.
FRAME = struct.Struct(f"<H{HEADER.format[1:]}")


class Outcome(IntEnum):
    """What became of the question."""

    ANSWERED = 1  # a response was released; the message is the response
    DENIED = 2  # by policy; the message is the question
    FAILED = (
        3  # no answer from upstream, or none that could be believed; the message is the question
    )


class Early(IntEnum):
    """Why an answer was released before the kernel had its addresses."""

    NO = 0
    AGENT_DEAD = 1
    HOLD_DEADLINE = 2
    HOLD_OFF = 3
    REFUSED = 4  # by the agent: its maps are full


class DnsRecord(NamedTuple):
    """One transaction.

    Attributes
    ----------
    time : int
        CLOCK_BOOTTIME, ns: when the answer was released or the question refused.
    latency : int
        ns since the question came.
    client, server : bytes
        16 octets; IPv4 mapped.
    endpoint : int
    generation : int
        Of the proxy.
    rule : int
        Index in rules.json of the rule that allowed the question; 0: none.
    lost : int
        Records that this proxy had to drop since the one before.
    client_port, server_port : int
    transport : int
        17 or 6.
    outcome : int
        `Outcome`.
    early : int
        `Early`.
    flags : int
        0.
    message : bytes
        As on the wire, without TCP's length.
    """

    time: int
    latency: int
    client: bytes
    server: bytes
    endpoint: int
    generation: int
    rule: int
    lost: int
    client_port: int
    server_port: int
    transport: int
    outcome: int
    early: int
    flags: int
    message: bytes

    @classmethod
    def unpack(cls, octets: bytes) -> DnsRecord:
        """Raises struct.error if there are too few octets."""
        return cls._make((*HEADER.unpack_from(octets), octets[HEADER.size :]))


def pack_record(record: DnsRecord) -> bytes:
    """The record preceded by its length; the message is cut to what u16 can count.

    A hot path packs `FRAME` itself and appends the message.
    """
    message = record.message[: 65535 - HEADER.size]
    return FRAME.pack(HEADER.size + len(message), *record[:-1]) + message


def split_datagram(octets: bytes) -> tuple[list[bytes], bool]:
    """The records of a datagram, and whether it was whole."""
    records: list[bytes] = []
    at, end = 0, len(octets)
    while at + 2 <= end:
        length = octets[at] | octets[at + 1] << 8
        at += 2
        if at + length > end or length < HEADER.size:
            return records, False
        records.append(octets[at : at + length])
        at += length
    return records, at == end
