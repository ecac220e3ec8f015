"""Fragments: the first one's verdict rules the rest, in both families."""

from __future__ import annotations

import itertools

import pytest

from fqdnlab.datapath import abi

from .conftest import (
    BAD_FRAGMENT,
    DENIED,
    EP4,
    EP6,
    NEXT,
    NO_FIRST,
    V4,
    V6,
    Bench,
    Side,
)
from .packets import TCP, UDP, ext, fragment6, ip, piece, tcp, udp

FIRST = udp(1, 7, bytes(24))  # 32 octets


def part(
    side: Side, offset: int, octets: int, more: bool, ident: int = 6, proto: int = UDP
) -> bytes:
    return piece(side.me, side.remote, proto, bytes(octets), offset, more, ident)


def first(side: Side, payload: bytes = FIRST, ident: int = 6, proto: int = UDP) -> bytes:
    return piece(side.me, side.remote, proto, payload, 0, True, ident)


@pytest.fixture
def allowed(bench: Bench, side: Side) -> Bench:
    bench.allow(side.world, UDP, 7, 24)
    return bench


def test_later_ones_follow_the_first(allowed: Bench, side: Side) -> None:
    assert allowed.passes(first(side))
    assert allowed.event().type == abi.EVENT_NEW_FLOW
    assert allowed.fragments_kept() == 1
    assert allowed.passes(part(side, 32, 16, True))
    assert allowed.passes(part(side, 48, 5, False))
    assert allowed.fragments_kept() == 0, "a datagram that is whole is forgotten"
    assert allowed.no_event()
    octets = 3 * (side.header + (8 if side is V6 else 0)) + 32 + 16 + 5
    assert allowed.maps.rules([5]) == {5: (3, octets)}, "counted for the rule of the first"


def test_of_a_known_flow_too(allowed: Bench, side: Side) -> None:
    assert allowed.passes(ip(side.me, side.remote, UDP, udp(1, 7)))
    assert allowed.passes(first(side))
    assert allowed.passes(part(side, 32, 16, False))


def test_of_replies_too(bench: Bench, side: Side) -> None:
    assert bench.back(ip(side.remote, side.me, UDP, udp(7, 1))) == NEXT
    assert bench.passes(first(side))
    assert bench.passes(part(side, 32, 16, False))


def test_without_its_first_it_is_dropped(allowed: Bench, side: Side) -> None:
    assert allowed.dropped(part(side, 32, 16, False), NO_FIRST)
    assert allowed.passes(first(side))
    allowed.events.clear()
    assert allowed.dropped(part(side, 32, 16, False, ident=7), NO_FIRST)
    assert allowed.dropped(part(side, 32, 16, False, proto=TCP), NO_FIRST)
    stranger = piece(side.me, side.stranger, UDP, bytes(16), 32, False)
    assert allowed.dropped(stranger, NO_FIRST)


def test_another_endpoints_first_is_no_first(allowed: Bench, side: Side) -> None:
    assert allowed.passes(first(side))
    allowed.maps.make_conntrack(2)
    allowed.maps.put_endpoint(1, 2, 1, 300, 1, EP4, EP6)
    allowed.events.clear()
    assert allowed.dropped(part(side, 32, 16, False), NO_FIRST)


def test_the_rest_of_what_was_denied_is_denied(allowed: Bench, side: Side) -> None:
    assert allowed.dropped(first(side, udp(1, 9, bytes(24))), DENIED)
    assert allowed.dropped(part(side, 32, 16, True), DENIED)
    assert allowed.dropped(part(side, 48, 16, False), DENIED)
    assert allowed.passes(first(side)), "the same id again, and allowed"
    assert allowed.passes(part(side, 32, 16, False))


@pytest.mark.parametrize("order", list(itertools.permutations(range(1, 4))), ids=str)
def test_any_order_after_the_first(allowed: Bench, side: Side, order: tuple[int, ...]) -> None:
    later = [None, part(side, 32, 16, True), part(side, 48, 16, True), part(side, 64, 3, False)]
    assert allowed.passes(first(side))
    for n in order:
        packet = later[n]
        assert packet is not None
        assert allowed.passes(packet)
    assert allowed.fragments_kept() == 0


@pytest.mark.parametrize(
    ("offset", "octets", "more"),
    [
        (24, 16, True),  # over the end of the first
        (8, 8, True),  # within the first: another header (RFC 1858, 3791)
        (64, 16, True),  # twice
        (56, 16, True),
        (72, 16, True),
        (48, 40, True),  # around one
        (24, 200, True),
        (64, 16, False),
    ],
)
def test_what_overlaps_is_dropped(
    allowed: Bench, side: Side, offset: int, octets: int, more: bool
) -> None:
    assert allowed.passes(first(side))
    assert allowed.passes(part(side, 64, 16, True))
    allowed.events.clear()
    assert allowed.dropped(part(side, offset, octets, more), BAD_FRAGMENT)
    assert allowed.passes(part(side, 32, 32, True)), "what fits still does"


def test_a_second_first_overlaps_the_first(allowed: Bench, side: Side) -> None:
    allowed.allow(side.world, UDP, 9, 24)
    assert allowed.passes(first(side))
    allowed.events.clear()
    assert allowed.dropped(first(side, udp(1, 9, bytes(64))), BAD_FRAGMENT)
    assert allowed.passes(part(side, 32, 16, False))
    assert allowed.passes(first(side, udp(1, 9, bytes(64)))), "the id is free again"


def test_nothing_beyond_its_end(allowed: Bench, side: Side) -> None:
    assert allowed.passes(first(side))
    assert allowed.passes(part(side, 64, 16, False))
    allowed.events.clear()
    assert allowed.dropped(part(side, 80, 16, True), BAD_FRAGMENT)
    assert allowed.dropped(part(side, 80, 16, False), BAD_FRAGMENT)
    assert allowed.passes(part(side, 32, 32, True))


def test_an_end_before_what_has_passed_is_dropped(allowed: Bench, side: Side) -> None:
    assert allowed.passes(first(side))
    assert allowed.passes(part(side, 64, 16, True))
    allowed.events.clear()
    assert allowed.dropped(part(side, 40, 8, False), BAD_FRAGMENT)


def test_more_pieces_apart_than_are_kept_are_dropped(allowed: Bench, side: Side) -> None:
    assert allowed.passes(first(side))
    for n in range(7):
        assert allowed.passes(part(side, 64 + 32 * n, 8, True))
    allowed.events.clear()
    assert allowed.dropped(part(side, 64 + 32 * 7, 8, True), BAD_FRAGMENT)


@pytest.mark.parametrize(("offset", "octets"), [(65528, 16), (65520, 24), (65528, 8)])
def test_nothing_is_longer_than_a_packet(
    allowed: Bench, side: Side, offset: int, octets: int
) -> None:
    assert allowed.passes(first(side))
    allowed.events.clear()
    assert allowed.dropped(part(side, offset, octets, True), BAD_FRAGMENT)


@pytest.mark.parametrize("octets", [0, 7, 17])
def test_all_but_the_last_are_multiples_of_8(allowed: Bench, side: Side, octets: int) -> None:
    assert allowed.passes(first(side))
    allowed.events.clear()
    assert allowed.dropped(part(side, 32, octets, True), BAD_FRAGMENT)


@pytest.mark.parametrize(
    ("proto", "payload"), [(TCP, tcp(1, 7)[:16]), (TCP, tcp(1, 7)[:8]), (UDP, b"")]
)
def test_tiny_ones_are_dropped(bench: Bench, side: Side, proto: int, payload: bytes) -> None:
    """RFC 1858: the header that is judged must be in the first."""
    bench.allow(0)
    assert bench.dropped(first(side, payload, proto=proto), BAD_FRAGMENT)
    assert bench.dropped(part(side, 16, 16, False, proto=proto), NO_FIRST)


def test_the_frames_padding_is_no_header(bench: Bench, side: Side) -> None:
    """What lies behind the packet's end is not read as its ports."""
    bench.allow(side.world, TCP, 443, 24)
    short = first(side, tcp(1, 443)[:8], proto=TCP)
    assert bench.dropped(short + tcp(1, 443)[8:] + bytes(8), BAD_FRAGMENT)
    whole = ip(side.me, side.remote, TCP, b"")
    assert bench.dropped(whole + tcp(1, 443), 134)


def test_of_redirected_dns_all_are_dropped(bench: Bench, side: Side) -> None:
    bench.redirects(side.world, UDP)
    assert bench.dropped(first(side, udp(1, 53, bytes(24))), BAD_FRAGMENT)
    assert bench.dropped(part(side, 32, 16, False), BAD_FRAGMENT)


def test_verdicts_on_fragments_are_timed(allowed: Bench, side: Side) -> None:
    assert allowed.passes(first(side))
    ((key, value),) = allowed.frags.items()
    expires, *rest = abi.FRAG_VALUE.unpack(value)
    allowed.frags.update(key, abi.FRAG_VALUE.pack(expires - 16 * 10**9, *rest))
    allowed.events.clear()
    assert allowed.dropped(part(side, 32, 16, False), NO_FIRST)
    assert allowed.passes(first(side)), "and the id is free again"


def test_verdicts_on_fragments_are_bounded(allowed: Bench, side: Side) -> None:
    for ident in range(3000):
        assert allowed.out(first(side, ident=ident)) == NEXT
    assert allowed.fragments_kept() <= 1024


def test_towards_the_endpoint_they_pass_and_the_first_is_tracked(bench: Bench, side: Side) -> None:
    def inbound(payload: bytes, offset: int, more: bool) -> bytes:
        return piece(side.remote, side.me, UDP, payload, offset, more)

    assert bench.back(inbound(udp(5000, 22, bytes(24)), 0, True)) == NEXT
    assert bench.back(inbound(bytes(16), 32, False)) == NEXT
    assert bench.passes(ip(side.me, side.remote, UDP, udp(22, 5000)))


# ---------------------------------------------------------------- IPv6 alone


def test_an_atomic_fragment_is_a_whole_packet(bench: Bench) -> None:
    bench.allow(10, UDP, 7, 24)
    assert bench.passes(ip(EP6, V6.remote, 44, fragment6(UDP, 0, False, udp(1, 7))))
    assert bench.fragments_kept() == 0


def test_extension_headers_on_both_sides_of_the_fragment_header(bench: Bench) -> None:
    bench.allow(10, UDP, 7, 24)

    def sent(offset: int, more: bool, payload: bytes) -> bytes:
        return ip(EP6, V6.remote, 0, ext(0, fragment6(60, offset, more, payload), 44))

    assert bench.passes(sent(0, True, ext(60, FIRST, UDP)))
    assert bench.passes(sent(40, False, bytes(16)))


def test_a_chain_of_headers_that_the_first_does_not_hold(bench: Bench) -> None:
    """RFC 7112."""
    bench.allow(0)
    cut = fragment6(60, 0, True, bytes([UDP, 9]) + bytes(6) + bytes(8))  # 80 octets, it says
    assert bench.dropped(ip(EP6, V6.remote, 44, cut) + bytes(100), BAD_FRAGMENT)


def test_two_fragment_headers_are_none(bench: Bench) -> None:
    bench.allow(0)
    twice = fragment6(44, 0, True, fragment6(UDP, 0, True, FIRST))
    assert bench.dropped(ip(EP6, V6.remote, 44, twice), 134)


def test_ids_of_one_family_are_not_the_others(bench: Bench) -> None:
    bench.allow(0)
    assert bench.passes(first(V4))
    bench.events.clear()
    assert bench.dropped(part(V6, 32, 16, False), NO_FIRST)
