"""The web servers, DNS over TLS and over HTTPS, as curl, kdig and sockets see them."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib import DNSRecord

from fqdnlab.errors import UsageError
from tests.world_kit import (
    API,
    API6,
    RESOLVER,
    WorldKit,
    emptied,
    question,
    world_kit,
)


@pytest.fixture(scope="module")
def running() -> Iterator[WorldKit]:
    with world_kit() as made:
        yield made


@pytest.fixture
def kit(running: WorldKit) -> WorldKit:
    return emptied(running)


@pytest.fixture
def ca(kit: WorldKit, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(kit.world.ca_pem())
    return str(path)


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
    def curl(address: str = API, most: str = "10") -> subprocess.CompletedProcess[str]:
        url = f"http://[{address}]/" if ":" in address else f"http://{address}/"
        command = ["curl", "-sS", "--max-time", most, "-f", "-w", "%{http_code}", url]
        return subprocess.run([*kit.inside, *command], capture_output=True, text=True, timeout=20)

    for address, other in ((API, "198.51.100.8"), (API6, "2001:db8::8")):
        kit.world.off(address)
        assert curl(address, "0.5").returncode == 28  # time-out
        assert curl(other).returncode == 0
        kit.world.on(address)
        assert curl(address).returncode == 0
    kit.world.web(API, state="reset")
    assert curl().returncode in (7, 56)  # reset, seen before or after the connect
    kit.world.web(API, delay=5)
    assert curl(most="0.5").returncode == 28
    kit.world.web(API, status=503)
    assert "503" in curl().stdout
    kit.world.web(API, status=204)
    assert "204" in curl().stdout
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
    kit.world.fault("slow.example", delay=2.0)
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
