"""The world misbehaves on demand: what is on the wire then."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib import DNSError, DNSRecord

from fqdnlab.testing import eventually
from tests.world_kit import (
    API,
    API6,
    OTHER,
    RESOLVER,
    WorldKit,
    emptied,
    exchange,
    question,
    short,
    status,
    world_kit,
)


@pytest.fixture(scope="module")
def running() -> Iterator[WorldKit]:
    with world_kit() as made:
        yield made


@pytest.fixture
def kit(running: WorldKit) -> WorldKit:
    return emptied(running)


# --- Behaviours -------------------------------------------------------------------------------


def test_rcodes_silence_and_delay(kit: WorldKit) -> None:
    kit.world["a.example"] = [API]
    for code in ("SERVFAIL", "REFUSED", "NXDOMAIN"):
        kit.world.fault("a.example", rcode=code)
        assert status(kit.dig(f"@{RESOLVER}", "a.example")) == code
    kit.world.fault("a.example", silent=True)
    assert exchange(kit, question("a.example")) == []
    kit.world.fault("a.example", delay=0.3)
    start = time.monotonic()
    assert short(kit, "a.example") == [API]
    assert time.monotonic() - start >= 0.3
    kit.world.fault("a.example")
    assert len(exchange(kit, question("a.example"))) == 1


def test_the_narrowest_behaviour_holds(kit: WorldKit) -> None:
    for name in ("a.example", "b.example", "x.cdn.example"):
        kit.world[name] = [API]
    kit.world.fault(rcode="REFUSED")
    kit.world.fault(OTHER, rcode="SERVFAIL")
    kit.world.fault("*.cdn.example", rcode="NXDOMAIN")
    kit.world.fault("a.example", delay=0.001)
    kit.world.fault("a.example", server=OTHER, rcode="NOTIMP")

    def seen(server: str, name: str) -> str:
        return status(kit.dig(f"@{server}", name))

    assert seen(RESOLVER, "b.example") == "REFUSED"
    assert seen(OTHER, "b.example") == "SERVFAIL"
    assert seen(RESOLVER, "x.cdn.example") == "NXDOMAIN"
    assert seen(RESOLVER, "a.example") == "NOERROR"
    assert seen(OTHER, "a.example") == "NOTIMP"
    kit.world.clear_faults(OTHER)
    assert seen(OTHER, "b.example") == "REFUSED"


def test_for_some_types_transports_and_times(kit: WorldKit) -> None:
    kit.world["a.example"] = [API, API6]
    kit.world.fault("a.example", rcode="SERVFAIL", types=["AAAA"], transports=["udp"])
    assert short(kit, "a.example", "A") == [API]
    assert status(kit.dig(f"@{RESOLVER}", "a.example", "AAAA")) == "SERVFAIL"
    assert status(kit.dig(f"@{RESOLVER}", "+tcp", "a.example", "AAAA")) == "NOERROR"
    kit.world.fault("a.example", rcode="SERVFAIL", times=2)
    seen = [status(kit.dig(f"@{RESOLVER}", "a.example")) for _ in range(3)]
    assert seen == ["SERVFAIL", "SERVFAIL", "NOERROR"]


def test_loss_is_the_same_for_the_same_seed(kit: WorldKit) -> None:
    kit.world["a.example"] = [API]

    def run() -> list[bool]:
        kit.world.fault("a.example", loss=0.5, seed=7)
        return [bool(exchange(kit, question("a.example"))) for _ in range(40)]

    first = run()
    assert first == run()
    assert 5 < sum(first) < 35


def test_truncated_always(kit: WorldKit) -> None:
    kit.world["a.example"] = [API]
    kit.world.fault("a.example", truncate=True)
    assert DNSRecord.parse(exchange(kit, question("a.example"))[0][0]).header.tc
    start = kit.world.newest()
    assert short(kit, "a.example") == [API]
    assert [q.transport for q in kit.world.queries(since=start)] == ["udp", "tcp"]


def test_forged_answers(kit: WorldKit) -> None:
    kit.world["a.example"] = [API]
    words = ["id", "name", "type", "port", "address"]
    kit.world.fault("a.example", wrong=words, wrong_addresses=["203.0.113.9", "2001:db8::bad"])
    got = exchange(kit, QUESTION_A)
    assert len(got) == 6
    parsed = [DNSRecord.parse(data) for data, _, _ in got]
    forged_id, forged_name, forged_type, forged_port, forged_address, true = parsed
    assert forged_id.header.id != 4711
    assert str(forged_name.q.qname) != "a.example."
    assert forged_type.q.qtype == 28
    assert got[3][2] != 53
    assert got[4][1] == "10.96.0.11"
    for one in (forged_id, forged_name, forged_port, forged_address):
        assert str(one.rr[0].rdata) == "203.0.113.9"
    assert str(true.rr[0].rdata) == API
    assert got[5][1:] == (RESOLVER, 53)
    kit.world.fault("a.example", wrong=["id"], delay=2.0)
    forged = [DNSRecord.parse(data).header.id for data, _, _ in exchange(kit, QUESTION_A)]
    assert forged == [4711 ^ 0x5A5A]  # the true one comes later
    kit.world.fault("a.example", wrong=["id"], instead=True)
    assert len(exchange(kit, QUESTION_A)) == 1


QUESTION_A = question("a.example")


def test_forged_answers_over_ipv6(kit: WorldKit) -> None:
    kit.world["a.example"] = [API]
    kit.world.fault("a.example", wrong=["address"])
    with kit.socket_inside(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(QUESTION_A, ("fd96::10", 53))
        assert [sock.recvfrom(512)[1][0] for _ in range(2)] == ["fd96::11", "fd96::10"]


def test_poison_and_spoilt_messages(kit: WorldKit) -> None:
    kit.world["a.example"] = [API]
    kit.world.fault("a.example", extra=["bank.example 203.0.113.5", "bank.example 2001:db8::5"])
    answer = DNSRecord.parse(exchange(kit, QUESTION_A)[0][0])
    assert [(str(r.rname), str(r.rdata)) for r in answer.ar] == [
        ("bank.example.", "203.0.113.5"),
        ("bank.example.", "2001:db8::5"),
    ]
    seen = {}
    for kind in ("empty", "short", "counts", "pointer", "garbage", "oversized", "hex:0102ff"):
        kit.world.fault("a.example", malformed=kind)
        seen[kind] = exchange(kit, QUESTION_A)[0][0]
    assert seen.pop("empty") == b""
    assert seen.pop("hex:0102ff") == b"\1\2\xff"
    assert len(seen.pop("oversized")) > 9000
    for kind, data in seen.items():
        assert data[:2] == QUESTION_A[:2], kind
        with pytest.raises(DNSError):
            DNSRecord.parse(data)


def test_a_few_addresses_at_a_time_in_turn(kit: WorldKit) -> None:
    addresses = [f"192.0.2.{n}" for n in range(1, 6)]
    kit.world["cdn.example"] = addresses
    kit.world.fault("cdn.example", limit=2, rotate_each=True)
    seen = [short(kit, "cdn.example") for _ in range(3)]
    assert seen == [addresses[0:2], addresses[1:3], addresses[2:4]]


def test_a_real_server_behind_a_name(kit: WorldKit, tmp_path: Path) -> None:
    """Knot answers for *.real.example, asked by way of the world."""
    zone = tmp_path / "real.example.zone"
    zone.write_text("@ 60 SOA ns hostmaster 1 2 3 4 5\nwww 60 A 192.0.2.77\n")
    config = tmp_path / "knot.conf"
    config.write_text(
        f"server:\n    rundir: {tmp_path}\n    listen: 127.0.0.1@5353\n"
        f"database:\n    storage: {tmp_path}/db\n"
        f"zone:\n  - domain: real.example\n    file: {zone}\n"
    )
    knot = subprocess.Popen([*kit.inside, "knotd", "-c", str(config)], stdout=subprocess.DEVNULL)
    try:
        kit.world.fault("*.real.example", forward="127.0.0.1:5353")
        eventually(lambda: short(kit, "www.real.example") == ["192.0.2.77"], 15, "Knot's answer")
        assert short(kit, "+tcp", "www.real.example") == ["192.0.2.77"]
        assert status(kit.dig(f"@{RESOLVER}", "no.real.example")) == "NXDOMAIN"
    finally:
        knot.terminate()
        knot.wait(10)
    assert kit.world.queries(name="www.real.example")
