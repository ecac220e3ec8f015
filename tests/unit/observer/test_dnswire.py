"""The reader of messages for showing: right on messages, harmless on anything else."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.observer.dnswire import NO_TTL, Messages, read_message
from tests.observer_data import answer, question


def test_an_answer() -> None:
    seen = read_message(answer("API.example.com", ["198.51.100.7", "198.51.100.8"], ttl=30))
    assert (seen.query, seen.qtype, seen.rcode, seen.ttl) == ("api.example.com.", 1, 0, 30)
    assert seen.addresses == [("198.51.100.7", 30), ("198.51.100.8", 30)]
    assert seen.types == [1, 1]
    assert seen.kind == (0, 1, 2, (1, 1))


def test_ipv6() -> None:
    assert read_message(answer("x.org", ["2001:db8::7"])).addresses == [("2001:db8::7", 60)]


def test_a_question_has_no_ttl() -> None:
    seen = read_message(question("a.b"))
    assert (seen.query, seen.ttl, seen.addresses) == ("a.b.", NO_TTL, [])


def test_cname_chain() -> None:
    asked = question("www.example.com")
    target = b"\x03cdn" + b"\xc0\x10"  # cdn.example.com, by a pointer into the question
    records = struct.pack("!HHHIH", 0xC00C, 5, 1, 300, len(target)) + target
    records += struct.pack("!HHHIH", 0xC00C, 1, 1, 20, 4) + bytes([192, 0, 2, 1])
    message = struct.pack("!HHHHHH", 1, 0x8180, 1, 2, 0, 0) + asked[12:] + records
    seen = read_message(message)
    assert seen.cnames == ["cdn.example.com."]
    assert seen.ttl == 20
    assert seen.types == [5, 1]


def test_dots_and_octets_inside_labels_are_escaped() -> None:
    message = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + b"\x03a.b\x02\x00\xff\x00\x00\x01\x00\x01"
    assert read_message(message).query == "a\\.b.\\000\\255."


def test_a_loop_of_pointers_ends() -> None:
    message = (
        struct.pack("!HHHHHH", 1, 0, 1, 1, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01" + b"\xc0\x0c" * 9
    )
    assert read_message(message).query == ""


@given(st.binary(max_size=600))
def test_any_octets(octets: bytes) -> None:
    seen = read_message(octets)
    assert seen.kind.addresses == len(seen.addresses) <= len(seen.types)


@given(st.integers(0, 120), st.integers(0, 255), st.integers(0, 120))
def test_a_spoilt_or_cut_message(at: int, octet: int, length: int) -> None:
    message = bytearray(answer("api.example.com", ["198.51.100.7", "198.51.100.8"]))
    message[at % len(message)] = octet
    for address, _ in read_message(bytes(message[:length])).addresses:
        assert address.count(".") == 3 or ":" in address


def test_a_message_is_read_once_whatever_its_id() -> None:
    messages = Messages()
    first = answer("api.example.com", ["198.51.100.7"])
    assert messages.read(first) is messages.read(b"\xff\xff" + first[2:])
    assert messages.read(first) is not messages.read(answer("api.example.com", ["198.51.100.8"]))
