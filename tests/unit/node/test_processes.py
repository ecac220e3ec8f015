"""Processes by pid and start time; real ones, of our own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from fqdnlab.node.private import unreachable
from fqdnlab.node.processes import (
    Identity,
    Process,
    clean_environment,
    launch,
    start_time,
    wait_ready,
)
from fqdnlab.testing import eventually


def python(log: Path, code: str, *fds: int) -> Process:
    return launch([sys.executable, "-c", code, *map(str, fds)], log, fds)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_a_process_is_known_by_its_start_too(log: Path) -> None:
    process = python(log, "import time; time.sleep(60)")
    try:
        pid, start = process.identity
        adopted = Process.adopt(Identity(pid, start))
        assert adopted is not None
        assert adopted.alive
        assert Process.adopt(Identity(pid, start + 1)) is None, "another process of that number"
        assert Process.adopt(Identity(0, 0)) is None
    finally:
        process.end(0)
    assert start_time(pid) is None
    assert Process.adopt(Identity(pid, start)) is None
    assert adopted.wait(1), "who adopted it sees its death too"
    assert adopted.last_words == "dead"


def test_how_it_ended(log: Path) -> None:
    process = python(log, "raise SystemExit(3)")
    assert process.wait(10)
    assert (process.status, process.last_words) == (3, "exit 3")
    process = python(log, "import time; time.sleep(60)")
    process.end(0)
    assert process.last_words == "killed by SIGKILL"
    assert process.send(signal.SIGTERM) is False


def test_the_grace_is_given_and_then_is_over(log: Path) -> None:
    code = "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(5))\nprint(1, flush=True)\n"
    process = python(log, code + "signal.pause()")
    eventually(lambda: log.read_text() == "1\n", 10, "the handler")
    process.end(10)
    assert process.status == 5
    log.unlink()
    code = "import signal, time; signal.signal(15, signal.SIG_IGN)\nprint(1, flush=True)\n"
    process = python(log, code + "time.sleep(60)")
    eventually(lambda: log.read_text() == "1\n", 10, "the handler")
    process.end(0.1)
    assert process.status == -signal.SIGKILL


def test_a_stopped_process_can_be_ended(log: Path) -> None:
    process = python(log, "import time; time.sleep(60)")
    process.send(signal.SIGSTOP)
    eventually(lambda: process.stopped, 5, "the stop")
    process.end(60)
    assert process.status == -signal.SIGKILL


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "import os, sys; os.write(int(sys.argv[1]), b'ready\\n'); import time; time.sleep(60)",
            "ready",
        ),
        ("import os, sys; os.write(int(sys.argv[1]), b'rea')", ""),
        ("pass", ""),
        ("import time; time.sleep(60)", ""),
    ],
)
def test_the_word_that_it_is_ready(log: Path, code: str, said: str) -> None:
    read, write = os.pipe()
    process = python(log, code, write)
    os.close(write)
    try:
        silent = code == "import time; time.sleep(60)"
        assert wait_ready(process, read, 0.5 if silent else 20.0) == said
    finally:
        os.close(read)
        process.end(0)


def test_the_environment_has_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("KEPT", "x")
    made = clean_environment()
    assert made["KEPT"] == "x"
    assert not [name for name in made if name.lower().endswith("_proxy")]


def test_where_another_user_cannot_pass(tmp_path: Path) -> None:
    inner = tmp_path / "home" / "code"
    inner.mkdir(parents=True)
    (tmp_path / "home").chmod(0o700)
    inner.chmod(0o755)
    tmp_path.chmod(0o711)
    stranger = os.getuid() + 12345
    assert unreachable(str(inner), stranger, stranger)
    for parent in (tmp_path / "home", *tmp_path.parents[:2]):  # pytest's own are its user's alone
        parent.chmod(0o711)
    assert unreachable(str(inner), stranger, stranger) == ""
    inner.chmod(0o700)
    assert unreachable(str(inner), stranger, stranger) == str(inner)
    assert unreachable(str(inner), os.getuid(), os.getgid()) == ""
    assert unreachable("/usr/bin", stranger, stranger) == ""
