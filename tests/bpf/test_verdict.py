"""Identity, policy, precedence, the rule named, counters: each in both families."""

from __future__ import annotations

import pytest

from fqdnlab.datapath import abi
from fqdnlab.datapath.libbpf import prog_test_run

from .conftest import DENIED, DENY, EP4, FQDN, INTERNAL, SHOT, SPOOF, V4, Bench, Side
from .packets import ACK, SCTP, SYN, TCP, UDP, icmp, ip, sctp, tcp, udp

GRE = 47
PROTOCOLS = pytest.mark.parametrize(
    ("proto", "payload"),
    [(TCP, tcp(1000, 443)), (UDP, udp(1000, 443)), (SCTP, sctp(1000, 443))],
    ids=["tcp", "udp", "sctp"],
)


@PROTOCOLS
def test_default_deny(bench: Bench, side: Side, proto: int, payload: bytes) -> None:
    assert bench.dropped(ip(side.me, side.remote, proto, payload), DENIED)
    octets = side.header + len(payload)
    assert bench.maps.drops() == {DENIED: (1, octets)}
    assert not list(bench.maps.flows(1)), "what is dropped is no flow"


def test_other_protocols_and_pings_are_denied_by_default_too(bench: Bench, side: Side) -> None:
    assert bench.dropped(ip(side.me, side.remote, GRE, bytes(16)), DENIED)
    assert bench.dropped(ip(side.me, side.remote, side.icmp, icmp(side.ask)), DENIED)


@PROTOCOLS
def test_an_address_of_the_identity_passes_and_names_its_rule(
    bench: Bench, side: Side, proto: int, payload: bytes
) -> None:
    bench.address(side.remote, FQDN)
    bench.allow(FQDN, proto, 443, 24, rule=12)
    assert bench.passes(ip(side.me, side.remote, proto, payload))
    event = bench.event()
    assert (event.type, event.verdict, event.rule) == (abi.EVENT_NEW_FLOW, abi.VERDICT_ALLOW, 12)
    assert (event.identity, event.ep_id, event.proto) == (FQDN, 1, proto)
    assert (event.sport, event.dport, event.family) == (1000, 443, 6 if side.header == 40 else 4)
    assert abi.ip_text(event.saddr) == side.me
    assert abi.ip_text(event.daddr) == side.remote
    assert (event.dir, event.is_reply, event.length) == (0, 0, side.header + len(payload))
    (flow,) = bench.maps.flows(1)
    assert (abi.ip_text(flow.remote), flow.local_port, flow.remote_port) == (side.remote, 1000, 443)
    assert (flow.rule, flow.identity, flow.dir) == (12, FQDN, abi.DIR_EGRESS)
    assert bench.maps.rules([12]) == {12: (1, side.header + len(payload))}
    # neither another port nor another address of no name
    assert bench.dropped(
        ip(side.me, side.remote, proto, payload[:2] + b"\0\x50" + payload[4:]), 133
    )
    assert bench.dropped(ip(side.me, side.stranger, proto, payload), DENIED)


def test_the_event_of_a_new_flow_is_written_once(bench: Bench, side: Side) -> None:
    bench.allow(side.world)
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(1000, 443)))
    assert bench.event().tcp_flags == SYN
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(1000, 443, ACK)))
    assert bench.no_event()
    assert bench.maps.rules([5])[5][0] == 2, "each packet is counted for its rule"


def test_an_unselected_endpoint_passes_everything(bench: Bench, side: Side) -> None:
    bench.endpoint(enforced=False)
    for proto, payload in ((UDP, udp(1, 53)), (SCTP, sctp(1, 2)), (GRE, bytes(16))):
        assert bench.passes(ip(side.me, side.remote, proto, payload))


@pytest.mark.parametrize("enforced", [True, False])
def test_a_false_source_is_dropped(bench: Bench, side: Side, enforced: bool) -> None:
    bench.endpoint(enforced)
    bench.allow(0)
    for source in (side.neighbour, side.remote, "::" if side.header == 40 else "0.0.0.0"):
        assert bench.dropped(ip(source, side.remote, UDP, udp(1000, 53)), SPOOF)


def test_an_endpoint_without_an_address_of_the_family_sends_nothing(bench: Bench) -> None:
    bench.maps.put_endpoint(1, 1, 1, 300, 0, EP4, "")
    assert bench.dropped(ip("::", "2001:db8::7", UDP, udp(1, 2)), SPOOF)
    bench.maps.put_endpoint(1, 1, 1, 300, 0, "", "fd10::1")
    assert bench.dropped(ip("0.0.0.0", "198.51.100.7", UDP, udp(1, 2)), SPOOF)


def test_an_interface_that_is_no_endpoints_passes_nothing(bench: Bench, side: Side) -> None:
    packet = ip(side.me, side.remote, UDP, udp(1, 2))
    bench.maps.endpoints.delete((1).to_bytes(4, "little"))
    for program in ("from_endpoint", "to_endpoint"):
        assert prog_test_run(bench.loader.program(program), packet, 1)[0] == SHOT


def test_internal_addresses_are_nobodys_business(bench: Bench, side: Side) -> None:
    bench.allow(0)
    bench.address(side.stranger, 1, flags=abi.IPCACHE_INTERNAL)
    prefix = abi.ip16(side.remote)[:13] + bytes(3)
    bench.maps.put_cidr(prefix, 104, 1, flags=abi.IPCACHE_INTERNAL)
    for enforced in (True, False):
        bench.endpoint(enforced)
        for to in (side.stranger, side.remote):
            assert bench.dropped(ip(side.me, to, TCP, tcp(1, 22)), INTERNAL)


# ---------------------------------------------------------------- the ipcache's two parts


def test_a_full_address_goes_before_the_longest_network(bench: Bench, side: Side) -> None:
    raw = abi.ip16(side.remote)
    bench.maps.put_cidr(raw[:14] + bytes(2), 112, 70)
    bench.maps.put_cidr(raw[:15] + bytes(1), 120, 77)
    bench.allow(77, UDP)
    packet = ip(side.me, side.remote, UDP, udp(1, 9))
    assert bench.passes(packet)
    assert bench.event().identity == 77
    bench.address(side.remote, 78)
    assert bench.dropped(ip(side.me, side.remote, UDP, udp(2, 9)), DENIED)
    bench.maps.ipcache.delete(raw)
    bench.maps.delete_cidr(raw[:15] + bytes(1), 120)
    assert bench.dropped(ip(side.me, side.remote, UDP, udp(3, 9)), DENIED)  # 70 is allowed nothing
    bench.maps.delete_cidr(raw[:14] + bytes(2), 112)
    bench.allow(side.world, UDP, 0, 8)
    assert bench.passes(ip(side.me, side.remote, UDP, udp(4, 9)))
    assert bench.event().identity == side.world


# ---------------------------------------------------------------- what an entry covers


@pytest.mark.parametrize(
    ("proto", "port", "bits", "yes", "no"),
    [
        (TCP, 443, 24, [(TCP, 443)], [(TCP, 442), (TCP, 444), (UDP, 443), (SCTP, 443)]),
        (TCP, 8000, 8 + 13, [(TCP, 8000), (TCP, 8007)], [(TCP, 7999), (TCP, 8008), (UDP, 8001)]),
        (UDP, 0, 8, [(UDP, 0), (UDP, 65535)], [(TCP, 1), (SCTP, 1)]),
        (SCTP, 2000, 8 + 5, [(SCTP, 2047)], [(SCTP, 2048), (UDP, 2000)]),
        (0, 0, 0, [(TCP, 1), (UDP, 2), (SCTP, 3)], []),
    ],
)
def test_ports_ranges_and_wildcards(
    bench: Bench,
    side: Side,
    proto: int,
    port: int,
    bits: int,
    yes: list[tuple[int, int]],
    no: list[tuple[int, int]],
) -> None:
    make = {TCP: tcp, UDP: udp, SCTP: sctp}
    masked = port >> (24 - bits) << (24 - bits) if bits > 8 else 0
    bench.allow(side.world, proto, masked, bits)
    for p, dport in yes:
        assert bench.passes(ip(side.me, side.remote, p, make[p](7, dport)))
    bench.events.clear()
    for p, dport in no:
        assert bench.dropped(ip(side.me, side.remote, p, make[p](7, dport)), DENIED)


# ---------------------------------------------------------------- precedence


@pytest.mark.parametrize("denied_by_any", [True, False])
def test_deny_goes_over_redirect_and_allow_however_wide(
    bench: Bench, side: Side, denied_by_any: bool
) -> None:
    deny, other = (0, side.world) if denied_by_any else (side.world, 0)
    bench.deny_rule(deny)
    bench.allow(other, TCP, 443, 24)
    bench.redirects(other, UDP)
    for proto, payload in ((TCP, tcp(1, 443)), (UDP, udp(1, 53))):
        packet = ip(side.me, side.remote, proto, payload)
        assert bench.out(packet) == SHOT
        event = bench.event()
        assert (event.reason, event.rule) == (DENY, 9)
    assert bench.maps.rules([9])[9][0] == 2
    bench.withdraw(deny)
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(1, 443)))


@pytest.mark.parametrize("by_any", [True, False])
def test_redirect_goes_over_a_longer_allow(bench: Bench, side: Side, by_any: bool) -> None:
    redirect, allow = (0, side.world) if by_any else (side.world, 0)
    bench.redirects(redirect, UDP)
    bench.allow(allow, UDP, 53, 24, rule=3)
    bench.out(ip(side.me, side.remote, UDP, udp(1, 53)))
    event = bench.event()
    assert event.rule == 6, "the redirect decided (and found no proxy here)"
    assert event.proxy_port == 53


def test_the_longer_match_then_the_specific_identity(bench: Bench, side: Side) -> None:
    bench.allow(side.world, TCP, 0, 8, rule=1)
    bench.allow(0, TCP, 443, 24, rule=2)
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(1, 443)))
    assert bench.event().rule == 2
    bench.allow(side.world, TCP, 443, 24, rule=7)
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(2, 443)))
    assert bench.event().rule == 7


@pytest.mark.parametrize(
    ("identity", "proto", "port", "bits", "match"),
    [
        (9, 0, 0, 0, 1),
        (9, TCP, 443, 24, 2),
        (0, TCP, 443, 24, 3),
        (0, 0, 0, 0, 4),
        (9, TCP, 0, 8, 5),
        (0, TCP, 0, 8, 6),
    ],
)
def test_how_it_matched(
    bench: Bench, identity: int, proto: int, port: int, bits: int, match: int
) -> None:
    bench.allow(identity, proto, port, bits)
    assert bench.passes(ip(EP4, V4.remote, TCP, tcp(1, 443)))
    assert bench.event().match == match


def test_another_policys_entries_are_another_policys(bench: Bench, side: Side) -> None:
    bench.allow(side.world)
    bench.maps.put_endpoint(1, 1, 2, 300, 1, EP4, "fd10::1")
    assert bench.dropped(ip(side.me, side.remote, TCP, tcp(1, 443)), DENIED)


# ---------------------------------------------------------------- events that find no room


def test_events_that_find_no_room_are_counted(bench: Bench) -> None:
    packet = ip(EP4, V4.remote, TCP, tcp(1, 443))
    room = (1 << 20) // (abi.FLOW_EVENT.size + 8)
    sent = room + 100
    assert prog_test_run(bench.loader.program("from_endpoint"), packet, 1, repeat=sent)[0] == SHOT
    bench.reader.consume()
    assert len(bench.events) + bench.maps.lost_events() == sent
    assert bench.maps.lost_events() >= 100 - 2
    assert bench.maps.drops()[DENIED][0] == sent, "verdicts do not wait for the reader"
