"""Bad input to the proxy: it answers FORMERR or nothing, counts it, learns nothing, and lives."""

from __future__ import annotations

import random
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from fqdnlab.dns.proxy.sockets import own_addresses
from fqdnlab.dns.proxy.wire import name_text, read_question
from fqdnlab.lab import machine_service
from fqdnlab.testing import eventually
from tests import proxy_kit
from tests.bpf.packets import UDP, ip, udp
from tests.proxy_kit import API, NAME, RESOLVER, RESOLVER6, ProxyLab, question

FORMERR, NOTIMP, REFUSED = 1, 4, 5
ASKED = question()


@pytest.fixture(scope="module")
def bench() -> Iterator[ProxyLab]:
    with machine_service(), proxy_kit.proxy_lab("pi") as made:
        yield made


def parse_errors(bench: ProxyLab) -> float:
    return bench.metric("cilium_policy_l7_total", rule="parse_errors")


def with_counts(*counts: int) -> bytes:
    return ASKED[:4] + struct.pack("!4H", *counts) + ASKED[12:]


MALFORMED = {
    "no question": with_counts(0, 0, 0, 0)[:12],
    "two questions": with_counts(2, 0, 0, 0) + ASKED[12:],
    "cut short": ASKED[:-3],
    "an answer that is not there": with_counts(1, 1, 0, 0),
    "65,535 additional records": with_counts(1, 0, 0, 65535),
    "more than its counts": ASKED + b"\0" * 100,
    "a pointer to itself": ASKED[:12] + b"\xc0\x0c\0\1\0\1",
    "a loop of two": ASKED[:12] + b"\1a\xc0\x0c\0\1\0\1",
    "a reserved label": ASKED[:12] + b"\x80a\0\0\1\0\1",
    "a name of 256 octets": ASKED[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
    "large and empty": ASKED + bytes(1300),
}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("server", [RESOLVER, RESOLVER6])
def test_malformed_questions_are_formerr(bench: ProxyLab, transport: str, server: str) -> None:
    before, asked = parse_errors(bench), bench.upstream()
    got = bench.ask(*MALFORMED.values(), server=server, transport=transport, window=1)
    assert [(g.rcode, g.source) for g in got] == [(FORMERR, server)] * len(MALFORMED)
    assert all(g.data[:2] == ASKED[:2] for g in got)
    assert parse_errors(bench) == before + len(MALFORMED)
    assert bench.upstream() == asked


def test_other_opcodes_are_notimp(bench: ProxyLab) -> None:
    update = ASKED[:2] + b"\x28\0" + ASKED[4:]
    assert [g.rcode for g in bench.ask(update)] == [NOTIMP]


def test_what_has_no_header_or_is_an_answer_is_dropped(bench: ProxyLab) -> None:
    """An answer sent to the proxy gets none: two proxies would talk for ever."""
    before = parse_errors(bench)
    forged = proxy_kit.address_record(ASKED, "203.0.113.66")
    assert bench.ask(b"", b"\1", ASKED[:11], forged, timeout=0.7) == []
    assert parse_errors(bench) == before + 4
    assert bench.ask(forged, transport="tcp", timeout=2) == []  # the connection is closed
    assert "203.0.113.66" not in set(bench.lab.mappings()["ip"])


def test_alive_after_a_thousand_at_random(bench: ProxyLab) -> None:
    """Random octets, and good questions and answers with octets changed."""
    chance = random.Random(20)
    data = []
    for n in range(1000):
        made = bytearray(chance.choice([ASKED, proxy_kit.address_record(ASKED, "203.0.113.66")]))
        if n % 3 == 0:
            made = bytearray(chance.randbytes(chance.randrange(0, 600)))
        else:
            for _ in range(chance.randrange(1, 5)):
                made[chance.randrange(len(made))] = chance.randrange(256)
        data.append(bytes(made))
    before, pid = parse_errors(bench), bench.lab.proxy.state().pid
    bench.ask(*data, timeout=3, window=50, expect=1001)  # more than will come
    # Over TCP the first that is no question ends the connection.
    for part in range(0, 100, 10):
        bench.ask(*data[part : part + 10], transport="tcp", timeout=0.5, expect=11)
    assert parse_errors(bench) > before + 100
    state = bench.lab.proxy.state()
    assert (state.pid, state.state) == (pid, "running")
    assert bench.one().addresses == [API]
    assert "203.0.113.66" not in set(bench.lab.mappings()["ip"])
    log = Path(f"/run/fqdnlab/.lab/{bench.lab.name}/log/proxy.log").read_text()
    assert "Traceback" not in log


def test_a_length_and_then_nothing_over_tcp(bench: ProxyLab) -> None:
    """Half a message holds up no other client."""
    script = (
        "import socket, time\n"
        f"half = [socket.create_connection(('{RESOLVER}', 53)) for _ in range(100)]\n"
        "for s in half: s.sendall(b'\\xff\\xff' + b'x' * 100)\n"
        "print('open', flush=True)\n"
        "time.sleep(60)\n"
    )
    running = bench.web.popen(["python3", "-c", script], timeout=70)
    running.wait_for_output("open", timeout=20)
    assert bench.one(transport="tcp").addresses == [API]
    running.signal(9)
    running.wait(timeout=20)


def test_one_client_s_connections_are_bounded(bench: ProxyLab) -> None:
    """Those past 128 are closed and counted; other clients are served."""
    other = bench.lab.endpoint("other", labels={"app": "web"})
    script = (
        "import socket, time\n"
        f"held = [socket.create_connection(('{RESOLVER}', 53)) for _ in range(200)]\n"
        "print('open', flush=True)\n"
        "time.sleep(60)\n"
    )
    shed = bench.metric("cilium_fqdn_semaphore_rejected_total")
    running = bench.web.popen(["python3", "-c", script], timeout=70)
    running.wait_for_output("open", timeout=20)
    metric = "cilium_fqdn_semaphore_rejected_total"
    eventually(lambda: bench.metric(metric) == shed + 72, 5, "72 connections shed")
    assert bench.one(transport="tcp", endpoint=other).addresses == [API]
    running.signal(9)
    running.wait(timeout=20)
    eventually(lambda: bench.one(transport="tcp").addresses == [API], 5, "room again")


# --- the proxy's own addresses


def test_nobody_reaches_the_proxy_s_own_addresses(bench: ProxyLab) -> None:
    """Frames by hand, as an endpoint's kernel would send no packet to 127.0.53.x."""
    generation = bench.lab.proxy.state().generation
    mine4, mine6 = own_addresses(generation)
    before = bench.metric("cilium_policy_l7_total", rule="received")
    errors = parse_errors(bench)

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            own = raw.getsockname()[4]
            for source, target in ((bench.web.ip4, mine4), (bench.web.ip6, mine6)):
                frame = ip(source, target, UDP, udp(40000, 53, ASKED))
                raw.send(_neighbour_of(own) + own + frame[12:])

    def _neighbour_of(own: bytes) -> bytes:
        text = Path("/proc/thread-self/net/arp").read_text()
        found = re.search(r"^10\.10\.255\.254 .* ((?:[0-9a-f]{2}:){5}[0-9a-f]{2})", text, re.M)
        assert found, text
        return bytes.fromhex(found[1].replace(":", ""))

    bench.one()  # so that the gateway's neighbour entry is there
    received = before + 1
    bench.inside(f"ep-{bench.web.name}", send)
    for address in (mine4, mine6):
        drop = eventually(lambda a=address: _drops(bench, a)[-1], 5, f"a drop of {address}")
        assert drop["verdict"] == "DROPPED"
    assert bench.metric("cilium_policy_l7_total", rule="received") == received
    assert parse_errors(bench) == errors


def _drops(bench: ProxyLab, address: str) -> list[dict[str, object]]:
    rows = bench.lab.flows().to_dict("records")
    return [r for r in rows if r["address"] == address and r["verdict"] == "DROPPED"]


def test_a_question_to_the_proxy_itself_is_refused(bench: ProxyLab) -> None:
    """Within the node it can be reached; it forwards nothing."""
    mine = own_addresses(bench.lab.proxy.state().generation)
    asked = bench.upstream()

    def ask() -> list[int]:
        rcodes = []
        for address in mine:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                sock.sendto(ASKED, (address, 53))
                rcodes.append(sock.recv(512)[3] & 15)
        return rcodes

    assert bench.inside("node", ask) == [REFUSED, REFUSED]
    assert bench.upstream() == asked
    assert name_text(read_question(ASKED)[0]) == f"{NAME}."  # an allowed name, all the same
