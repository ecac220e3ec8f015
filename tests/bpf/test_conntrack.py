"""Flows: what conntrack spares, what today's policy judges, and what it bounds."""

from __future__ import annotations

import itertools

import pytest

from fqdnlab.datapath import abi
from fqdnlab.datapath.libbpf import prog_test_run

from .conftest import DENIED, DENY, FQDN, NEXT, NO_PROXY, ZOMBIE, Bench, Side
from .packets import ACK, FIN, RST, SCTP, SYN, TCP, UDP, ip, sctp, tcp, udp

SECOND = 10**9
PORTED = pytest.mark.parametrize("proto", [TCP, UDP, SCTP], ids=["tcp", "udp", "sctp"])


def segment(proto: int, sport: int, dport: int, flags: int = ACK) -> bytes:
    return {TCP: tcp(sport, dport, flags), UDP: udp(sport, dport), SCTP: sctp(sport, dport)}[proto]


@PORTED
def test_replies_to_what_was_opened_inwards_pass(bench: Bench, side: Side, proto: int) -> None:
    answer = ip(side.me, side.remote, proto, segment(proto, 22, 5000))
    assert bench.dropped(answer, DENIED)
    assert bench.back(ip(side.remote, side.me, proto, segment(proto, 5000, 22, SYN))) == NEXT
    event = bench.event()
    assert (event.type, event.dir, event.verdict) == (1, abi.DIR_INGRESS, abi.VERDICT_ALLOW)
    assert bench.passes(answer)
    (flow,) = bench.maps.flows(1)
    assert (flow.dir, flow.local_port, flow.remote_port) == (abi.DIR_INGRESS, 22, 5000)
    assert flow.flags & 1, "a reply was seen"
    # of that flow alone
    assert bench.dropped(ip(side.me, side.remote, proto, segment(proto, 22, 5001)), DENIED)
    assert bench.dropped(ip(side.me, side.stranger, proto, segment(proto, 22, 5000)), DENIED)


def test_a_stray_segment_makes_no_flow(bench: Bench, side: Side) -> None:
    for flags in (ACK, SYN | ACK, FIN | ACK, RST):
        assert bench.back(ip(side.remote, side.me, TCP, tcp(443, 1000, flags))) == NEXT
    assert not list(bench.maps.flows(1))
    assert bench.dropped(ip(side.me, side.remote, TCP, tcp(1000, 443, ACK)), DENIED)


def test_a_bare_syn_is_never_a_reply(bench: Bench, side: Side) -> None:
    assert bench.back(ip(side.remote, side.me, TCP, tcp(443, 1000, SYN))) == NEXT
    bench.events.clear()
    assert bench.dropped(ip(side.me, side.remote, TCP, tcp(1000, 443, SYN)), DENIED)
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(1000, 443, SYN | ACK)))


@PORTED
def test_answers_are_tracked_and_open_nothing(bench: Bench, side: Side, proto: int) -> None:
    bench.allow(side.world, proto, 443, 24)
    assert bench.passes(ip(side.me, side.remote, proto, segment(proto, 1000, 443, SYN)))
    back = segment(proto, 443, 1000, SYN | ACK)
    assert bench.back(ip(side.remote, side.me, proto, back)) == NEXT
    (flow,) = bench.maps.flows(1)
    assert flow.dir == abi.DIR_EGRESS
    assert flow.flags & 1


# ---------------------------------------------------------------- today's policy


@PORTED
def test_withdrawing_a_rule_cuts_its_flows(bench: Bench, side: Side, proto: int) -> None:
    bench.allow(side.world, proto, 443, 24)
    packet = ip(side.me, side.remote, proto, segment(proto, 1000, 443))
    assert bench.passes(packet)
    assert bench.back(ip(side.remote, side.me, proto, segment(proto, 443, 1000))) == NEXT
    bench.withdraw(side.world, proto, 443, 24)
    bench.new_epoch()
    bench.events.clear()
    assert bench.dropped(packet, DENIED)


def test_a_new_deny_cuts_too_and_a_new_rule_is_named(bench: Bench, side: Side) -> None:
    bench.allow(side.world, rule=1)
    packet = ip(side.me, side.remote, TCP, tcp(1000, 443, ACK))
    assert bench.passes(packet)
    bench.allow(side.world, TCP, 443, 24, rule=2)
    bench.new_epoch()
    assert bench.passes(packet)
    event = bench.event()
    assert (event.type, event.rule) == (abi.EVENT_NEW_FLOW, 2), "its verdict changed: said again"
    assert next(iter(bench.maps.flows(1))).rule == 2
    assert bench.passes(packet)
    assert bench.no_event() or bench.events[-1].rule == 1
    bench.events.clear()
    bench.deny_rule(0)
    bench.new_epoch()
    assert bench.dropped(packet, DENY)


def test_becoming_selected_judges_the_flows_of_before(bench: Bench, side: Side) -> None:
    bench.endpoint(enforced=False)
    packet = ip(side.me, side.remote, UDP, udp(1000, 443))
    assert bench.passes(packet)
    bench.endpoint(enforced=True)
    bench.new_epoch()
    bench.events.clear()
    assert bench.dropped(packet, DENIED)


def test_replies_are_spared_by_new_policy(bench: Bench, side: Side) -> None:
    assert bench.back(ip(side.remote, side.me, UDP, udp(5000, 22))) == NEXT
    bench.deny_rule(0)
    bench.new_epoch()
    assert bench.passes(ip(side.me, side.remote, UDP, udp(22, 5000)))


@pytest.mark.parametrize("proto", [TCP, UDP])
def test_a_known_flow_that_becomes_redirected_is_steered(
    bench: Bench, side: Side, proto: int
) -> None:
    packet = ip(side.me, side.remote, proto, segment(proto, 1000, 53))
    bench.allow(side.world, proto, 53, 24)
    assert bench.passes(packet)
    assert bench.back(ip(side.remote, side.me, proto, segment(proto, 53, 1000))) == NEXT
    bench.redirects(side.world, proto)
    bench.new_epoch()
    bench.events.clear()
    assert bench.dropped(packet, NO_PROXY)  # steered, to nobody here
    bench.withdraw(side.world, proto, 53, 24)
    bench.new_epoch()
    assert bench.dropped(packet, DENIED)


def test_a_redirect_left_to_tproxy_goes_on_untracked(bench: Bench, side: Side) -> None:
    """With the mark, as `make interop` shows: to whom nft rules say, or to nobody."""
    bench.maps.put_config(1, 0, False, tproxy=True)
    bench.redirects(side.world, UDP)
    assert bench.passes(ip(side.me, side.remote, UDP, udp(1000, 53)))
    assert not list(bench.maps.flows(1))


@pytest.mark.parametrize("proto", [TCP, UDP])
def test_a_redirect_without_a_proxy_fails_closed(bench: Bench, side: Side, proto: int) -> None:
    bench.redirects(side.world, proto)
    for flags in (SYN, ACK):
        packet = ip(side.me, side.remote, proto, segment(proto, 1000, 53, flags))
        assert bench.dropped(packet, NO_PROXY)


@pytest.mark.parametrize("proto", [TCP, UDP])
def test_a_redirected_server_opens_no_way_round_the_proxy(
    bench: Bench, side: Side, proto: int
) -> None:
    bench.redirects(side.world, proto)
    late = ip(side.remote, side.me, proto, segment(proto, 53, 1000, SYN))
    assert bench.back(late) == NEXT
    assert not list(bench.maps.flows(1))
    bench.events.clear()
    assert bench.dropped(ip(side.me, side.remote, proto, segment(proto, 1000, 53)), NO_PROXY)
    bench.endpoint(enforced=False)
    assert bench.back(late) == NEXT
    assert len(list(bench.maps.flows(1))) == 1


# ---------------------------------------------------------------- zombies


def established(bench: Bench, side: Side, sport: int = 1000) -> None:
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(sport, 443)))
    assert bench.back(ip(side.remote, side.me, TCP, tcp(443, sport, SYN | ACK))) == NEXT
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(sport, 443, ACK)))


def test_a_zombie_keeps_its_flows_and_takes_no_new_ones(bench: Bench, side: Side) -> None:
    bench.address(side.remote, FQDN)
    bench.allow(FQDN, TCP, 443, 24)
    bench.allow(FQDN, UDP, 443, 24)
    established(bench, side)
    datagram = ip(side.me, side.remote, UDP, udp(1000, 443))
    assert bench.passes(datagram)
    bench.address(side.remote, side.world, est=FQDN)
    bench.new_epoch()
    for _ in range(2):
        assert bench.passes(ip(side.me, side.remote, TCP, tcp(1000, 443, ACK)))
        assert bench.passes(datagram)
    bench.events.clear()
    for payload in (tcp(1001, 443), tcp(1001, 443, ACK), tcp(1000, 443, SYN)):
        assert bench.dropped(ip(side.me, side.remote, TCP, payload), ZOMBIE)
    assert bench.dropped(ip(side.me, side.remote, UDP, udp(1001, 443)), ZOMBIE)
    # what no name ever allowed is no zombie's
    assert bench.dropped(ip(side.me, side.remote, TCP, tcp(1001, 80)), DENIED)
    bench.maps.ipcache.delete(abi.ip16(side.remote))
    bench.new_epoch()
    assert bench.dropped(ip(side.me, side.remote, TCP, tcp(1000, 443, ACK)), DENIED)


def test_withdrawing_the_rule_cuts_a_zombie_too(bench: Bench, side: Side) -> None:
    bench.address(side.remote, FQDN)
    bench.allow(FQDN, TCP, 443, 24)
    established(bench, side)
    bench.address(side.remote, side.world, est=FQDN)
    bench.withdraw(FQDN, TCP, 443, 24)
    bench.new_epoch()
    bench.events.clear()
    assert bench.dropped(ip(side.me, side.remote, TCP, tcp(1000, 443, ACK)), DENIED)


def test_an_address_that_gains_a_name_loses_no_packet(bench: Bench, side: Side) -> None:
    """Entries of the new identity first, then the ipcache, then the epoch: each step passes."""
    bench.address(side.remote, FQDN)
    bench.allow(FQDN, TCP, 443, 24)
    established(bench, side)
    packet = ip(side.me, side.remote, TCP, tcp(1000, 443, ACK))
    bench.allow(FQDN + 1, TCP, 443, 24)
    assert bench.passes(packet)
    bench.address(side.remote, FQDN + 1)
    assert bench.passes(packet)
    bench.new_epoch()
    assert bench.passes(packet)
    bench.withdraw(FQDN, TCP, 443, 24)
    bench.new_epoch()
    assert bench.passes(packet)


# ---------------------------------------------------------------- lives and bounds


def lifetime(bench: Bench) -> int:
    (flow,) = bench.maps.flows(1)
    return flow.expires - flow.last


def test_a_connection_lives_long_and_is_forgotten_soon_after_its_end(
    bench: Bench, side: Side
) -> None:
    bench.allow(side.world)
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(1, 443)))
    assert lifetime(bench) == 60 * SECOND
    established(bench, side, 1)
    assert lifetime(bench) == 8000 * SECOND
    assert bench.passes(ip(side.me, side.remote, TCP, tcp(1, 443, ACK | FIN)))
    assert lifetime(bench) == 8000 * SECOND, "half closed: the other may still send"
    assert bench.back(ip(side.remote, side.me, TCP, tcp(443, 1, ACK | FIN))) == NEXT
    assert lifetime(bench) == 10 * SECOND


def test_a_reset_ends_it(bench: Bench, side: Side) -> None:
    bench.allow(side.world)
    established(bench, side)
    assert bench.back(ip(side.remote, side.me, TCP, tcp(443, 1000, RST))) == NEXT
    assert lifetime(bench) == 10 * SECOND


def test_an_entry_past_its_time_counts_as_absent(bench: Bench, side: Side) -> None:
    assert bench.back(ip(side.remote, side.me, UDP, udp(5000, 22))) == NEXT
    assert lifetime(bench) == 60 * SECOND
    table = bench.maps.conntrack.inner((1).to_bytes(4, "little"), 24, abi.CT_VALUE.size)
    assert table is not None
    with table:
        ((key, value),) = table.items()
        _, *rest = abi.CT_VALUE.unpack(value)
        table.update(key, abi.CT_VALUE.pack(rest[-2], *rest))
    bench.events.clear()
    assert bench.dropped(ip(side.me, side.remote, UDP, udp(22, 5000)), DENIED)


def test_a_flood_evicts_none_of_anothers_flows(bench: Bench, side: Side) -> None:
    """Each endpoint has a table of its own, which bounds itself with nobody alive."""
    bench.allow(side.world)
    bench.maps.make_conntrack(2)
    six = side.header == 40
    bench.maps.put_endpoint(1, 2, 1, 301, 1, "10.10.0.2", "fd10::2")
    neighbours = [
        ip(side.neighbour, side.remote, UDP, udp(port, 443)) for port in range(2000, 2010)
    ]
    for packet in neighbours:
        assert bench.passes(packet)
    bench.endpoint(enforced=True)
    program = bench.loader.program("from_endpoint")
    for port in range(1, 9001):
        assert prog_test_run(program, ip(side.me, side.remote, UDP, udp(port, 443)), 1)[0] == NEXT
    assert len(list(bench.maps.flows(1))) <= 4096
    theirs = {flow.local_port for flow in bench.maps.flows(2)}
    assert theirs == set(range(2000, 2010)), "six" if six else "four"


def test_an_endpoint_without_a_table_sends_nothing(bench: Bench, side: Side) -> None:
    bench.allow(side.world)
    bench.maps.put_endpoint(1, 7, 1, 300, 1, "10.10.0.1", "fd10::1")
    assert bench.dropped(ip(side.me, side.remote, UDP, udp(1, 443)), 155)


def test_the_proxys_own_answers_pass_untracked(bench: Bench, side: Side) -> None:
    answer = ip(side.remote, side.me, UDP, udp(53, 1000))
    assert bench.back(answer, mark=abi.MARK_FROM_PROXY) == NEXT
    assert not list(bench.maps.flows(1))
    assert bench.no_event()


def test_ports_are_counted_apart(bench: Bench, side: Side) -> None:
    """Flows differ by remote, ports, protocol and who opened them; by nothing less."""
    bench.allow(0)
    pairs = itertools.product((1, 2), (3, 4), (TCP, UDP, SCTP), (side.remote, side.stranger))
    for sport, dport, proto, to in pairs:
        assert bench.passes(ip(side.me, to, proto, segment(proto, sport, dport, SYN)))
    assert len(list(bench.maps.flows(1))) == 24
