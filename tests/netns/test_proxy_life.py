"""The proxy's life: privileges, start, kill, upgrade under load."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fqdnlab.lab import machine_service
from fqdnlab.paths import PROXY_GID, PROXY_UID, LabPaths
from fqdnlab.testing import eventually
from tests import proxy_kit
from tests.proxy_kit import API, RESOLVER, ProxyLab, question

NET_BIND_SERVICE, NET_RAW = 10, 13

#: argv: server question.  Asks every 5 ms and prints when (CLOCK_BOOTTIME) the first answer came.
FIRST = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.005)
print("asking", flush=True)
for _ in range(6000):
    s.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 53))
    try:
        s.recv(512)
    except TimeoutError:
        continue
    print("first", time.clock_gettime(time.CLOCK_BOOTTIME))
    break
"""

#: argv: server rate seconds question.  Asks at that rate, each once; prints a JSON of numbers.
LOAD = """
import json, select, socket, sys, time
server, rate, seconds, data = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
data = bytes.fromhex(data)
socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
poll, by_fd = select.epoll(), {s.fileno(): s for s in socks}
for s in socks:
    s.connect((server, 53)); s.setblocking(False); poll.register(s.fileno(), select.EPOLLIN)
waiting, sent, wrong, total = set(), 0, 0, int(rate * seconds)
print("started", flush=True)
start = time.monotonic()
while sent < total or waiting:
    now = time.monotonic()
    if now > start + seconds + 8:
        break
    while sent < min(total, int((now - start) * rate)):
        s = socks[sent % 16]
        s.send((sent // 16).to_bytes(2, "big") + data[2:]); waiting.add((s.fileno(), sent // 16))
        sent += 1
    for fd, _ in poll.poll(0.001):
        answer = by_fd[fd].recv(4096)
        waiting.discard((fd, answer[0] << 8 | answer[1]))
        wrong += (answer[3] & 15) != 0
print(json.dumps({"sent": sent, "lost": len(waiting), "wrong": wrong}))
"""


#: argv: address.  Reads one endless response; prints each chunk's arrival, until it is ended.
STREAM = """
import socket, sys
s = socket.create_connection((sys.argv[1], 80), timeout=10)
s.sendall(b"GET /stream?seconds=300&interval=0.1 HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n")
count = 0
while s.recv(65536):
    count += 1
    print("chunk", count, flush=True)
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[ProxyLab]:
    with machine_service(), proxy_kit.proxy_lab("pl") as made:
        yield made


@pytest.fixture
def bench(shared: ProxyLab) -> Iterator[ProxyLab]:
    """With every process alive before and after."""
    shared.reset()
    yield shared
    for process in (shared.lab.agent, shared.lab.proxy):
        if process.state().state == "dead":
            process.start()


def status(bench: ProxyLab) -> dict[str, str]:
    text = Path(f"/proc/{bench.lab.proxy.state().pid}/status").read_text()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}


def test_its_privileges(bench: ProxyLab) -> None:
    seen = status(bench)
    assert seen["Uid"].split() == [str(PROXY_UID)] * 4
    assert seen["Gid"].split() == [str(PROXY_GID)] * 4
    assert seen["Groups"] == ""
    wanted = 1 << NET_RAW | 1 << NET_BIND_SERVICE
    for which in ("CapEff", "CapPrm", "CapBnd"):
        assert int(seen[which], 16) & ~wanted == 0, f"{which} {seen[which]}"
    assert int(seen["CapEff"], 16) == wanted
    assert seen["NoNewPrivs"] == "1"


def started(pid: int) -> float:
    """When a process was started, in seconds of CLOCK_BOOTTIME."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("agent", ["alive", "dead"])
def test_from_start_to_first_answer(bench: ProxyLab, agent: str) -> None:
    if agent == "dead":
        bench.lab.agent.kill()
    bench.lab.proxy.kill()
    client = bench.web.popen(["python3", "-c", FIRST, RESOLVER, question().hex()], timeout=40)
    client.wait_for_output("asking", timeout=10)
    bench.lab.proxy.start()
    first = float(client.wait(timeout=40).stdout.split()[-1])
    took = first - started(bench.lab.proxy.state().pid)
    print(f"agent {agent}: first answer {took:.2f} s after the start of the process")
    assert 0 < took < 3  # 0.5 s on an idle machine


@pytest.mark.parametrize("agent", ["alive", "dead"])
def test_ready_is_said_only_when_it_serves(bench: ProxyLab, agent: str) -> None:
    """The first question after it, asked once, is answered; over TCP too."""
    if agent == "dead":
        bench.lab.agent.kill()
    for transport in ("udp", "tcp"):
        bench.lab.proxy.restart()
        got = bench.one(transport=transport)
        assert got.addresses == [API]
        assert got.seconds < 1  # it was there: nothing was sent twice


def test_it_serves_by_its_saved_policy_alone(bench: ProxyLab) -> None:
    """Proxy restarted while the agent is dead: allowed names resolve, the rest is refused."""
    bench.lab.agent.kill()
    for act in (bench.lab.proxy.restart, bench.lab.proxy.upgrade):
        act()
        assert bench.one().addresses == [API]
        assert bench.one("tracker.ads.net").rcode == 5
        assert bench.web.connect(API, 80)


def test_a_corrupt_saved_policy_is_set_aside_and_named(bench: ProxyLab) -> None:
    """With the agent dead nothing is known: nothing is let through until it is back."""
    paths = LabPaths(bench.lab.name)
    bench.lab.agent.kill()
    bench.lab.proxy.kill()
    path = paths.proxy_state / "policy.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    bench.lab.proxy.start()
    assert bench.one().rcode == 5
    assert (paths.proxy_state / "policy.corrupt").exists()
    log = paths.log("proxy").read_text()
    assert f"{path} is corrupt; set aside as {path.with_suffix('.corrupt')}" in log
    bench.lab.agent.start()
    eventually(lambda: bench.one().addresses == [API], 10, "the agent's policy")


def test_killed_it_fails_closed_and_known_flows_pass(bench: ProxyLab) -> None:
    bench.one()
    stream = bench.web.popen(["python3", "-c", STREAM, API], timeout=70)
    stream.wait_for_output("chunk", timeout=10)
    bench.lab.proxy.kill()
    for transport in ("udp", "tcp"):
        assert bench.ask(question(), transport=transport, timeout=0.7) == []
    drop = eventually(lambda: _drops(bench, RESOLVER)[-1], 5, "drops of questions")
    assert drop["reason"] == "FQDNLAB_NO_PROXY"
    assert bench.upstream() == 1
    assert bench.web.connect(API, 80)  # an address that was learned before
    seen = stream.stdout.count("chunk")
    eventually(lambda: stream.stdout.count("chunk") > seen + 3, 10, "more of the stream")
    bench.lab.proxy.start()
    assert bench.one().addresses == [API]
    stream.signal(signal.SIGTERM)
    stream.wait(timeout=20)


def _drops(bench: ProxyLab, address: str) -> list[dict[str, Any]]:
    rows = bench.lab.flows().to_dict("records")
    return [r for r in rows if r["address"] == address and r["verdict"] == "DROPPED"]


def test_three_upgrades_under_load_lose_nothing(bench: ProxyLab) -> None:
    rate, seconds = 400, 4
    before = bench.lab.proxy.state().generation
    argv = ["python3", "-c", LOAD, RESOLVER, str(rate), str(seconds), question().hex()]
    load = bench.web.popen(argv, timeout=60)
    load.wait_for_output("started", timeout=20)
    for _ in range(3):
        bench.lab.proxy.upgrade()
    result = json.loads(load.wait(timeout=60).stdout.splitlines()[-1])
    assert result == {"sent": rate * seconds, "lost": 0, "wrong": 0}
    assert bench.lab.proxy.state().generation == before + 3
    assert bench.upstream() == rate * seconds


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_slow_question_is_answered_by_the_generation_that_took_it(
    bench: ProxyLab, transport: str
) -> None:
    bench.world.set("slow.example.com", ["198.51.100.77"], ttl=60)
    bench.world.fault("slow.example.com", delay=2.0)
    script = (
        f"import subprocess; words = ['dig', '+tries=1', '+time=10', '+short', '@{RESOLVER}', "
        f"'slow.example.com'] + (['+tcp'] if '{transport}' == 'tcp' else [])\n"
        "print('asking', flush=True); print(subprocess.run(words, capture_output=True).stdout)"
    )
    client = bench.web.popen(["python3", "-c", script], timeout=30)
    eventually(lambda: bench.asked("slow.example.com"), 10, "the question upstream")
    old = bench.lab.proxy.state().generation
    bench.lab.proxy.upgrade()
    assert "198.51.100.77" in client.wait(timeout=30).stdout
    row = eventually(lambda: bench.last("slow.example.com"), 5, "a record of it")
    assert row["generation"] == old


def test_generations_have_addresses_of_their_own(bench: ProxyLab) -> None:
    def held() -> set[str]:
        text = bench.inside("node", lambda: Path("/proc/thread-self/net/udp").read_text())
        return {f[1] for f in (line.split() for line in text.splitlines()[1:])}

    before = {a for a in held() if a.endswith(":0035")}
    bench.lab.proxy.upgrade()
    after = {a for a in held() if a.endswith(":0035")}
    assert len(before) == len(after) == 1
    assert before != after
