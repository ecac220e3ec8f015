"""Octets nobody meant: no program ever fails, and nothing passes that nothing allows."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fqdnlab.datapath import abi
from fqdnlab.datapath.libbpf import prog_test_run

from .conftest import EP4, EP6, NEXT, SHOT, V4, V6, Bench
from .packets import ETH4, ETH6, ICMP6, fragment6, icmp, ip, packed, tcp, udp

many = settings(
    max_examples=700, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def long_enough(packet: bytes) -> bytes:
    """As long as BPF_PROG_TEST_RUN wants it: a whole IP header, whatever is in it."""
    return packet + bytes(max(0, 54 - len(packet)))


@st.composite
def nearly(draw: st.DrawFn) -> bytes:
    """Right packets with a few octets changed, cut off or added."""
    payload = draw(
        st.sampled_from(
            [tcp(1, 443), udp(1, 53, bytes(24)), icmp(8), icmp(128), icmp(3), icmp(135)]
        )
    )
    proto = draw(st.sampled_from([1, 6, 17, 58, 132, 44, 0, 43, 60, 51, 4, 41, 47, 50, 59, 255]))
    if draw(st.booleans()):
        payload = fragment6(proto, draw(st.integers(0, 65535)), draw(st.booleans()), payload)
        proto = draw(st.sampled_from([44, 60, 17]))
    six = draw(st.booleans())
    me, remote = (EP6, V6.remote) if six else (EP4, V4.remote)
    frag = draw(st.sampled_from([0, 0, 0x2000, 0x2001, 4, 0x1FFF, 0x4000]))
    options = b"\x01" * draw(st.sampled_from([0, 0, 4, 40]))
    packet = bytearray(ip(me, remote, proto, payload, frag=frag, options=options))
    for at, octet in draw(
        st.lists(st.tuples(st.integers(14, len(packet) - 1), st.integers(0, 255)), max_size=6)
    ):
        packet[at] = octet
    cut = draw(st.one_of(st.none(), st.integers(15, len(packet))))
    return long_enough(bytes(packet[:cut]) + draw(st.binary(max_size=40)))


noise = st.builds(
    lambda eth, octets: long_enough(eth + octets),
    st.sampled_from([ETH4, ETH6, bytes(12) + b"\x81\x00", bytes(14)]),
    st.binary(min_size=1, max_size=200),
)


def neighbour_talk(packet: bytes) -> bool:
    """ICMPv6 of neighbour discovery that stays on the link, by a reading of its own."""
    if packet[12:14] != b"\x86\xdd" or len(packet) < 14 + 40:
        return False
    to = packet[38:54]
    near = to[:2] == b"\xfe\x80" or (to[0] == 0xFE and to[1] & 0xC0 == 0x80)
    return near or (to[0] == 0xFF and to[1] & 15 == 2)


@many
@given(st.one_of(nearly(), noise))
def test_nothing_passes_an_endpoint_that_nothing_allows(bench: Bench, packet: bytes) -> None:
    verdict = bench.out(packet)
    assert verdict in (NEXT, SHOT)
    if verdict == NEXT:
        assert neighbour_talk(packet), packet.hex()
    bench.reader.consume()
    bench.events.clear()


@many
@given(st.one_of(nearly(), noise))
def test_only_its_own_address_passes_where_all_is_allowed(bench: Bench, packet: bytes) -> None:
    bench.allow(0)
    if bench.out(packet) == NEXT and packet[12:14] != b"\x08\x06":
        six = packet[12:14] == b"\x86\xdd"
        source = packet[22:38] if six else packet[26:30]
        assert source == packed(EP6 if six else EP4) or neighbour_talk(packet), packet.hex()
    bench.reader.consume()
    bench.events.clear()


@many
@given(st.one_of(nearly(), noise))
def test_towards_the_endpoint_and_at_the_uplink_no_octets_are_an_error(
    bench: Bench, packet: bytes
) -> None:
    assert bench.back(packet) in (NEXT, SHOT)
    program = bench.loader.program("from_uplink")
    assert prog_test_run(program, packet, 1)[0] == NEXT
    for flow in bench.maps.flows(1):
        assert flow.dir == abi.DIR_INGRESS


@many
@given(st.binary(max_size=120), st.booleans())
def test_errors_that_quote_anything_are_about_no_flow(
    bench: Bench, quoted: bytes, six: bool
) -> None:
    side = V6 if six else V4
    bench.allow(side.world, 17, 7, 24)
    assert bench.out(ip(side.me, side.remote, 17, udp(1000, 7))) == NEXT
    error = ip(side.stranger, side.me, side.icmp, icmp(side.unreachable, 1, data=quoted))
    assert bench.back(error) == SHOT


def test_the_readings_of_this_file_see_something() -> None:
    """The helpers above are not such as call everything neighbour discovery."""
    assert neighbour_talk(ip("fe80::2", "ff02::1", ICMP6, icmp(135)))
    assert not neighbour_talk(ip(EP6, V6.remote, ICMP6, icmp(135)))
