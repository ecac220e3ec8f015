"""Help for tests: waiting without sleeping, and seeing that nothing is left behind.

Ours use it (tests/conftest.py), and so may yours::

    from fqdnlab.testing import eventually, host_state

    before = host_state()
    eventually(lambda: lab.flows(verdict="DROPPED"), what="a dropped flow")
    assert host_state() == before
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from fqdnlab.paths import RUN
from fqdnlab.patience import patiently

__all__ = ["Footprint", "eventually", "host_state", "host_state_difference"]

T = TypeVar("T")

_TOOL_SECONDS = 20.0


def eventually(
    predicate: Callable[[], T], timeout: float = 10.0, what: str = "", interval: float = 0.02
) -> T:
    """Call `predicate` until it returns something true; return that.

    Parameters
    ----------
    predicate : callable
        Takes nothing.  It may return anything (what it last returned is told at the deadline) or
        fail with AssertionError, LookupError or OSError, which counts as "not yet".
    timeout : float
        Seconds of wall time on a machine of our own (`fqdnlab.patience`).  The predicate is called
        at least once, and once more at the end.
    what : str
        What is waited for, for the message.
    interval : float
        Seconds between calls at first; it grows to at most 0.25.

    Raises
    ------
    AssertionError
        At the deadline; it says what was waited for, how long, and what was seen last.
    """
    timeout = patiently(timeout)
    deadline = time.monotonic() + timeout
    while True:
        last_call = time.monotonic() >= deadline
        cause: Exception | None = None
        try:
            seen = predicate()
            if seen:
                return seen
            told = repr(seen)
        except (AssertionError, LookupError, OSError) as error:
            cause, told = error, f"{type(error).__name__}: {error}"
        if last_call:
            name = what or getattr(predicate, "__name__", "the predicate")
            raise AssertionError(
                f"waited {timeout:g} s for {name}; last saw {told[:2000]}"
            ) from cause
        time.sleep(max(0.0, min(interval, deadline - time.monotonic())))
        interval = min(interval * 1.5, 0.25)


# --- The host's network -------------------------------------------------------------------------

#: What moves by itself: counters, neighbours seen, a key drawn at first use.
_RESTLESS_SYSCTL = re.compile(
    r"/(nf_conntrack_count|netdev_rss_key|stable_secret|file-nr|.*_count|mc_forwarding)$"
)
_RESTLESS_KEYS = frozenset(
    {"expires", "valid_life_time", "preferred_life_time", "cache", "stats64"}
)


def host_state() -> dict[str, list[str]]:
    """Links, addresses, rules, routes, sysctls and nft rules of this network namespace.

    Two equal states mean that nothing we promise not to touch was touched.  Call it in the
    machine's own network namespace.

    Returns
    -------
    dict of str to sorted list of str
        ``links``, ``addresses``, ``rules4``, ``rules6``, ``routes4``, ``routes6``, ``qdiscs``,
        ``nft``, ``sysctls``; a tool that is not installed gives ``["(no nft here)"]``.
    """
    return {
        "links": _ip("link", "show"),
        "addresses": _ip("address", "show"),
        "rules4": _ip("-4", "rule", "show"),
        "rules6": _ip("-6", "rule", "show"),
        "routes4": _ip("-4", "route", "show", "table", "all"),
        "routes6": _ip("-6", "route", "show", "table", "all"),
        "qdiscs": _run("tc", "qdisc", "show").splitlines(),
        "nft": _run("nft", "-s", "list", "ruleset").splitlines(),
        "sysctls": sorted(_sysctls(Path("/proc/sys/net"))),
    }


def host_state_difference(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Lines that say what is gone (``-``) and what is new (``+``); none if the two are equal."""
    lines: list[str] = []
    for part, old in before.items():
        new = after[part]
        lines += [f"- {part}: {line}" for line in old if line not in new]
        lines += [f"+ {part}: {line}" for line in new if line not in old]
    return lines


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_SECONDS)
    except FileNotFoundError:
        return f"(no {command[0]} here)"
    return done.stdout if done.returncode == 0 else f"({' '.join(command)}: {done.stderr.strip()})"


def _ip(*args: str) -> list[str]:
    text = _run("ip", "-j", "-d", *args)
    if not text.startswith("["):
        return [text] if text else []
    return sorted(json.dumps(_at_rest(entry), sort_keys=True) for entry in json.loads(text))


def _at_rest(value: object) -> object:
    if isinstance(value, dict):
        return {k: _at_rest(v) for k, v in value.items() if k not in _RESTLESS_KEYS}
    if isinstance(value, list):
        return [_at_rest(v) for v in value]
    return value


def _sysctls(top: Path) -> Iterator[str]:
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            if _RESTLESS_SYSCTL.search(str(path)):
                continue
            try:
                yield f"{path.relative_to(top.parent)} = {path.read_text().strip()}"
            except (OSError, UnicodeDecodeError):
                continue  # write-only (route/flush), or not for this user


# --- What a run leaves behind -------------------------------------------------------------------

#: Descriptors that count as ours if they stay open.  Not sockets and epoll: gRPC keeps some of
#: its own for as long as the process lives.
_FD_KINDS = re.compile(
    r"anon_inode:(?:bpf[-_][a-z]+|\[pidfd\])|mnt:|net:\[|/run/fqdnlab/|/run/netns/|/sys/fs/bpf"
)


@dataclass(frozen=True)
class Footprint:
    """What labs have on this machine at one moment; compare two to see a leak.

    Attributes
    ----------
    namespaces : frozenset of str
        Names in /run/netns that begin with ``fqdnlab-``.
    mounts : frozenset of str
        Mount points under /run/fqdnlab and of any bpffs.
    files : frozenset of str
        Paths in /run/fqdnlab, two levels deep.
    programs : frozenset of str
        Loaded BPF programs for tc (``id name``), where bpftool is there to ask.
    descriptors : frozenset of str
        This process's open BPF objects, pidfds, namespaces and files of labs.
    processes : frozenset of str
        Our descendants and every process of a lab (``pid start-time command``).
    """

    namespaces: frozenset[str]
    mounts: frozenset[str]
    files: frozenset[str]
    programs: frozenset[str]
    descriptors: frozenset[str]
    processes: frozenset[str]

    @classmethod
    def now(cls) -> Footprint:
        """Take the footprint at this moment."""
        return cls(
            namespaces=frozenset(p.name for p in _listed(Path("/run/netns"), "fqdnlab-*")),
            mounts=frozenset(_mounts()),
            files=frozenset(str(p) for pattern in ("*", ".lab/*") for p in _listed(RUN, pattern)),
            programs=frozenset(_programs()),
            descriptors=frozenset(_descriptors()),
            processes=frozenset(_processes()),
        )

    def left_since(self, before: Footprint) -> list[str]:
        """What is here and was not in `before`, a line each: ``kind: thing``."""
        lines: list[str] = []
        for field in fields(self):
            new = getattr(self, field.name) - getattr(before, field.name)
            lines += [f"{field.name}: {thing}" for thing in sorted(new)]
        return lines


def _listed(folder: Path, pattern: str) -> list[Path]:
    return [p for p in folder.glob(pattern) if p.name != ".lab"] if folder.is_dir() else []


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point, kind = left.split()[4], right.split()[0]
        if kind == "bpf" or point.startswith((f"{RUN}/", "/run/netns/fqdnlab-")):
            yield f"{point} ({kind})"


def _programs() -> Iterator[str]:
    if os.geteuid() != 0:
        return
    text = _run("bpftool", "-j", "prog", "show")
    if not text.startswith("["):
        return
    for program in json.loads(text):
        if program.get("type") == "sched_cls":
            yield f"{program['id']} {program.get('name', '')}"


def _descriptors() -> Iterator[str]:
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if _FD_KINDS.search(target):
            yield f"{fd} {target}"


def _processes() -> Iterator[str]:
    """Descendants of this process, and whatever runs ``-m fqdnlab…`` or ``fqdnlab serve``."""
    table: dict[int, tuple[int, str, str]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text()
            argv = Path("/proc", entry, "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        rest = stat.rpartition(")")[2].split()
        if rest[0] == "Z" and int(rest[1]) != os.getpid():
            continue  # dead, and another's to reap
        table[int(entry)] = (int(rest[1]), rest[19], argv.replace("\0", " ").strip())
    for pid, (_, start, command) in table.items():
        if pid != os.getpid() and (_of_a_lab(command) or _descends(pid, table)):
            yield f"{pid} {start} {command[:200] or '(a zombie)'}"


_LAB_COMMAND = re.compile(
    r"-m fqdnlab\.(node|agent|dns|observer|world)\b|\bfqdnlab(\.cli)? serve\b"
)


def _of_a_lab(command: str) -> bool:
    return _LAB_COMMAND.search(command) is not None


def _descends(pid: int, table: dict[int, tuple[int, str, str]]) -> bool:
    seen = 0
    while pid in table and seen < 64:
        pid, seen = table[pid][0], seen + 1
        if pid == os.getpid():
            return True
    return False
