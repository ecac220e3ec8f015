"""./lab and make: what they say, and that each made thing follows its source."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534


def lab(
    *args: str, cwd: Path = ROOT, uid: int | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    command = ["./lab", *args]
    if uid is not None:
        command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *command]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=110
    )


def make(*args: str, cwd: Path) -> str:
    done = subprocess.run(["make", *args], cwd=cwd, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def readable(clone: Path) -> Path:
    """The clone where nobody may read it too (pytest's folders are private)."""
    for folder in (clone, *clone.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    return clone


def test_help_names_every_command_and_needs_nothing() -> None:
    done = subprocess.run(
        ["./lab", "help"], cwd=ROOT, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0
    commands = "demo test bench interop vm box bundle install run shell doctor setup packages"
    for command in commands.split():
        assert f"\n  {command} " in done.stdout


@pytest.fixture
def all_here(tmp_path: Path) -> str:
    """A PATH on which no command of the benchmark's peers is missing; none of them is run."""
    for name in ("knotd", "nft", "dnsperf", "dnsmasq", "dnsdist", "iperf3"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 99\n")
        (tmp_path / name).chmod(0o755)
    return f"{os.environ['PATH']}:{tmp_path}"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["demo", "--rate", "none"], "argument --rate: invalid float value: 'none'"),
        (["bench", "--quick", "--only", "none"], "argument --only: invalid choice: 'none'"),
    ],
)
def test_a_command_s_own_options_reach_it(all_here: str, words: list[str], wanted: str) -> None:
    done = lab(*words, PATH=all_here)
    assert done.returncode == 2
    assert wanted in done.stderr


def test_packages_are_told_whether_here_or_not() -> None:
    told = lab("packages", "notebook", "vm").stdout.split()
    assert {"python3-venv", "clang", "curl", "vagrant-libvirt", "qemu-system-x86"} <= set(told)
    assert told == sorted(set(told))
    assert not {"vagrant", "curl"} & set(lab("packages").stdout.split())


def test_an_unknown_command_is_a_usage_error() -> None:
    done = lab("dmeo")
    assert (done.returncode, "unknown command: dmeo" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", ["demo", "test"])
def test_without_root_it_says_what_for_and_the_sudo_line(readable: Path, command: str) -> None:
    done = lab(command, cwd=readable, uid=NOBODY)
    assert done.returncode == 4
    assert f"sudo ./lab {command}" in done.stderr
    assert "network namespaces" in done.stderr
    assert "BPF" in done.stderr


def test_files_that_a_user_cannot_write_are_told_with_the_remedy(readable: Path) -> None:
    done = lab("setup", cwd=readable, uid=NOBODY)
    assert done.returncode == 4
    assert f"sudo chown -R {NOBODY}:{NOBODY}" in done.stderr


def test_under_sudo_what_is_written_belongs_to_the_caller(readable: Path) -> None:
    for path in (readable, *readable.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    (readable / "build").mkdir()  # as root: such as a run leaves
    (readable / "build/report.html").touch()
    done = lab("doctor", cwd=readable, SUDO_UID=str(NOBODY), SUDO_GID=str(NOBODY))
    assert "kernel" in done.stdout
    assert [p for p in readable.rglob("*") if p.stat().st_uid != NOBODY] == []


def test_root_in_a_users_clone_gives_back_what_it_writes(readable: Path) -> None:
    os.chown(readable, NOBODY, NOBODY)
    lab("doctor", cwd=readable, SUDO_UID="0", SUDO_GID="0")
    assert {p.stat().st_uid for p in readable.rglob("*")} == {NOBODY}


def test_make_help_lists_the_targets() -> None:
    listed = {line.split()[0] for line in make("help", cwd=ROOT).splitlines()}
    assert listed >= {"venv", "proto", "bpf", "lint", "unit", "test", "demo", "bench", "interop"}


def test_the_second_time_is_quick_and_makes_nothing() -> None:
    make("setup", cwd=ROOT)
    took = []
    for _ in range(3):  # something else may be busy
        start = time.monotonic()
        assert "Nothing to be done" in make("setup", cwd=ROOT)
        took.append(time.monotonic() - start)
    assert min(took) < 2.0, took


@pytest.mark.parametrize(
    ("source", "made", "command"),
    [
        ("bpf/abi.h", "enforcer.bpf.o", "clang"),
        ("proto/fqdnlab/pb/flow.proto", "flow_pb2.py", "grpc_tools"),
        ("pyproject.toml", ".venv", "pip install"),
    ],
)
def test_each_made_thing_is_made_again_when_its_source_changes(
    source: str, made: str, command: str
) -> None:
    plan = make("--dry-run", f"--what-if={source}", "setup", cwd=ROOT)
    assert made in plan
    assert command in plan


def test_the_second_time_nothing_is_missing_and_nothing_is_made() -> None:
    done = lab("setup")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "Nothing to be done" in done.stdout
