"""What root does where a user may be at work at the same time; short promises of the contracts."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

import fqdnlab
from fqdnlab.agent.__main__ import _listen, _server
from fqdnlab.dns.proxy.agent_link import _OPTIONS
from fqdnlab.machine.service import MachineService
from fqdnlab.model.place import Place
from fqdnlab.model.settings import LabSettings
from fqdnlab.node.plan import Plan
from fqdnlab.node.run import Command
from fqdnlab.pb import fqdndata_pb2, fqdndata_pb2_grpc

ROOT = Path(fqdnlab.__file__).parent


class Swapped:
    """A server in whose directory a user puts a link in the place of the socket just bound."""

    def __init__(self, link: Path, target: Path) -> None:
        self._link, self._target = link, target

    def add_insecure_port(self, address: str) -> int:
        self._link.symlink_to(self._target)
        return 1


def test_no_link_in_a_sockets_place_is_followed(tmp_path: Path) -> None:
    secret, link = tmp_path / "secret", tmp_path / "agent.sock"
    secret.write_text("root's")
    secret.chmod(0o640)
    before = secret.stat()
    _listen(Swapped(link, secret), link, os.getuid(), os.getgid(), 0o600)  # type: ignore[arg-type]
    after = secret.stat()
    assert (after.st_mode, after.st_ctime_ns) == (before.st_mode, before.st_ctime_ns)


def test_no_file_is_given_away_through_a_link() -> None:
    found, wrong = 0, []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.chown":
                found += 1
                if not any(ast.unparse(k) == "follow_symlinks=False" for k in node.keywords):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found >= 5
    assert wrong == []


def serve_one() -> tuple[socket.socket, threading.Thread]:
    """The machine service's end of a connection, and ours."""
    service = MachineService(Place())
    service._slots.acquire()
    mine, its = socket.socketpair()
    thread = threading.Thread(target=service._serve, args=(its,), daemon=True)
    thread.start()
    mine.settimeout(10)
    return mine, thread


def test_a_silent_caller_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fqdnlab.machine.service._IDLE_SECONDS", 0.05)
    mine, thread = serve_one()
    assert mine.recv(100) == b"", "closed, with no answer to what was not asked"
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("sent", [b"x" * (2 << 20), b"no JSON\n"])
def test_a_caller_that_makes_no_sense_is_told_once(sent: bytes) -> None:
    mine, thread = serve_one()
    sender = threading.Thread(target=lambda: _send(mine, sent), daemon=True)
    sender.start()
    with mine.makefile("rb") as lines:
        assert json.loads(lines.readline())["error"] == "UsageError"
        rest = b""
        with suppress(ConnectionResetError):  # not all that was sent was read
            rest = lines.readline()
    assert rest == b"", "and no more"
    thread.join(5)
    assert not thread.is_alive()


def _send(mine: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # it listens no more
        mine.sendall(data)


def test_no_group_is_killed_whose_leader_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once reaped, its number may be that of another's group."""
    reaped: list[int] = []
    real = os.killpg

    def killpg(group: int, number: int) -> None:
        if not Path("/proc", str(group)).exists():
            reaped.append(group)
        real(group, number)

    monkeypatch.setattr(os, "killpg", killpg)
    command = Command(Plan([sys.executable, "-c", ""], dict(os.environ)), 20)
    outputs = list(command.outputs())
    assert outputs[-1].exit == 0
    command._signal_group(signal.SIGTERM)  # of a client that is late
    assert reaped == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1 << 40])
def test_no_setting_is_without_bounds(value: float) -> None:
    for name in ("hold", "min_ttl", "max_conntrack"):
        with pytest.raises(ValueError, match=name):
            LabSettings.from_json(json.dumps({name: value}))


def test_no_process_forks_but_by_exec_of_a_helper() -> None:
    """Nothing may run between fork and exec in a process that has imported gRPC."""
    wrong = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            words = {alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")}
            words |= {getattr(node, "module", ""), getattr(node, "attr", "")}
            words |= {node.arg} if isinstance(node, ast.keyword) else set()
            if words & {"multiprocessing", "fork", "forkpty", "preexec_fn", "ProcessPoolExecutor"}:
                wrong.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert wrong == []


class Big(fqdndata_pb2_grpc.FQDNDataServicer):  # type: ignore[misc]
    """Tells a snapshot of 200 endpoints with 1,000 patterns each."""

    def StreamPolicyState(
        self, request_iterator: object, context: object
    ) -> Iterator[fqdndata_pb2.PolicyState]:
        patterns = [f"*.number-{n}.example.com" for n in range(1000)]
        policies = [
            fqdndata_pb2.DNSPolicy(source_endpoint_id=n, dns_pattern=patterns) for n in range(200)
        ]
        yield fqdndata_pb2.PolicyState(egress_l7_dns_policy=policies)


def test_the_largest_snapshot_passes(tmp_path: Path) -> None:
    """By the agent's server and with the proxy's options, as they are."""
    server = _server("largest")
    fqdndata_pb2_grpc.add_FQDNDataServicer_to_server(Big(), server)
    assert server.add_insecure_port(f"unix:{tmp_path}/s")
    server.start()
    try:
        with grpc.insecure_channel(f"unix:{tmp_path}/s", _OPTIONS) as channel:
            stub = fqdndata_pb2_grpc.FQDNDataStub(channel)
            (snapshot,) = stub.StreamPolicyState(iter(()), timeout=30)
    finally:
        server.stop(0).wait(5)
    assert [len(p.dns_pattern) for p in snapshot.egress_l7_dns_policy] == [1000] * 200
    assert snapshot.ByteSize() > 4 << 20, "more than gRPC takes by itself"
