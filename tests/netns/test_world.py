"""The world's process as real clients see it: dig, curl, Knot, sockets, in its namespace."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib import DNSError, DNSRecord

from fqdnlab.errors import LateError, UnavailableError, UsageError
from fqdnlab.testing import eventually
from fqdnlab.world.client import World
from tests.world_kit import WorldKit, world_kit

RESOLVER = "10.96.0.10"
API = "198.51.100.7"
API6 = "2001:db8::7"
OTHER = "192.0.2.53"


@pytest.fixture(scope="module")
def running() -> Iterator[WorldKit]:
    with world_kit() as made:
        yield made


@pytest.fixture
def kit(running: WorldKit) -> WorldKit:
    """The one world, empty again."""
    running.world.clear()
    running.world.clear_faults()
    running.world.counts(reset=True)
    return running


@pytest.fixture
def ca(kit: WorldKit, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(kit.world.ca_pem())
    return str(path)


def short(kit: WorldKit, *words: str) -> list[str]:
    return kit.dig(f"@{RESOLVER}", "+short", *words).split()


def status(text: str) -> str:
    return text.split("status: ")[1].split(",")[0]


def question(name: str, kind: str = "A", number: int = 4711) -> bytes:
    record = DNSRecord.question(name, kind)
    record.header.id = number
    return bytes(record.pack())


def exchange(kit: WorldKit, data: bytes, server: str = RESOLVER) -> list[tuple[bytes, str, int]]:
    """Send a datagram; what comes until a second question, which is answered well, is answered."""
    last = question("end.example", number=1)
    with kit.socket_inside(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, (server, 53))
        sock.sendto(last, ("192.0.2.99", 53))
        got = []
        while True:
            answer, source = sock.recvfrom(65535)
            if source[0] == "192.0.2.99":
                return got
            got.append((answer, source[0], source[1]))


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


# --- The web ----------------------------------------------------------------------------------


def test_https_is_trusted_with_the_lab_s_ca_only(kit: WorldKit, ca: str) -> None:
    name = "api.example.com"
    to = f"{name}:443:{API}"
    assert API in kit.run("curl", "-sS", "--cacert", ca, "--resolve", to, f"https://{name}/")
    assert API in kit.run("curl", "-sS", "--cacert", ca, f"https://{API}/")  # by its address
    assert API6 in kit.run("curl", "-sS", "--cacert", ca, f"https://[{API6}]/")
    told = json.loads(kit.run("curl", "-sS", "--cacert", ca, f"https://{API}/json"))
    assert told["scheme"] == "https"
    with pytest.raises(AssertionError, match=": 60\n"):  # curl: the certificate is not trusted
        kit.run("curl", "-sS", "--resolve", to, f"https://{name}/")


def test_a_stream_sends_a_chunk_each_interval_and_ends(kit: WorldKit) -> None:
    start = time.monotonic()
    text = kit.run("curl", "-sS", "-N", f"http://{API}/stream?seconds=1&interval=0.2")
    assert text.split() == ["1", "2", "3", "4", "5"]
    assert 0.95 <= time.monotonic() - start < 5


def test_what_web_servers_understand(kit: WorldKit) -> None:
    def code(*words: str) -> str:
        return kit.run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *words)

    assert code("-I", f"http://{API}/") == "200"
    assert code("-d", "x=1", f"http://{API}/form") == "200"
    assert code(f"http://{API}/stream?seconds=never") == "400"
    assert code("--http1.0", f"http://{API}/stream?seconds=0.1&interval=0.05") == "200"
    assert kit.run("curl", "-sS", f"http://{API}/bytes?count=100000") == "x" * 100000
    two = kit.run("curl", "-sS", "-v", f"http://{API}/", f"http://{API}/", "--stderr", "-")
    assert "Re-using existing connection" in two or "reuse" in two.lower()
    with kit.socket_inside(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.connect((API, 80))
        sock.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_one_web_server_off_reset_slow_or_failing(kit: WorldKit) -> None:
    def curl(address: str = API) -> subprocess.CompletedProcess[str]:
        url = f"http://[{address}]/" if ":" in address else f"http://{address}/"
        command = ["curl", "-sS", "--max-time", "0.5", "-f", "-w", "%{http_code}", url]
        return subprocess.run([*kit.inside, *command], capture_output=True, text=True, timeout=20)

    for address, other in ((API, "198.51.100.8"), (API6, "2001:db8::8")):
        kit.world.off(address)
        assert curl(address).returncode == 28  # time-out
        assert curl(other).returncode == 0
        kit.world.on(address)
        assert curl(address).returncode == 0
    kit.world.web(API, state="reset")
    assert curl().returncode in (7, 56)  # reset, seen before or after the connect
    kit.world.web(API, delay=5)
    assert curl().returncode == 28
    kit.world.web(API, status=503)
    assert "503" in curl().stdout
    kit.world.web(status=404)
    assert "404" in curl("192.0.2.1").stdout
    kit.world.clear_faults()
    assert curl().returncode == 0


def test_what_is_connected_outlives_off(kit: WorldKit) -> None:
    with kit.socket_inside(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.connect((API, 80))
        kit.world.off(API)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_one_more_port(kit: WorldKit, ca: str) -> None:
    kit.world.listen(8443, tls=True)
    kit.world.listen(8443, tls=True)
    kit.world.listen(8080)
    assert "port 8443" in kit.run("curl", "-sS", "--cacert", ca, f"https://{API}:8443/")
    assert "port 8080" in kit.run("curl", "-sS", f"http://{API}:8080/")
    with pytest.raises(UsageError, match="8080"):
        kit.world.listen(8080, tls=True)


# --- DNS over streams -------------------------------------------------------------------------


def test_questions_in_a_row_over_tcp(kit: WorldKit) -> None:
    """Pipelined; a slow answer does not hold up the others (RFC 7766, 6.2.1.1)."""
    kit.world["a.example"] = [API]
    kit.world["slow.example"] = [API]
    kit.world.fault("slow.example", delay=0.3)
    with kit.socket_inside(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.connect((RESOLVER, 53))
        names = ["slow.example", *["a.example"] * 50]
        messages = [question(name, number=number) for number, name in enumerate(names)]
        sock.sendall(b"".join(struct.pack("!H", len(m)) + m for m in messages))
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while data := sock.recv(65535):
            got += data
    numbers = []
    while got:
        length = int.from_bytes(got[:2], "big")
        numbers.append(int.from_bytes(got[2:4], "big"))
        got = got[2 + length :]
    assert sorted(numbers) == list(range(51))
    assert numbers[-1] == 0


def test_dns_over_tls_and_https(kit: WorldKit, ca: str) -> None:
    kit.world["api.example.com"] = [API]
    start = kit.world.newest()
    tls = ["kdig", f"@{RESOLVER}", "+short", f"+tls-ca={ca}", "+tls-hostname=dns.example"]
    assert kit.run(*tls, "api.example.com") == f"{API}\n"
    context = ssl.create_default_context(cafile=ca)
    for request in (
        b"POST /dns-query HTTP/1.1\r\nHost: dns.example\r\n"
        b"Content-Type: application/dns-message\r\nContent-Length: %d\r\n\r\n%s"
        % (len(QUESTION), QUESTION),
        b"GET /dns-query?dns=%s HTTP/1.1\r\nHost: dns.example\r\n\r\n"
        % base64.urlsafe_b64encode(QUESTION).rstrip(b"="),
    ):
        with kit.socket_inside(socket.AF_INET, socket.SOCK_STREAM) as plain:
            plain.connect((RESOLVER, 443))
            with context.wrap_socket(plain, server_hostname="dns.example") as sock:
                sock.sendall(request)
                answer = http.client.HTTPResponse(sock)
                answer.begin()
                assert answer.getheader("content-type") == "application/dns-message"
                assert str(DNSRecord.parse(answer.read()).rr[0].rdata) == API
    assert [q.transport for q in kit.world.queries(since=start)] == ["tls", "https", "https"]
    with kit.socket_inside(socket.AF_INET, socket.SOCK_STREAM) as plain:
        plain.connect((RESOLVER, 853))
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(plain, server_hostname="dns.example")


QUESTION = question("api.example.com")


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


# --- Its life ---------------------------------------------------------------------------------


def test_its_socket_and_its_end() -> None:
    with world_kit() as kit:
        found = kit.path.stat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert stat.S_IMODE((kit.state / "ca.key").stat().st_mode) == 0o600
        first = kit.world.ca_pem()
        assert kit.stop() == 0
        assert not kit.path.exists()
        with pytest.raises(UnavailableError, match="restart"):
            kit.world["a.example"] = [API]
        os.chown(kit.path.parent, 12345, 12346)
        kit.start()
        assert (kit.path.stat().st_uid, kit.path.stat().st_gid) == (12345, 12346)
        with World(kit.path) as world:
            assert world.ca_pem() == first  # the CA is kept
            world["a.example"] = [API]
            assert short(kit, "a.example") == [API]


def test_a_second_world_and_a_stopped_one() -> None:
    with world_kit() as kit:
        other = [sys.executable, "-m", "fqdnlab.world", "--socket", str(kit.directory / "b.sock")]
        done = subprocess.run(
            [*kit.inside, *other, "--state", str(kit.state)],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 1
        assert "namespace of its own" in done.stderr
        assert kit.process is not None
        kit.process.send_signal(signal.SIGSTOP)
        with World(kit.path, timeout=0.5) as world, pytest.raises(LateError):
            world.names()
        kit.process.send_signal(signal.SIGCONT)
        assert kit.world.names() == []
