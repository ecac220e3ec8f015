"""The world as dig and its client see it, in its namespace: names, changes, counts."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib import DNSRecord

from fqdnlab.errors import UsageError
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


# --- The thin whole ---------------------------------------------------------------------------


def test_a_name_and_its_web_server(kit: WorldKit) -> None:
    kit.world.set("api.example.com", [API], ttl=30)
    assert short(kit, "api.example.com") == [API]
    told = json.loads(kit.run("curl", "-sS", "-H", "Host: api.example.com", f"{API}/json"))
    assert (told["address"], told["port"], told["name"]) == (API, 80, "api.example.com")
    text = kit.run("curl", "-sS", f"http://{API}/")
    assert API in text


def test_the_same_over_ipv6(kit: WorldKit) -> None:
    kit.world["api.example.com"] = [API, API6]
    assert kit.dig("@fd96::10", "api.example.com", "AAAA", "+short") == f"{API6}\n"
    told = json.loads(kit.run("curl", "-sS", f"http://[{API6}]:80/json"))
    assert (told["address"], told["name"]) == (API6, f"[{API6}]")
    assert kit.dig("+tcp", "@fd96::10", "api.example.com", "AAAA", "+short") == f"{API6}\n"


@pytest.mark.parametrize("way", ["+notcp", "+tcp"])
def test_every_address_is_a_server_and_answers_from_itself(kit: WorldKit, way: str) -> None:
    kit.world["api.example.com"] = [API]
    for server in (RESOLVER, "8.8.8.8", "192.0.2.1", "127.0.0.1", "2001:db8::53", "fd96::10"):
        # dig refuses an answer from another address than the asked one.
        text = kit.dig(way, f"@{server}", "api.example.com")
        assert status(text) == "NOERROR"
        assert f"SERVER: {server}#53" in text
    assert {c.server for c in kit.world.counts()} >= {"8.8.8.8", "2001:db8::53"}


# --- Names ------------------------------------------------------------------------------------


def test_changes_are_seen_by_the_next_question(kit: WorldKit) -> None:
    world = kit.world
    world.set("a.example", ["192.0.2.1"], ttl=5)
    assert short(kit, "a.example") == ["192.0.2.1"]
    world.add("a.example", ["192.0.2.2", "192.0.2.3", API6])
    assert short(kit, "a.example") == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    world.rotate("a.example")
    assert short(kit, "a.example") == ["192.0.2.2", "192.0.2.3", "192.0.2.1"]
    world.remove("a.example", "192.0.2.3")
    assert short(kit, "a.example") == ["192.0.2.2", "192.0.2.1"]
    world.set_ttl("a.example", 77)
    assert "\t77\tIN\tA\t" in kit.dig(f"@{RESOLVER}", "a.example", "+noall", "+answer").replace(
        "   ", "\t"
    ).replace(" ", "\t")
    assert world["a.example"] == ["192.0.2.2", "192.0.2.1", API6]
    world.cname("a.example", "b.example")
    world["b.example"] = ["192.0.2.9"]
    assert short(kit, "a.example") == ["b.example.", "192.0.2.9"]
    del world["a.example"]
    assert status(kit.dig(f"@{RESOLVER}", "a.example")) == "NXDOMAIN"
    assert world.names() == ["b.example"]
    with pytest.raises(KeyError):
        world["a.example"]


def test_what_is_not_there_is_told_apart(kit: WorldKit) -> None:
    kit.world["www.a.example"] = [API]
    kit.world["*.wild.example"] = ["192.0.2.8"]
    answers = {
        name: status(kit.dig(f"@{RESOLVER}", name, kind))
        for name, kind in (
            ("www.a.example", "AAAA"),
            ("a.example", "A"),
            ("b.example", "A"),
            ("x.y.wild.example", "A"),
            ("wild.example", "A"),
        )
    }
    assert answers == {
        "www.a.example": "NOERROR",
        "a.example": "NOERROR",  # names are below it
        "b.example": "NXDOMAIN",
        "x.y.wild.example": "NOERROR",
        "wild.example": "NOERROR",
    }
    assert short(kit, "x.y.wild.example") == ["192.0.2.8"]
    assert "SOA" in kit.dig(f"@{RESOLVER}", "b.example", "+noall", "+authority")


def test_hundreds_of_addresses_are_truncated_and_come_over_tcp(kit: WorldKit) -> None:
    addresses = [f"198.51.{n // 250}.{n % 250 + 1}" for n in range(400)]
    kit.world.set("many.example", addresses)
    udp = DNSRecord.parse(exchange(kit, question("many.example"))[0][0])
    assert udp.header.tc
    assert 0 < len(udp.rr) < 400
    assert "flags: qr aa tc rd" in kit.dig(
        f"@{RESOLVER}", "+ignore", "+bufsize=1232", "many.example"
    )
    assert short(kit, "many.example") == addresses


def test_case_is_kept_and_names_are_matched_without_it(kit: WorldKit) -> None:
    kit.world["api.example.com"] = [API]
    for name in ("aPi.ExAmPle.cOm", "API.example.COM"):
        answer = DNSRecord.parse(exchange(kit, question(name))[0][0])
        assert str(answer.q.qname) == f"{name}."
        assert str(answer.rr[0].rname) == f"{name}."
    assert [q.name for q in kit.world.queries(name="api.example.com", most=2)] == [
        "aPi.ExAmPle.cOm",
        "API.example.COM",
    ]


def test_servers_may_differ(kit: WorldKit) -> None:
    kit.world["api.example.com"] = [API]
    kit.world["same.example.com"] = ["192.0.2.4"]
    kit.world.set("api.example.com", ["192.0.2.66"], server=OTHER)
    assert short(kit, "api.example.com") == [API]
    assert kit.dig(f"@{OTHER}", "api.example.com", "+short") == "192.0.2.66\n"
    assert kit.dig(f"@{OTHER}", "same.example.com", "+short") == "192.0.2.4\n"
    kit.world.clear(server=OTHER)
    assert kit.dig(f"@{OTHER}", "api.example.com", "+short") == f"{API}\n"


def test_other_types(kit: WorldKit) -> None:
    world = kit.world
    world.put("example.com", "MX", ["10 mail.example.com.", "20 b.example.com."])
    world.put("example.com", "TXT", ["v=spf1 -all"])
    world.put("example.com", "CAA", ['0 issue "ca.example"'])
    world.put("_x._tcp.example.com", "SRV", "0 5 5060 sip.example.com.")
    world.put("7.100.51.198.in-addr.arpa", "PTR", "api.example.com.")
    assert kit.dig(f"@{RESOLVER}", "example.com", "MX", "+short") == (
        "10 mail.example.com.\n20 b.example.com.\n"
    )
    assert kit.dig(f"@{RESOLVER}", "example.com", "TXT", "+short") == '"v=spf1 -all"\n'
    assert kit.dig(f"@{RESOLVER}", "example.com", "CAA", "+short") == '0 issue "ca.example"\n'
    assert short(kit, "_x._tcp.example.com", "SRV") == ["0", "5", "5060", "sip.example.com."]
    assert short(kit, "-x", API) == ["api.example.com."]
    assert next((r.type, r.values) for r in world.records("example.com")) == (
        "MX",
        ("10 mail.example.com.", "20 b.example.com."),
    )


def test_a_zone_file_is_loaded_whole_or_not_at_all(kit: WorldKit, tmp_path: Path) -> None:
    path = tmp_path / "zone.yaml"
    path.write_text(
        "ttl: 9\nnames:\n  a.example: [192.0.2.1, '2001:db8::1']\n  b.example: {cname: a.example}\n"
    )
    assert kit.world.load(path) == 3
    assert short(kit, "b.example") == ["a.example.", "192.0.2.1"]
    master = "$ORIGIN m.example.\n$TTL 300\n@ IN SOA ns hostmaster 1 2 3 4 5\nwww IN A 192.0.2.5\n"
    kit.world.load(master)
    assert short(kit, "www.m.example") == ["192.0.2.5"]
    assert "hostmaster.m.example." in kit.dig(f"@{RESOLVER}", "no.m.example")
    before = kit.world.records()
    with pytest.raises(UsageError, match=r"zone:3: c\.example"):
        kit.world.load("names:\n  d.example: 192.0.2.4\n  c.example: 300.0.0.1\n")
    assert kit.world.records() == before


# --- Bad input --------------------------------------------------------------------------------


def test_bad_input_is_told_and_changes_nothing(kit: WorldKit) -> None:
    world = kit.world
    world["a.example"] = [API]
    before = world.records()
    for wrong in (
        lambda: world.set("a.example", ["300.1.1.1"]),
        lambda: world.set("a..example", [API]),
        lambda: world.set("ä.example", [API]),
        lambda: world.set(64 * "a" + ".example", [API]),
        lambda: world.set("", [API]),
        lambda: world.set("a.example", [API], ttl=-1),
        lambda: world.set("a.example", [API], ttl=1 << 31),
        lambda: world.set("a.example", [API], server="ns.example"),
        lambda: world.add("a.example", ["fe80::1%eth0"]),
        lambda: world.remove("a.example", ["192.0.2.200"]),
        lambda: world.rotate("not.there"),
        lambda: world.set_ttl("not.there", 5),
        lambda: world.delete("not.there"),
        lambda: world.put("a.example", "NOTYPE", ["x"]),
        lambda: world.put("a.example", "MX", ["mail.example."]),
        lambda: world.put("a.example", "OPT", ["x"]),
        lambda: world.put("a.example", "CNAME", ["b.example", "c.example"]),
        lambda: world.fault("a.example", slowness=3),
        lambda: world.fault("a.example", loss=1.5),
        lambda: world.fault("a.example", delay="long"),
        lambda: world.fault("a.example", rcode="SERVAIL"),
        lambda: world.fault("a.example", wrong=["colour"]),
        lambda: world.fault("a.example", instead=True),
        lambda: world.fault("a.example", forward="somewhere"),
        lambda: world.web(API, state="gone"),
        lambda: world.web("example.com", state="off"),
        lambda: world.listen(0),
        lambda: world.listen(53),
        lambda: world.load("/no/such/file.yaml"),
    ):
        with pytest.raises(UsageError) as told:
            wrong()
        assert str(told.value)
    assert world.records() == before
    assert short(kit, "a.example") == [API]


def test_messages_that_are_no_question(kit: WorldKit) -> None:
    good = question("a.example")
    answered = {
        b"": 0,
        b"\1\2\3": 0,
        good[:11]: 0,
        good[:-1]: 1,  # the question is cut off
        good[:4] + b"\0\2" + good[6:]: 1,  # two questions, it says
        good[:12] + b"\xc0\x0c\0\1\0\1": 1,  # a pointer to itself
        good[:2] + b"\x80\0" + good[4:]: 0,  # an answer
    }
    for data, count in answered.items():
        got = exchange(kit, data)
        assert len(got) == count, data
        assert all(answer[0][3] & 15 == 1 for answer in got)  # FORMERR
    assert kit.world.totals()["malformed"] == len(answered)


# --- What was asked ---------------------------------------------------------------------------


def test_questions_are_counted_and_kept(kit: WorldKit) -> None:
    kit.world["a.example"] = [API]
    start = kit.world.newest()
    with kit.socket_inside(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("10.10.0.1", 5555))
        for number in range(3):
            sock.sendto(question("a.example", number=number), (RESOLVER, 53))
            sock.recv(512)
    kit.dig("+tcp", f"@{RESOLVER}", "a.example", "AAAA", "-b", "10.10.0.2")
    seen = kit.world.queries(since=start)
    assert [(q.client, q.name, q.type, q.transport, q.server) for q in seen] == [
        ("10.10.0.1", "a.example", "A", "udp", RESOLVER)
    ] * 3 + [("10.10.0.2", "a.example", "AAAA", "tcp", RESOLVER)]
    assert [(q.id, q.client_port) for q in seen[:3]] == [(0, 5555), (1, 5555), (2, 5555)]
    assert [q.number for q in seen] == list(range(start + 1, start + 5))
    assert kit.world.clients() == ["10.10.0.2", "10.10.0.1"]
    counts = {(c.name, c.type, c.transport): c.count for c in kit.world.counts()}
    assert counts == {("a.example", "A", "udp"): 3, ("a.example", "AAAA", "tcp"): 1}
    assert kit.world.queries(since=seen[-1]) == []


def test_a_thousand_questions_a_second_are_nothing(kit: WorldKit, tmp_path: Path) -> None:
    kit.world["a.example"] = [API]
    names = tmp_path / "names"
    names.write_text("a.example A\n")
    words = ["-s", RESOLVER, "-d", str(names), "-l", "3", "-Q", "1000", "-t", "1"]
    text = kit.run("dnsperf", *words)
    sent = int(text.split("Queries sent:")[1].split()[0])
    assert sent > 2500
    assert "Queries lost:         0 (0.00%)" in text
    assert kit.world.totals()["queries"] == sent
