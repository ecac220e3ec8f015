"""DNS on the wire, as far as the hot path needs it: raw octets in, no objects (RFC 1035, 4.1).

All else is dnslib's.  Every function is safe on any octets: those it cannot read raise an error.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = [
    "FORMERR",
    "NOERROR",
    "NOTIMP",
    "NXDOMAIN",
    "REFUSED",
    "SERVFAIL",
    "MalformedError",
    "error_reply",
    "limit_edns",
    "name_text",
    "read_answer",
    "read_question",
]

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
_A, _CNAME, _OPT, _AAAA, _IN = 1, 5, 41, 28, 1
_NO_RECORDS, _ONE_ADDITIONAL = b"\0\0\0\0\0\0", b"\0\0\0\0\0\1"
#: The same octets, but for the id, come again and again: what was read of so many answers, each of
#: at most so many octets, is kept.
_READ, _USUAL = 16_384, 512
#: An OPT record of ours: 1232 octets (RFC 6891, 6.1.2).
_OPT_RECORD = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


class MalformedError(ValueError):
    """These octets are no DNS message of the expected kind.

    Attributes
    ----------
    rcode : int
        What the sender of such a question is told.
    """

    def __init__(self, why: str, rcode: int = FORMERR) -> None:
        super().__init__(why)
        self.rcode = rcode


def read_question(data: bytes) -> tuple[bytes, int, int]:
    """The one question of a query.

    Returns
    -------
    name : bytes
        As on the wire, lower case.
    qtype : int
    end : int
        Where the question ends.

    Raises
    ------
    MalformedError
        With the rcode to answer.
    """
    if len(data) < 17:
        raise MalformedError("short")
    if data[2] & 0x78:
        raise MalformedError("an opcode other than QUERY", NOTIMP)
    if data[4:6] != b"\0\1":
        raise MalformedError("not one question")
    at = 12
    size = len(data)
    while True:
        length = data[at]
        if not length:
            break
        at += length + 1
        if length > 63 or at >= size:
            raise MalformedError("a label that cannot be")
    end = at + 5
    if at - 12 > 254 or end > size:
        raise MalformedError("a name too long, or a question cut short")
    if end != size or data[6:12] != _NO_RECORDS:
        _check_rest(data, end)
    return data[12 : at + 1].lower(), data[at + 1] << 8 | data[at + 2], end


def _check_rest(data: bytes, at: int) -> None:
    """What follows a question is what the header says: usually one OPT record (RFC 6891)."""
    size = len(data)
    if data[6:12] == _ONE_ADDITIONAL and data[at : at + 3] == b"\0\0\x29" and at + 11 <= size:
        if at + 11 + (data[at + 9] << 8 | data[at + 10]) != size:
            raise MalformedError("an OPT record of a wrong length")
        return
    _walk(data, at, (6, 8, 10))


def _walk(data: bytes, at: int, places: tuple[int, ...]) -> None:
    """Past as many records as the header has at `places`; there the message must end."""
    size = len(data)
    for place in places:
        for _ in range(data[place] << 8 | data[place + 1]):
            rdata = _skip_name(data, at) + 10
            if rdata > size:
                raise MalformedError("a record cut short")
            at = rdata + (data[rdata - 2] << 8 | data[rdata - 1])
    if at != size:
        raise MalformedError("more or less than the header says")


def read_answer(data: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """Addresses and the lowest TTL of an answer section; the rest must be as the header counts it.

    Parameters
    ----------
    data : bytes
    at : int
        Where the question ends.

    Returns
    -------
    addresses : tuple of bytes
        4 or 16 octets each, without duplicates.
    ttl : int
        Seconds: the lowest of all A, AAAA and CNAME records (0 if there are none).

    Raises
    ------
    MalformedError
    """
    return _answer(data[2:], at) if len(data) <= _USUAL else _read_answer(data, at)


@lru_cache(maxsize=_READ)
def _answer(but_id: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    return _read_answer(b"\0\0" + but_id, at)


def _read_answer(data: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    addresses: dict[bytes, None] = {}
    lowest, size = -1, len(data)
    for _ in range(data[6] << 8 | data[7]):
        at = _skip_name(data, at)
        rdata = at + 10
        if rdata > size:
            raise MalformedError("a record cut short")
        kind = data[at] << 8 | data[at + 1]
        length = data[at + 8] << 8 | data[at + 9]
        end = rdata + length
        if end > size:
            raise MalformedError("a record cut short")
        if kind in (_A, _AAAA, _CNAME) and data[at + 3] == _IN and not data[at + 2]:
            ttl = int.from_bytes(data[at + 4 : at + 8], "big")
            ttl = 0 if ttl >> 31 else ttl  # RFC 2181, 8
            lowest = ttl if lowest < 0 else min(lowest, ttl)
            if kind == _CNAME:
                if _skip_name(data, rdata) != end:
                    raise MalformedError("an alias of a wrong length")
            else:
                if length != (4 if kind == _A else 16):
                    raise MalformedError("an address of a wrong length")
                addresses[data[rdata:end]] = None
        at = end
    if at != size or data[8:12] != b"\0\0\0\0":
        _walk(data, at, (8, 10))
    return tuple(addresses), max(lowest, 0)


def limit_edns(query: bytes, end: int) -> bytes:
    """A question as it is sent on over UDP, `end` being where its question ends.

    No answer of more than 1232 octets is asked for: it might come in fragments, and all but the
    first have no port by which the proxy's socket could be found.
    """
    if query[6:12] != _ONE_ADDITIONAL or query[end : end + 3] != _OPT_RECORD[:3]:
        return query
    if query[end + 3 : end + 5] <= _OPT_RECORD[3:5]:
        return query
    return query[: end + 3] + _OPT_RECORD[3:5] + query[end + 5 :]


def _skip_name(data: bytes, at: int) -> int:
    """Past a name.  A pointer in it has to lead to a name, and each to one before it: no loops."""
    if data[at : at + 2] == b"\xc0\x0c":  # nearly always: the question's name
        return at + 2
    size, start, end = len(data), at, 0
    while at < size:
        length = data[at]
        if length >= 0xC0:
            end = end or at + 2
            target = (length & 0x3F) << 8 | data[at + 1] if at + 1 < size else size
            if not 12 <= target < start:
                break
            at = start = target
            continue
        if length > 63:
            break
        at += length + 1
        if not length:
            return end or at
    raise MalformedError("a name that cannot be")


def error_reply(query: bytes, rcode: int, end: int = 0) -> bytes:
    """A reply of no records: the question kept, as it was asked; EDNS answered by EDNS.

    Parameters
    ----------
    query : bytes
        At least a header.
    rcode : int
    end : int
        Where its question ends; 0: it has none that can be read.
    """
    flags = bytes((0x80 | query[2] & 0x79, rcode | query[3] & 0x10))
    if not end:
        return query[:2] + flags + bytes(8)
    edns = query[6:10] == b"\0\0\0\0" and query[10:12] != b"\0\0"
    edns = edns and query[end : end + 3] == b"\0\0\x29"
    counts = b"\0\1\0\0\0\0\0\1" if edns else b"\0\1\0\0\0\0\0\0"
    return query[:2] + flags + counts + query[12:end] + (_OPT_RECORD if edns else b"")


@lru_cache(maxsize=65_536)
def name_text(wire: bytes) -> str:
    """A name of the wire as text with its final dot; odd octets escaped (RFC 1035, 5.1)."""
    if wire == b"\0":
        return "."
    labels = []
    at = 0
    while wire[at]:
        label = wire[at + 1 : at + 1 + wire[at]]
        labels.append("".join(_character(octet) for octet in label))
        at += len(label) + 1
    return ".".join(labels) + "."


def _character(octet: int) -> str:
    if octet in b'.\\"();@$':
        return "\\" + chr(octet)
    return chr(octet) if 33 <= octet <= 126 else f"\\{octet:03d}"
