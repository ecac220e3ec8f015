"""Verdict, reason, map changes and events of single packets, in the real kernel."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fqdnlab.datapath import abi
from fqdnlab.datapath.maps import Maps

from .conftest import EP4, EP6, NEXT, SHOT, Bench
from .packets import (
    ACK,
    ETH4,
    FIN,
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
    sctp,
    tcp,
    udp,
)

WORLD4, WORLD6, FQDN = 9, 10, 1 << 24
R4, R6 = "198.51.100.7", "2001:db8::7"
DENIED, DENY, INVALID, SPOOF = 133, 181, 134, 132

BOTH = pytest.mark.parametrize(("me", "remote", "world"), [(EP4, R4, WORLD4), (EP6, R6, WORLD6)])


@BOTH
def test_without_an_entry_it_is_dropped_by_default(
    bench: Bench, me: str, remote: str, world: int
) -> None:
    assert bench.dropped(ip(me, remote, TCP, tcp(1000, 443)), DENIED)
    assert bench.maps.drops() == {DENIED: (1, 60 if ":" in me else 40)}


@BOTH
def test_an_address_of_the_identity_passes_and_names_its_rule(
    bench: Bench, me: str, remote: str, world: int
) -> None:
    bench.address(remote, FQDN)
    bench.allow(FQDN, TCP, 443, 24, rule=12)
    assert bench.passes(ip(me, remote, TCP, tcp(1000, 443)))
    event = bench.event()
    assert (event.type, event.verdict, event.rule, event.identity) == (
        abi.EVENT_NEW_FLOW,
        abi.VERDICT_ALLOW,
        12,
        FQDN,
    )
    assert (event.sport, event.dport, abi.ip_text(event.daddr)) == (1000, 443, remote)
    assert bench.dropped(ip(me, remote, TCP, tcp(1000, 80)), DENIED)
    assert bench.maps.rules([12])[12][0] == 1


@BOTH
def test_an_unselected_endpoint_passes_everything_but_a_false_source(
    bench: Bench, me: str, remote: str, world: int
) -> None:
    bench.endpoint(enforced=False)
    assert bench.passes(ip(me, remote, UDP, udp(1000, 53)))
    other = "fd10::2" if ":" in me else "10.10.0.2"
    bench.events.clear()
    assert bench.dropped(ip(other, remote, UDP, udp(1000, 53)), SPOOF)


@BOTH
def test_replies_pass_and_strangers_are_not_made_into_flows(
    bench: Bench, me: str, remote: str, world: int
) -> None:
    assert bench.back(ip(remote, me, TCP, tcp(443, 1000, ACK))) == NEXT  # a stray segment
    assert bench.dropped(ip(me, remote, TCP, tcp(1000, 443, ACK)), DENIED)
    assert bench.back(ip(remote, me, TCP, tcp(5000, 22))) == NEXT  # a SYN towards the endpoint
    assert bench.passes(ip(me, remote, TCP, tcp(22, 5000, SYN | ACK)))


@BOTH
def test_todays_policy_judges_every_packet_of_the_opener(
    bench: Bench, me: str, remote: str, world: int
) -> None:
    bench.allow(world, TCP, 443, 24)
    packet = ip(me, remote, TCP, tcp(1000, 443))
    assert bench.passes(packet)
    bench.maps.policy.delete(Maps.policy_key(1, world, TCP, 443, 24))
    bench.maps.put_config(2, 0, False)
    bench.events.clear()
    assert bench.dropped(ip(me, remote, TCP, tcp(1000, 443, ACK)), DENIED)


@BOTH
def test_a_zombie_keeps_its_flows_and_takes_no_new_ones(
    bench: Bench, me: str, remote: str, world: int
) -> None:
    bench.address(remote, FQDN)
    bench.allow(FQDN, TCP, 443, 24)
    assert bench.passes(ip(me, remote, TCP, tcp(1000, 443)))
    assert bench.back(ip(remote, me, TCP, tcp(443, 1000, SYN | ACK))) == NEXT
    assert bench.passes(ip(me, remote, TCP, tcp(1000, 443, ACK)))
    bench.address(remote, world, est=FQDN)
    bench.maps.put_config(2, 0, False)
    assert bench.passes(ip(me, remote, TCP, tcp(1000, 443, ACK)))
    bench.events.clear()
    assert bench.dropped(ip(me, remote, TCP, tcp(1001, 443)), 244)
    # the same ports again are a new flow too
    assert bench.dropped(ip(me, remote, TCP, tcp(1000, 443, SYN)), 244)


def test_deny_beats_redirect_beats_allow_whatever_the_identity(bench: Bench) -> None:
    bench.allow(0, verdict=abi.VERDICT_DENY, rule=3)
    bench.allow(WORLD4, TCP, 443, 24, rule=4)
    packet = ip(EP4, R4, TCP, tcp(1, 443))
    assert bench.dropped(packet, DENY)
    bench.maps.policy.delete(Maps.policy_key(1, 0, 0, 0, 0))
    assert bench.passes(packet)


def test_the_longer_match_decides_then_the_specific_identity(bench: Bench) -> None:
    bench.allow(WORLD4, TCP, 0, 8, rule=1)
    bench.allow(0, TCP, 443, 24, rule=2)
    assert bench.passes(ip(EP4, R4, TCP, tcp(1, 443)))
    assert bench.event().rule == 2
    bench.allow(WORLD4, TCP, 443, 24, rule=7)
    assert bench.passes(ip(EP4, R4, TCP, tcp(2, 443)))
    assert bench.event().rule == 7


def test_a_port_range_is_a_prefix(bench: Bench) -> None:
    bench.allow(WORLD4, TCP, 8000, 8 + 13)  # 8000-8007
    assert bench.passes(ip(EP4, R4, TCP, tcp(1, 8007)))
    bench.events.clear()
    assert bench.dropped(ip(EP4, R4, TCP, tcp(1, 8008)), DENIED)


def test_cidrs_cover_what_no_full_address_does(bench: Bench) -> None:
    bench.maps.put_cidr(abi.ip16("198.51.100.0"), 120, 77)
    bench.allow(77)
    assert bench.passes(ip(EP4, R4, SCTP, sctp(1, 9)))
    bench.address(R4, 78)
    bench.events.clear()
    assert bench.dropped(ip(EP4, R4, SCTP, sctp(2, 9)), DENIED)


def test_internal_addresses_are_nobodys_business(bench: Bench) -> None:
    bench.endpoint(enforced=False)
    bench.address("10.10.255.254", 1, flags=abi.IPCACHE_INTERNAL)
    assert bench.dropped(ip(EP4, "10.10.255.254", TCP, tcp(1, 22)), 241)


@BOTH
def test_a_redirect_without_a_proxy_fails_closed(
    bench: Bench, me: str, remote: str, world: int
) -> None:
    bench.allow(world, UDP, 53, 24, verdict=abi.VERDICT_REDIRECT, proxy_port=53)
    assert bench.dropped(ip(me, remote, UDP, udp(1000, 53)), 240)


@BOTH
def test_a_redirect_left_to_tproxy_goes_on_untracked(
    bench: Bench, me: str, remote: str, world: int
) -> None:
    """With the mark, as live packets show in `make interop`: to whom nft rules say, or to nobody."""
    bench.maps.put_config(1, 0, False, tproxy=True)
    bench.allow(world, UDP, 53, 24, verdict=abi.VERDICT_REDIRECT, proxy_port=53)
    assert bench.passes(ip(me, remote, UDP, udp(1000, 53)))
    assert not list(bench.maps.flows(1))


def test_the_proxys_own_answers_pass_untracked(bench: Bench) -> None:
    assert bench.back(ip(R4, EP4, UDP, udp(53, 1000)), mark=abi.MARK_FROM_PROXY) == NEXT
    assert not list(bench.maps.flows(1))


@pytest.mark.parametrize(
    ("me", "remote", "proto", "ask", "answer"), [(EP4, R4, ICMP, 8, 0), (EP6, R6, ICMP6, 128, 129)]
)
def test_echo(bench: Bench, me: str, remote: str, proto: int, ask: int, answer: int) -> None:
    assert bench.dropped(ip(me, remote, proto, icmp(ask)), DENIED)
    bench.allow(WORLD4 if proto == ICMP else WORLD6, proto, ask, 24)
    assert bench.passes(ip(me, remote, proto, icmp(ask)))
    assert bench.back(ip(remote, me, proto, icmp(answer))) == NEXT
    bench.events.clear()
    assert bench.dropped(ip(me, remote, proto, icmp(answer, ident=99)), DENIED)


def test_icmp_errors_pass_for_known_flows_only(bench: Bench) -> None:
    bench.allow(WORLD4, UDP, 7, 24)
    assert bench.passes(ip(EP4, R4, UDP, udp(4000, 7)))
    quoted = ip(EP4, R4, UDP, udp(4000, 7))[14:]
    stranger = ip(EP4, R4, UDP, udp(4001, 7))[14:]
    assert bench.back(ip("192.0.2.1", EP4, ICMP, icmp(3, 1, data=quoted))) == NEXT
    assert bench.back(ip("192.0.2.1", EP4, ICMP, icmp(3, 1, data=stranger))) == SHOT


def test_neighbour_discovery_and_arp_pass(bench: Bench) -> None:
    assert bench.passes(ip("fe80::1234", "ff02::1:ff00:1", ICMP6, icmp(135, data=bytes(16))))
    assert bench.passes(bytes(12) + b"\x08\x06" + bytes(28))


@pytest.mark.parametrize("ethertype", [b"\x88\xcc", b"\x81\x00", b"\x86\xde"])
def test_other_ethertypes_are_dropped(bench: Bench, ethertype: bytes) -> None:
    assert bench.dropped(bytes(12) + ethertype + bytes(46), 139)


def test_fragments_follow_the_first(bench: Bench) -> None:
    bench.allow(WORLD4, UDP, 7, 24)
    more = 0x2000
    assert bench.dropped(ip(EP4, R4, UDP, bytes(16), frag=4, ident=5), 175)
    assert bench.passes(ip(EP4, R4, UDP, udp(1, 7, bytes(24)), frag=more, ident=6))
    assert bench.passes(ip(EP4, R4, UDP, bytes(16), frag=4, ident=6))
    bench.events.clear()
    assert bench.dropped(ip(EP4, R4, UDP, bytes(16), frag=3, ident=6), 243)  # overlaps
    assert bench.dropped(ip(EP4, R4, UDP, udp(1, 9, bytes(24)), frag=more, ident=8), DENIED)
    assert bench.dropped(ip(EP4, R4, UDP, bytes(16), frag=4, ident=8), DENIED)  # as its first
    assert bench.dropped(ip(EP4, R4, TCP, bytes(8), frag=more, ident=9), 243)  # tiny


def test_fragments_of_redirected_dns_are_dropped(bench: Bench) -> None:
    bench.allow(WORLD6, UDP, 53, 24, verdict=abi.VERDICT_REDIRECT, proxy_port=53)
    assert bench.dropped(ip(EP6, R6, 44, fragment6(UDP, 0, True, udp(1, 53, bytes(24)))), 243)


def test_extension_headers_are_walked_up_to_eight(bench: Bench) -> None:
    bench.allow(WORLD6, UDP, 7, 24)

    def wrapped(times: int) -> bytes:
        payload, following = udp(1, 7), UDP
        for _ in range(times):
            payload, following = ext(60, payload, following), 60
        return ip(EP6, R6, following, payload)

    assert bench.passes(wrapped(8))
    bench.events.clear()
    assert bench.dropped(wrapped(9), 242)
    assert bench.dropped(ip(EP6, R6, 135, ext(135, udp(1, 7), UDP)), 242)


def test_ip_options_do_not_move_the_ports(bench: Bench) -> None:
    bench.allow(WORLD4, TCP, 443, 24)
    assert bench.passes(ip(EP4, R4, TCP, tcp(1, 443), options=b"\x01" * 8))


def test_a_mapped_address_on_the_wire_is_no_ipv4(bench: Bench) -> None:
    bench.allow(WORLD4)
    assert bench.dropped(ip(EP6, "::ffff:198.51.100.7", TCP, tcp(1, 443)), INVALID)


def test_a_flow_that_ends_is_forgotten_soon(bench: Bench) -> None:
    bench.allow(WORLD4, TCP, 443, 24)
    out, back = ip(EP4, R4, TCP, tcp(1, 443)), ip(R4, EP4, TCP, tcp(443, 1, SYN | ACK))
    assert bench.passes(out)
    assert bench.back(back) == NEXT
    assert bench.passes(ip(EP4, R4, TCP, tcp(1, 443, ACK)))
    (flow,) = bench.maps.flows(1)
    assert flow.expires - flow.last == 8000 * 10**9
    assert bench.passes(ip(EP4, R4, TCP, tcp(1, 443, ACK | FIN)))
    assert bench.back(ip(R4, EP4, TCP, tcp(443, 1, ACK | FIN))) == NEXT
    (flow,) = bench.maps.flows(1)
    assert flow.expires - flow.last == 10 * 10**9


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(min_size=0, max_size=120), st.sampled_from([ETH4, bytes(12) + b"\x86\xdd"]))
def test_no_octets_pass_an_endpoint_that_nothing_allows(
    bench: Bench, noise: bytes, eth: bytes
) -> None:
    packet = eth + noise + bytes(max(0, 40 - len(noise)))
    verdict = bench.out(packet)
    neighbour = eth != ETH4 and len(noise) > 6
    assert verdict == SHOT or neighbour
