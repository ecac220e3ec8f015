"""What a flow shows of a DNS message: question, code, addresses, aliases, smallest TTL.

A reader of copies for showing: on octets that are no DNS message it returns what it could read,
and never raises.  Nothing is decided on what it returns.  Format: RFC 1035, 4.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["NO_TTL", "RCODES", "Message", "MessageKind", "Messages", "read_message", "type_name"]

NO_TTL = 0xFFFFFFFF  # Hubble's word for a message without records
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_A, _CNAME, _AAAA = 1, 5, 28
_TYPES = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    41: "OPT",
    257: "CAA",
    # RFC 9460 and later ones, which Hubble calls unknown too
    64: "Unknown",
    65: "Unknown",
}
#: Names of response codes as Hubble writes them in summaries and metrics.
RCODES = {
    0: "No Error",
    1: "Format Error",
    2: "Server Failure",
    3: "Non-Existent Domain",
    4: "Not Implemented",
    5: "Query Refused",
}


def type_name(number: int) -> str:
    """``A``, ``AAAA``, ...; ``Unknown`` as Hubble says for the rest."""
    return _TYPES.get(number, "Unknown")


class MessageKind(NamedTuple):
    """What metrics tell apart."""

    rcode: int
    qtype: int
    addresses: int
    types: tuple[int, ...]


_UNREAD = MessageKind(0, 0, 0, ())


@dataclass(eq=False, slots=True)
class Message:
    """What could be read; names in presentation form, lower case, with the final dot.

    Compared and hashed by identity: `Messages` gives the same object for the same octets.
    """

    id: int = 0
    rcode: int = 0
    query: str = ""
    qtype: int = 0
    addresses: list[tuple[str, int]] = field(default_factory=list)  # (address, TTL in s)
    cnames: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    ttl: int = NO_TTL
    kind: MessageKind = _UNREAD


def read_message(octets: bytes) -> Message:
    """Read `octets` as far as they are a DNS message."""
    found = Message()
    with contextlib.suppress(struct.error, IndexError):  # what was read before it stands
        _read(octets, found)
    found.kind = MessageKind(found.rcode, found.qtype, len(found.addresses), tuple(found.types))
    return found


class Messages:
    """Messages read once: most answers come again, with another id only.

    Parameters
    ----------
    limit : int
        Messages remembered.
    """

    def __init__(self, limit: int = 8192) -> None:
        self._limit = limit
        self._known: dict[bytes, Message] = {}

    def read(self, octets: bytes, at: int = 0) -> Message:
        """As `read_message` of ``octets[at:]``, but for the id; do not change what it returns."""
        key = octets[at + 2 :]
        found = self._known.get(key)
        if found is None:
            found = read_message(octets[at:])
            if len(self._known) >= self._limit:
                self._known.clear()  # hot ones are back at once
            self._known[key] = found
        return found


def _read(octets: bytes, found: Message) -> None:
    found.id, flags, questions, answers, _, _ = _HEADER.unpack_from(octets)
    found.rcode = flags & 15
    at = _HEADER.size
    for i in range(questions):
        name, at = _name(octets, at)
        if i == 0:
            found.query = name
            found.qtype = struct.unpack_from("!H", octets, at)[0]
        at += 4
    for _ in range(answers):
        _, at = _name(octets, at)
        kind, _, ttl, length = _RECORD.unpack_from(octets, at)
        at += _RECORD.size
        data = octets[at : at + length]
        if len(data) < length:
            return
        found.types.append(kind)
        found.ttl = min(found.ttl, ttl)
        if kind == _A and length == 4:
            found.addresses.append((socket.inet_ntop(socket.AF_INET, data), ttl))
        elif kind == _AAAA and length == 16:
            found.addresses.append((socket.inet_ntop(socket.AF_INET6, data), ttl))
        elif kind == _CNAME:
            found.cnames.append(_name(octets, at)[0])
        at += length


def _name(octets: bytes, at: int) -> tuple[str, int]:
    """The name at `at`, and where what follows it begins."""
    labels: list[str] = []
    after = -1
    jumps = 0
    while True:
        length = octets[at]
        if length & 0xC0 == 0xC0:
            if after < 0:
                after = at + 2
            at = (length & 0x3F) << 8 | octets[at + 1]
            jumps += 1
            if jumps > 32:
                raise IndexError("a loop of pointers")
            continue
        at += 1
        if length == 0:
            break
        if length & 0xC0 or len(labels) > 127:
            raise IndexError("no label")
        labels.append(_label(octets[at : at + length]))
        at += length
    return "".join(f"{label}." for label in labels) or ".", at if after < 0 else after


def _label(octets: bytes) -> str:
    return "".join(
        ("\\" if c in (0x2E, 0x5C) else "") + chr(c) if 0x21 <= c <= 0x7E else f"\\{c:03d}"
        for c in octets.lower()
    )
