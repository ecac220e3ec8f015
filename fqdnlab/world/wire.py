"""DNS messages as octets: questions read, answers put together.  Pure, and on the hot path.

Names are wire names: length-prefixed labels ending with the root's zero.  A lower-case wire name is
``name.lower()``: length octets are below 64, so lowering leaves them alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fqdnlab.errors import UsageError

__all__ = [
    "AAAA",
    "CNAME",
    "MAX_UDP",
    "OPT",
    "SOA",
    "A",
    "Answer",
    "MalformedError",
    "Question",
    "Record",
    "build",
    "compile_answer",
    "name_text",
    "name_wire",
    "parse_question",
]

A, NS, CNAME, SOA, AAAA, OPT, ANY = 1, 2, 5, 6, 28, 41, 255
IN = 1
MAX_UDP = 1232  # octets we offer and send at most over UDP with EDNS
MIN_UDP = 512
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPT = struct.pack("!BHHIH", 0, OPT, MAX_UDP, 0, 0)


class MalformedError(ValueError):
    """Octets that are no question; `answerable` if there is at least a header to answer."""

    def __init__(self, text: str, answerable: bool) -> None:
        super().__init__(text)
        self.answerable = answerable


class Question(NamedTuple):
    """A question as read."""

    id: bytes  # 2 octets
    flags: int
    name: bytes  # wire, as asked
    key: bytes  # name, type and class in wire form, lower case
    type: int
    qclass: int
    size: int  # octets the asker takes over UDP; 0 without EDNS


class Record(NamedTuple):
    """One record; the name is a lower-case wire name."""

    name: bytes
    type: int
    ttl: int
    rdata: bytes


class Answer(NamedTuple):
    """An answer without what differs from asker to asker."""

    flags: int  # with rcode
    counts: bytes  # ANCOUNT NSCOUNT ARCOUNT, the OPT record not counted
    body: bytes  # what follows the question
    ends: tuple[int, ...]  # where in `body` each record of the answer section ends


def parse_question(data: bytes) -> Question:
    """Read a question.

    Raises
    ------
    MalformedError
        If it is none: short, an answer, no or many questions, a bad name.
    """
    if len(data) < 12:
        raise MalformedError("shorter than a header", False)
    flags = data[2] << 8 | data[3]
    if flags & QR:
        raise MalformedError("an answer, not a question", False)
    if data[4] or data[5] != 1:
        raise MalformedError("not one question", True)
    end = 12
    try:
        while length := data[end]:
            if length > 63:
                raise MalformedError("a pointer or a bad label in the question", True)
            end += length + 1
        end += 1
        qtype = data[end] << 8 | data[end + 1]
        qclass = data[end + 2] << 8 | data[end + 3]
    except IndexError:
        raise MalformedError("the question is cut off", True) from None
    if end - 12 > 255:
        raise MalformedError("a name longer than 255 octets", True)
    name = data[12:end]
    size = _edns_size(data, end + 4) if data[11] or data[10] else 0
    return Question(data[:2], flags, name, name.lower() + data[end : end + 4], qtype, qclass, size)


def _edns_size(data: bytes, at: int) -> int:
    """What the OPT record offers; it is the first additional record where nothing else is."""
    if data[6:10] == b"\0\0\0\0" and data[at : at + 3] == b"\0\0\x29" and len(data) >= at + 11:
        return max(MIN_UDP, data[at + 3] << 8 | data[at + 4])
    return 0


def compile_answer(
    question: bytes,
    rcode: int,
    answer: Sequence[Record],
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    flags: int = AA,
) -> Answer:
    """Put the sections together after a question for the wire name `question`.

    Owner names are compressed: against the question, and against names seen whole before.
    """
    places = {question.lower(): 12}
    start = 12 + len(question) + 4
    body = bytearray()
    ends: list[int] = []
    for record in (*answer, *authority, *additional):
        place = places.get(record.name)
        if place is not None and place < 0x4000:
            body += struct.pack("!H", 0xC000 | place)
        else:
            places[record.name] = start + len(body)
            body += record.name
        body += struct.pack("!HHIH", record.type, IN, record.ttl, len(record.rdata))
        if record.type == CNAME:
            places.setdefault(record.rdata, start + len(body))
        body += record.rdata
        if len(ends) < len(answer):
            ends.append(len(body))
    counts = struct.pack("!HHH", len(answer), len(authority), len(additional))
    return Answer(flags | rcode, counts, bytes(body), tuple(ends))


def build(question: Question, answer: Answer, limit: int) -> bytes:
    """The message to send: at most `limit` octets, with TC and whole records if it is more.

    Id, name with its case, and RD are the asker's.
    """
    flags = QR | RA | answer.flags | question.flags & (RD | 0x7800)
    head = question.id + struct.pack("!HH", flags, 1)
    asked = question.name + question.key[-4:]
    opt = _OPT if question.size else b""
    counts = answer.counts
    if opt:
        counts = counts[:4] + struct.pack("!H", int.from_bytes(counts[4:]) + 1)
    whole = b"".join((head, counts, asked, answer.body, opt))
    if len(whole) <= limit:
        return whole
    return truncated(question, answer, limit)


def truncated(question: Question, answer: Answer, limit: int) -> bytes:
    """The same with TC: as many whole records of the answer section as fit."""
    flags = QR | RA | TC | answer.flags | question.flags & (RD | 0x7800)
    opt = _OPT if question.size else b""
    room = limit - 12 - len(question.name) - 4 - len(opt)
    fitting = [end for end in answer.ends if end <= room]
    cut = answer.body[: fitting[-1]] if fitting else b""
    counts = struct.pack("!HHHH", 1, len(fitting), 0, 1 if opt else 0)
    asked = question.name + question.key[-4:]
    return b"".join((question.id, struct.pack("!H", flags), counts, asked, cut, opt))


def header_only(data: bytes, rcode: int) -> bytes:
    """An answer to what has a header and no readable question."""
    flags = QR | RA | rcode | (data[2] << 8 | data[3]) & (RD | 0x7800)
    return data[:2] + struct.pack("!HHHHH", flags, 0, 0, 0, 0)


# --- Names --------------------------------------------------------------------------------------


def name_wire(text: str) -> bytes:
    """Lower-case wire name of `text`; a last dot makes no difference; ``\\.`` and ``\\DDD`` escape.

    Raises
    ------
    UsageError
        If it is no DNS name.
    """
    if text in ("", "."):
        return b"\0"
    labels: list[bytes] = []
    label = bytearray()
    rest = iter(_octets(text))
    for octet, escaped in rest:
        if octet == 0x2E and not escaped:
            labels.append(bytes(label))
            label.clear()
        else:
            label.append(octet)
    if label:
        labels.append(bytes(label))
    if any(not 0 < len(one) < 64 for one in labels) or sum(map(len, labels)) + len(labels) > 254:
        raise _bad_name(text, "labels of 1 to 63 octets, 253 in all")
    return (b"".join(bytes([len(one)]) + one for one in labels) + b"\0").lower()


_ASCII = "printable ASCII; an international name is written xn--…"


def _octets(text: str) -> Iterable[tuple[int, bool]]:
    at = 0
    while at < len(text):
        char, digits = text[at], text[at + 1 : at + 4]
        if not text[at : at + 2].isascii():  # escaped or not
            raise _bad_name(text, _ASCII)
        if char == "\\" and digits.isascii() and digits.isdigit() and int(digits) < 256:
            yield int(digits), True
            at += 4
        elif char == "\\" and at + 1 < len(text):
            yield ord(text[at + 1]), True
            at += 2
        elif not "!" <= char <= "~":
            raise _bad_name(text, _ASCII)
        else:
            yield ord(char), False
            at += 1


def _bad_name(text: str, expected: str) -> UsageError:
    return UsageError(f"{text!r} is no DNS name", f"expected {expected}")


def name_text(wire: bytes) -> str:
    """Text of a wire name without its last dot; the root is ``"."``."""
    labels = []
    at = 0
    while length := wire[at]:
        labels.append("".join(map(_char, wire[at + 1 : at + 1 + length])))
        at += length + 1
    return ".".join(labels) or "."


def _char(octet: int) -> str:
    if octet in b'."\\;()@$':
        return "\\" + chr(octet)
    return chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}"
