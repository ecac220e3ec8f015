"""ICMP and ICMPv6: pings, errors about known flows only, neighbour discovery."""

from __future__ import annotations

import pytest

from .conftest import DENIED, EP4, EP6, INTERNAL, NEXT, SHOT, SPOOF, V4, V6, Bench, Side
from .packets import (
    ACK,
    ICMP,
    ICMP6,
    SCTP,
    SYN,
    TCP,
    UDP,
    ext,
    fragment6,
    icmp,
    ip,
    quote,
    sctp,
    tcp,
    udp,
)

ROUTER = {"v4": "192.0.2.1", "v6": "2001:db8:1::1"}


def error(side: Side, quoted: bytes, kind: int | None = None) -> bytes:
    """An ICMP error to the endpoint about `quoted`, from a router on the way."""
    data = icmp(side.unreachable if kind is None else kind, 1, data=quoted)
    return ip(ROUTER[str(side)], side.me, side.icmp, data)


def test_echo(bench: Bench, side: Side) -> None:
    asked = ip(side.me, side.remote, side.icmp, icmp(side.ask))
    assert bench.dropped(asked, DENIED)
    bench.allow(side.world, side.icmp, side.ask, 24)
    assert bench.passes(asked)
    event = bench.event()
    assert (event.icmp_type, event.icmp_code, event.proto) == (side.ask, 0, side.icmp)
    assert bench.back(ip(side.remote, side.me, side.icmp, icmp(side.answer))) == NEXT
    (flow,) = bench.maps.flows(1)
    assert (flow.local_port, flow.remote_port, flow.flags & 1) == (7, 0, 1)
    # an answer that nobody asked for, and another type, are not covered
    assert bench.dropped(ip(side.me, side.remote, side.icmp, icmp(side.answer)), DENIED)
    assert bench.dropped(ip(side.me, side.remote, side.icmp, icmp(13)), DENIED)


def test_the_endpoint_answers_pings_and_only_those(bench: Bench, side: Side) -> None:
    assert bench.back(ip(side.remote, side.me, side.icmp, icmp(side.ask, ident=7))) == NEXT
    assert bench.passes(ip(side.me, side.remote, side.icmp, icmp(side.answer, ident=7)))
    bench.events.clear()
    assert bench.dropped(ip(side.me, side.remote, side.icmp, icmp(side.answer, ident=8)), DENIED)
    # a ping back is no answer
    assert bench.dropped(ip(side.me, side.remote, side.icmp, icmp(side.ask, ident=7)), DENIED)


def test_the_other_familys_icmp_is_no_packet(bench: Bench, side: Side) -> None:
    bench.allow(0)
    other = ICMP6 if side.icmp == ICMP else ICMP
    assert bench.dropped(ip(side.me, side.remote, other, icmp(8)), 134)


KINDS = [(V4, 3), (V4, 4), (V4, 11), (V4, 12), (V6, 1), (V6, 2), (V6, 3), (V6, 4)]


@pytest.mark.parametrize(("side", "kind"), KINDS, ids=str)
def test_each_kind_of_error_about_a_known_flow_passes(bench: Bench, side: Side, kind: int) -> None:
    bench.allow(side.world)
    sent = ip(side.me, side.remote, UDP, udp(4000, 7))
    assert bench.back(error(side, quote(sent), kind)) == SHOT
    assert bench.event().reason == DENIED
    assert bench.passes(sent)
    assert bench.back(error(side, quote(sent), kind)) == NEXT


@pytest.mark.parametrize(
    ("proto", "payload", "other"),
    [
        (TCP, tcp(4000, 7), tcp(4001, 7)),
        (UDP, udp(4000, 7), udp(4000, 8)),
        (SCTP, sctp(4000, 7), sctp(4000, 8)),
    ],
)
def test_errors_about_strangers_packets_are_dropped(
    bench: Bench, side: Side, proto: int, payload: bytes, other: bytes
) -> None:
    bench.allow(side.world)
    sent = ip(side.me, side.remote, proto, payload)
    assert bench.passes(sent)
    assert bench.back(error(side, quote(sent, side.header + 8))) == NEXT, "8 octets are enough"
    for wrong in (
        ip(side.me, side.remote, proto, other),
        ip(side.me, side.stranger, proto, payload),
        ip(side.neighbour, side.remote, proto, payload),  # not of this endpoint
        ip(side.remote, side.me, proto, payload),
    ):
        assert bench.back(error(side, quote(wrong))) == SHOT
    for cut in (0, 8, side.header - 1, side.header + 7):
        assert bench.back(error(side, quote(sent, cut))) == SHOT
    drops = bench.maps.drops()[DENIED][0]
    assert drops == 8
    assert bench.event().dir == 1


def test_an_error_about_a_ping(bench: Bench, side: Side) -> None:
    bench.allow(side.world)
    sent = ip(side.me, side.remote, side.icmp, icmp(side.ask, ident=77))
    assert bench.passes(sent)
    assert bench.back(error(side, quote(sent))) == NEXT
    stranger = ip(side.me, side.remote, side.icmp, icmp(side.ask, ident=78))
    assert bench.back(error(side, quote(stranger))) == SHOT
    about_an_error = ip(side.me, side.remote, side.icmp, icmp(side.unreachable, ident=77))
    assert bench.back(error(side, quote(about_an_error))) == SHOT


def test_options_before_the_quote_and_in_it(bench: Bench) -> None:
    bench.allow(0)
    nop = b"\x01" * 12
    sent = ip(EP4, V4.remote, UDP, udp(4000, 7), options=nop)
    assert bench.passes(sent)
    data = icmp(3, 1, data=quote(sent))
    assert bench.back(ip("192.0.2.1", EP4, ICMP, data, options=nop)) == NEXT
    stranger = icmp(3, 1, data=quote(ip(EP4, V4.remote, UDP, udp(4001, 7), options=nop)))
    assert bench.back(ip("192.0.2.1", EP4, ICMP, stranger, options=nop)) == SHOT


def test_a_quote_with_extension_headers(bench: Bench) -> None:
    bench.allow(0)
    sent = ip(EP6, V6.remote, 60, ext(60, udp(4000, 7), UDP))
    assert bench.passes(sent)
    assert bench.back(error(V6, quote(sent))) == NEXT
    fragment = ip(EP6, V6.remote, 44, fragment6(UDP, 0, True, udp(4000, 7, bytes(24))))
    assert bench.back(error(V6, quote(fragment), 2)) == NEXT, "too big: path MTU discovery"
    other = ip(EP6, V6.remote, 60, ext(60, udp(4001, 7), UDP))
    assert bench.back(error(V6, quote(other))) == SHOT
    deep, following = udp(4000, 7), UDP
    for _ in range(9):
        deep, following = ext(60, deep, following), 60
    assert bench.back(error(V6, quote(ip(EP6, V6.remote, following, deep)))) == SHOT


def test_a_quoted_later_fragment_says_no_ports(bench: Bench, side: Side) -> None:
    bench.allow(0)
    assert bench.passes(ip(side.me, side.remote, UDP, udp(4000, 7)))
    payload = udp(4000, 7)
    if side is V4:
        later = ip(side.me, side.remote, UDP, payload, frag=4)
    else:
        later = ip(side.me, side.remote, 44, fragment6(UDP, 32, False, payload))
    assert bench.back(error(side, quote(later))) == SHOT


def test_the_endpoints_own_errors(bench: Bench, side: Side) -> None:
    """About what it received in a known flow: they pass; about anything else: not."""
    received = ip(side.remote, side.me, UDP, udp(5000, 22))
    complaint = ip(side.me, side.remote, side.icmp, icmp(side.unreachable, 3, data=quote(received)))
    bench.allow(0)  # even where policy would let ICMP pass
    assert bench.dropped(complaint, DENIED)
    assert bench.back(received) == NEXT
    assert bench.passes(complaint)
    own = ip(side.me, side.remote, UDP, udp(5000, 22))
    assert bench.passes(own)
    bench.events.clear()
    about_own = ip(side.me, side.remote, side.icmp, icmp(side.unreachable, 3, data=quote(own)))
    assert bench.dropped(about_own, DENIED)


def test_an_error_goes_to_nobody_but_who_sent_the_packet(bench: Bench, side: Side) -> None:
    """Else an allowed flow would let the endpoint send what it likes, quoted, to anybody."""
    bench.allow(side.world, UDP, 7, 24)
    assert bench.passes(ip(side.me, side.remote, UDP, udp(4000, 7)))
    answer = quote(ip(side.remote, side.me, UDP, udp(7, 4000, b"what nobody was to know")))
    data = icmp(side.unreachable, 3, data=answer)
    bench.events.clear()
    assert bench.dropped(ip(side.me, side.stranger, side.icmp, data), DENIED)
    assert bench.passes(ip(side.me, side.remote, side.icmp, data))


def test_an_unpoliced_endpoints_errors_pass_but_not_to_internal_addresses(bench: Bench) -> None:
    bench.endpoint(enforced=False)
    data = icmp(3, 3, data=quote(ip(V4.remote, EP4, UDP, udp(1, 2))))
    assert bench.passes(ip(EP4, V4.stranger, ICMP, data))
    bench.address(V4.stranger, 1, flags=1)
    bench.new_epoch()
    bench.events.clear()
    assert bench.dropped(ip(EP4, V4.stranger, ICMP, data), INTERNAL)


def test_an_error_about_an_answer_in_an_own_flow(bench: Bench, side: Side) -> None:
    bench.allow(side.world, TCP, 443, 24)
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(4000, 443, SYN)))
    answer = ip(side.remote, side.me, TCP, tcp(443, 4000, SYN | ACK))
    complaint = ip(side.me, side.remote, side.icmp, icmp(side.unreachable, 3, data=quote(answer)))
    assert bench.passes(complaint)


# ---------------------------------------------------------------- neighbour discovery

SOLICIT, ADVERTISE = 135, 136


@pytest.mark.parametrize(
    ("source", "to", "kind"),
    [
        ("fe80::1234", "ff02::1:ff00:1", SOLICIT),
        ("::", "ff02::1:ff00:1", SOLICIT),  # for a duplicate
        (EP6, "ff02::1:ff00:1", SOLICIT),
        (EP6, "fe80::1", SOLICIT),
        (EP6, "fe80::1", ADVERTISE),
        ("fe80::1234", "ff02::2", 133),
        ("::", "ff02::16", 143),
        ("fe80::1234", "ff02::16", 143),
    ],
)
def test_neighbour_discovery_passes(bench: Bench, source: str, to: str, kind: int) -> None:
    assert bench.passes(ip(source, to, ICMP6, icmp(kind, data=bytes(16))))
    assert bench.no_event()
    assert not list(bench.maps.flows(1))


@pytest.mark.parametrize("kind", [131, 132, 133, SOLICIT, ADVERTISE, 143])
def test_it_carries_nothing_off_the_link(bench: Bench, kind: int) -> None:
    packet = icmp(kind, data=bytes(16))
    assert bench.dropped(ip(EP6, V6.remote, ICMP6, packet), DENIED)
    assert bench.dropped(ip("fe80::1234", V6.remote, ICMP6, packet), SPOOF)
    assert bench.dropped(ip(EP6, "ff0e::1", ICMP6, packet), DENIED)
    # RFC 6980: never in fragments
    first = fragment6(ICMP6, 0, True, packet)
    assert bench.dropped(ip(EP6, "ff02::1", 44, first), DENIED)


@pytest.mark.parametrize("kind", [134, 137])
def test_an_endpoint_is_no_router(bench: Bench, kind: int) -> None:
    packet = icmp(kind, data=bytes(16))
    assert bench.dropped(ip("fe80::1234", "ff02::1", ICMP6, packet), SPOOF)


def test_link_local_addresses_are_for_neighbour_discovery_only(bench: Bench) -> None:
    bench.allow(0)
    for proto, payload in ((ICMP6, icmp(128)), (UDP, udp(1, 2)), (TCP, tcp(1, 2))):
        assert bench.dropped(ip("fe80::1234", V6.remote, proto, payload), SPOOF)


def test_neighbour_discovery_towards_the_endpoint_is_no_flow(bench: Bench) -> None:
    assert bench.back(ip("fe80::1", EP6, ICMP6, icmp(SOLICIT, data=bytes(16)))) == NEXT
    assert not list(bench.maps.flows(1))
    assert bench.no_event()
