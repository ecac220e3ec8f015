"""DNS records and messages through dnslib: everything that is not on a hot path.

The only importer of dnslib.  Record data are octets as they stand in a message, uncompressed;
names too: length-prefixed labels, the root's zero at the end.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from dnslib import QTYPE, RCODE, RDMAP, DNSBuffer, DNSRecord
from dnslib.dns import ZoneParser

__all__ = [
    "CodecError",
    "MasterRecord",
    "message_text",
    "rcode_number",
    "rcode_word",
    "rdata_from_text",
    "rdata_to_text",
    "read_master",
    "type_number",
    "type_word",
]


class CodecError(ValueError):
    """Text or octets that are no DNS; the message says what was expected."""


@dataclass(frozen=True)
class MasterRecord:
    """One record of a master file (RFC 1035, 5)."""

    name: str
    ttl: int
    type: int
    rdata: bytes


class _Plain(DNSBuffer):  # type: ignore[misc]
    """Packs names without compression: pointers mean nothing outside a message."""

    def encode_name(self, name: Any) -> None:
        self.encode_name_nocompress(name)


def type_number(word: str) -> int:
    """Number of a record type: ``"AAAA"`` → 28, ``"TYPE65"`` → 65.

    Raises
    ------
    CodecError
        If there is no such type.
    """
    upper = word.strip().upper()
    number = QTYPE.reverse.get(upper)
    if number is not None:
        return int(number)
    if upper.startswith("TYPE") and upper[4:].isdigit() and int(upper[4:]) < 1 << 16:
        return int(upper[4:])
    raise CodecError(f"{word!r} is no DNS record type; expected A, AAAA, CNAME, TXT, MX, …")


def type_word(number: int) -> str:
    """Word for a record type: 28 → ``"AAAA"``, 65280 → ``"TYPE65280"``."""
    return str(QTYPE.forward.get(number, f"TYPE{number}"))


def rcode_number(word: str) -> int:
    """Number of a response code: ``"SERVFAIL"`` → 2.

    Raises
    ------
    CodecError
        If there is no such code (only those of 4 bits are known).
    """
    number = RCODE.reverse.get(word.strip().upper())
    if number is None or not 0 <= number < 16:
        raise CodecError(f"{word!r} is no response code; expected SERVFAIL, REFUSED, NXDOMAIN, …")
    return int(number)


def rcode_word(number: int) -> str:
    """Word for a response code: 2 → ``"SERVFAIL"``."""
    return str(RCODE.forward.get(number, f"RCODE{number}"))


def rdata_from_text(rtype: int, text: str) -> bytes:
    """Octets of record data given as in a master file.

    TXT without quotes is one string; names without a last dot are whole names all the same.

    Raises
    ------
    CodecError
        If `text` is not data of that type.
    """
    if rtype in (1, 28):
        return _address(rtype, text)
    word = type_word(rtype)
    if word == "TXT" and '"' not in text:
        octets = text.encode()
        parts = [octets[i : i + 255] for i in range(0, len(octets), 255)] or [b""]
        return b"".join(bytes([len(p)]) + p for p in parts)
    if word not in RDMAP:
        return _unknown(word, text)
    records = _parse(f". 0 IN {word} {text}\n", f"{text!r} is no data of a {word} record")
    if len(records) != 1 or records[0].type != rtype:
        raise CodecError(f"{text!r} is no data of one {word} record")
    return records[0].rdata


def _address(rtype: int, text: str) -> bytes:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise CodecError(f"{text!r} is no IP address") from None
    if address.version != (4 if rtype == 1 else 6) or "%" in text:
        raise CodecError(f"{text} is no address for a record of type {type_word(rtype)}")
    return address.packed


def _unknown(word: str, text: str) -> bytes:
    """RFC 3597: ``\\# LENGTH HEX``."""
    parts = text.split()
    try:
        if parts[0] != "\\#":
            raise ValueError
        octets = bytes.fromhex("".join(parts[2:]))
        if len(octets) != int(parts[1]):
            raise ValueError
    except (ValueError, IndexError):
        raise CodecError(
            rf"{text!r} is no data of a {word} record; expected \# LENGTH HEX"
        ) from None
    return octets


def rdata_to_text(rtype: int, rdata: bytes) -> str:
    """What `rdata_from_text` reads; ``\\# …`` for what dnslib does not know."""
    kind = RDMAP.get(type_word(rtype))
    if kind is not None:
        try:
            return str(kind.parse(DNSBuffer(rdata), len(rdata)).toZone())
        except Exception:  # noqa: S110 (of many kinds; the raw form is true too)
            pass
    return rf"\# {len(rdata)} {rdata.hex()}"


def read_master(text: str, origin: str = ".", ttl: int = 60) -> list[MasterRecord]:
    """Records of a master file; ``$ORIGIN`` and ``$TTL`` are understood.

    Raises
    ------
    CodecError
        If it is no master file.
    """
    return _parse(text, "no master file", origin, ttl)


def _parse(text: str, fault: str, origin: str = ".", ttl: int = 0) -> list[MasterRecord]:
    try:
        return [
            MasterRecord(str(rr.rname), int(rr.ttl), int(rr.rtype), _packed(rr.rdata))
            for rr in ZoneParser(text, origin=origin, ttl=ttl)
        ]
    except Exception as error:  # dnslib raises IndexError, struct.error, … for bad text
        raise CodecError(f"{fault}: {error or type(error).__name__}") from error


def _packed(rdata: Any) -> bytes:
    buffer = _Plain()
    rdata.pack(buffer)
    return bytes(buffer.data)


def message_text(data: bytes) -> str:
    """A whole message in the form of dig's output, for people.

    Raises
    ------
    CodecError
        If it is no DNS message.
    """
    try:
        return str(DNSRecord.parse(data))
    except Exception as error:
        raise CodecError(f"no DNS message: {error}") from error
