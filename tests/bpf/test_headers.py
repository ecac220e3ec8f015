"""What the parser makes of headers: EtherTypes, options, extension headers, lengths."""

from __future__ import annotations

import pytest

from .conftest import DENIED, EP4, EP6, EXTENSION, INVALID, SPOOF, V4, V6, Bench, Side
from .packets import ETH4, ETH6, TCP, UDP, ext, ip, tcp, udp

HOP, ROUTING, AUTH, DESTINATION = 0, 43, 51, 60


def wrapped(kinds: list[int], payload: bytes = b"", last: int = UDP) -> bytes:
    """A packet with extension headers of these kinds, outermost first."""
    inner, following = payload or udp(1, 7), last
    for kind in reversed(kinds):
        inner, following = ext(kind, inner, following), kind
    return ip(EP6, V6.remote, following, inner)


def test_arp_passes_unseen(bench: Bench) -> None:
    assert bench.passes(bytes(12) + b"\x08\x06" + bytes(28))
    assert bench.no_event()


@pytest.mark.parametrize(
    "ethertype",
    ["88cc", "8100", "88a8", "86de", "0000", "05dc", "8847", "8863", "22f0"],
)
@pytest.mark.parametrize("enforced", [True, False])
def test_other_ethertypes_and_vlan_tags_are_dropped(
    bench: Bench, ethertype: str, enforced: bool
) -> None:
    bench.endpoint(enforced)
    inner = ip(EP4, V4.remote, UDP, udp(1, 7))
    packet = inner[:12] + bytes.fromhex(ethertype) + b"\x00\x05" + inner[12:]
    assert bench.dropped(packet, 139)
    assert bench.maps.drops()[139] == (1, len(packet) - 14)


# ---------------------------------------------------------------- IPv4


@pytest.mark.parametrize("octets", [4, 8, 40])
def test_ip_options_do_not_move_the_ports(bench: Bench, octets: int) -> None:
    bench.allow(9, TCP, 443, 24)
    assert bench.passes(ip(EP4, V4.remote, TCP, tcp(1, 443), options=b"\x01" * octets))
    bench.events.clear()
    assert bench.dropped(ip(EP4, V4.remote, TCP, tcp(1, 80), options=b"\x01" * octets), DENIED)


@pytest.mark.parametrize(
    ("at", "octet"),
    [(0, 0x65), (0, 0x44), (0, 0x4F), (0, 0x05), (2, 0xFF), (3, 10), (3, 200)],
    ids=["version 6", "ihl 4", "ihl 15", "version 0", "too long", "too short", "longer"],
)
def test_ipv4_headers_that_are_none(bench: Bench, at: int, octet: int) -> None:
    bench.allow(0)
    packet = bytearray(ip(EP4, V4.remote, UDP, udp(1, 7)))
    packet[14 + at] = octet
    assert bench.dropped(bytes(packet), INVALID)


# ---------------------------------------------------------------- IPv6


@pytest.mark.parametrize("times", [1, 2, 8])
def test_extension_headers_are_walked(bench: Bench, times: int) -> None:
    bench.allow(10, UDP, 7, 24)
    assert bench.passes(wrapped([DESTINATION] * times))
    bench.events.clear()
    assert bench.dropped(wrapped([DESTINATION] * times, udp(1, 9)), DENIED)


def test_of_each_known_kind(bench: Bench) -> None:
    bench.allow(10, UDP, 7, 24)
    assert bench.passes(wrapped([HOP, ROUTING, DESTINATION]))
    authentication = bytes([UDP, 4]) + bytes(22) + udp(1, 7)  # 24 octets: (4 + 2) * 4
    assert bench.passes(ip(EP6, V6.remote, AUTH, authentication))
    long = bytes([UDP, 2]) + bytes(22) + udp(1, 7)  # 24 octets: (2 + 1) * 8
    assert bench.passes(ip(EP6, V6.remote, DESTINATION, long))


def test_more_than_eight_are_dropped(bench: Bench) -> None:
    bench.allow(0)
    for times in (9, 10, 20):
        assert bench.dropped(wrapped([DESTINATION] * times), EXTENSION)


@pytest.mark.parametrize("kind", [135, 139, 140, 253, 254])
def test_unknown_ones_are_dropped(bench: Bench, kind: int) -> None:
    bench.allow(0)
    assert bench.dropped(wrapped([kind]), EXTENSION)
    assert bench.dropped(wrapped([HOP, kind]), EXTENSION)


def test_a_route_to_elsewhere_is_dropped(bench: Bench) -> None:
    """With segments left, the packet is for an address that is not the one judged."""
    bench.allow(0)
    routed = bytes([UDP, 0, 4, 1]) + bytes(4) + udp(1, 7)
    assert bench.dropped(ip(EP6, V6.remote, ROUTING, routed), EXTENSION)


def test_a_header_beyond_the_end(bench: Bench) -> None:
    bench.allow(0)
    reaching = bytes([UDP, 200]) + bytes(6) + udp(1, 7)
    assert bench.dropped(ip(EP6, V6.remote, DESTINATION, reaching), INVALID)
    # the same, with what it reaches lying behind the packet's end
    assert bench.dropped(ip(EP6, V6.remote, DESTINATION, reaching) + bytes(1700), INVALID)


@pytest.mark.parametrize(
    ("at", "octet"), [(0, 0x45), (0, 0x00), (4, 0xFF), (5, 200)], ids=["v4", "v0", "long", "longer"]
)
def test_ipv6_headers_that_are_none(bench: Bench, at: int, octet: int) -> None:
    bench.allow(0)
    packet = bytearray(ip(EP6, V6.remote, UDP, udp(1, 7)))
    packet[14 + at] = octet
    assert bench.dropped(bytes(packet), INVALID)


def test_a_mapped_address_on_the_wire_is_no_ipv4(bench: Bench) -> None:
    bench.allow(0)
    mapped = "::ffff:198.51.100.7"
    assert bench.dropped(ip(EP6, mapped, TCP, tcp(1, 443)), INVALID)
    assert bench.dropped(ip(f"::ffff:{EP4}", V6.remote, TCP, tcp(1, 443)), SPOOF)


# ---------------------------------------------------------------- transport


@pytest.mark.parametrize("octets", [0, 4, 7, 12, 19])
def test_transport_headers_that_are_cut(bench: Bench, side: Side, octets: int) -> None:
    bench.allow(0)
    assert bench.dropped(ip(side.me, side.remote, TCP, tcp(1, 7)[:octets]), INVALID)
    if octets < 8:
        assert bench.dropped(ip(side.me, side.remote, UDP, udp(1, 7)[:octets]), INVALID)


def test_a_tcp_header_shorter_than_itself(bench: Bench, side: Side) -> None:
    bench.allow(0)
    payload = bytearray(tcp(1, 7))
    payload[12] = 0x40
    assert bench.dropped(ip(side.me, side.remote, TCP, bytes(payload)), INVALID)


@pytest.mark.parametrize("eth", [ETH4, ETH6], ids=["v4", "v6"])
def test_frames_with_nothing_in_them(bench: Bench, eth: bytes) -> None:
    """Shorter ones BPF_PROG_TEST_RUN does not take: test_live sends those."""
    bench.allow(0)
    assert bench.dropped(eth + bytes(40), INVALID)
