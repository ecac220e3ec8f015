"""The world's process: its socket, its CA, its end, and where it refuses to run."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from fqdnlab.errors import LateError, UnavailableError
from fqdnlab.world.client import World
from tests.world_kit import API, RESOLVER, short, world_kit


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


def test_it_ends_with_streams_open_and_serves_its_metrics() -> None:
    with world_kit() as kit:
        kit.dig("+tcp", f"@{RESOLVER}", "a.example")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(kit.metrics))
            sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            told = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
        assert 'fqdnlab_world_questions_total{transport="tcp"} 1' in told
        with kit.socket_inside(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.connect((API, 80))
            sock.sendall(b"GET /stream?seconds=600 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
            start = time.monotonic()
            assert kit.stop() == 0
            assert time.monotonic() - start < 3
