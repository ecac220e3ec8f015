"""Wrong answers: forged, poisoned, malformed.  Pure."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from typing import NamedTuple

from fqdnlab.world.wire import AAAA, A, Answer, Question, Record, build, compile_answer

__all__ = ["Reply", "forged", "malformed", "poison"]

#: What forged answers say if nobody said what (documentation addresses).
WRONG_V4, WRONG_V6 = "203.0.113.66", "2001:db8:bad::66"
OTHER_PORT = 5300
_OTHER_NAME = b"\x05wrong\x07example\0"


class Reply(NamedTuple):
    """A message to send."""

    data: bytes
    delay: float = 0.0  # s
    port: int = 0  # to send from, over UDP; 0: the asked one
    source: bytes = b""  # to send from, over UDP; empty: the asked one


def forged(
    question: Question, word: str, addresses: Sequence[str], server: bytes, limit: int
) -> Reply:
    """An answer that a good client does not believe, because of `word` (one of `WRONG`)."""
    given = [ipaddress.ip_address(text) for text in addresses or (WRONG_V4, WRONG_V6)]
    asked = question
    if word == "id":
        asked = question._replace(id=bytes(octet ^ 0x5A for octet in question.id))
    elif word == "name":
        asked = question._replace(name=_OTHER_NAME, key=_OTHER_NAME + question.key[-4:])
    elif word == "type":
        kind = A if question.type == AAAA else AAAA
        asked = question._replace(
            type=kind, key=question.key[:-4] + struct.pack("!H", kind) + question.key[-2:]
        )
    version = 6 if asked.type == AAAA else 4
    name = asked.name.lower()
    records = [Record(name, asked.type, 60, a.packed) for a in given if a.version == version]
    data = build(asked, compile_answer(name, 0, records), limit)
    if word == "port":
        return Reply(data, port=OTHER_PORT)
    return Reply(data, source=_neighbour(server) if word == "address" else b"")


def _neighbour(server: bytes) -> bytes:
    return server[:-1] + bytes([server[-1] ^ 1])


def poison(answer: Answer, records: Sequence[tuple[bytes, str]]) -> Answer:
    """The answer with records in the additional section that nobody asked for."""
    body = bytearray(answer.body)
    for name, text in records:
        address = ipaddress.ip_address(text)
        kind = A if address.version == 4 else AAAA
        body += name + struct.pack("!HHIH", kind, 1, 60, len(address.packed)) + address.packed
    counts = answer.counts[:4] + struct.pack(
        "!H", int.from_bytes(answer.counts[4:], "big") + len(records)
    )
    return answer._replace(counts=counts, body=bytes(body))


def malformed(kind: str, question: Question, data: bytes) -> bytes:
    """Spoil a good answer; `kind` is one of `MALFORMED` or ``hex:…``."""
    if kind.startswith("hex:"):
        return bytes.fromhex(kind[4:])
    if kind == "empty":
        return b""
    question_end = 12 + len(question.name) + 4
    if kind == "short":
        return data[: len(data) * 2 // 3]
    if kind == "counts":
        return data[:6] + b"\xff\xff" + data[8:]
    if kind == "pointer":
        # The owner name of the first record points to itself.
        at = 0xC000 | question_end
        return (
            data[:6]
            + b"\0\1\0\0\0\0"
            + data[12:question_end]
            + struct.pack("!H", at)
            + (data[question_end + 2 :] or b"\0\1\0\1\0\0\0\0\0\4\1\2\3\4")
        )
    if kind == "oversized":
        return data + b"\0" * 9000
    return data[:2] + bytes((octet * 167 + 13) & 0xFF for octet in data[2:])
