"""Processes known by pid and start time and held by pidfd: the one user of subprocess in the node.

A pid alone may be another process by now; a pid with its start time may not, and a pidfd that was
opened before the start time was read stays with it.  So a new node service finds the processes that
a dead one started, and nothing is ever signalled by mistake.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from fqdnlab.errors import SetupError
from fqdnlab.node.plan import Plan
from fqdnlab.node.units import UNITS_REMEDY, in_scope, wait_free

__all__ = [
    "Identity",
    "Piped",
    "Process",
    "clean_environment",
    "end_together",
    "helper",
    "launch",
    "launch_piped",
    "processes_in",
    "start_time",
    "wait_ready",
]


class Identity(NamedTuple):
    """A process for good: its number, and when it started (clock ticks since boot)."""

    pid: int
    start: int


def start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None if there is no such process or it is dead."""
    found = _stat(pid)
    return None if found is None or found[0] in "ZX" else int(found[19])


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path("/proc", str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


class Process:
    """A process that lives, or lived; make one with `adopt`, `launch` or `launch_piped`."""

    def __init__(self, identity: Identity, pidfd: int, child: subprocess.Popen[bytes] | None):
        self.identity = identity
        self._pidfd = pidfd
        self._child = child

    @classmethod
    def adopt(cls, identity: Identity) -> Process | None:
        """The process of that identity; None if it is dead."""
        if identity.pid <= 0:
            return None
        try:
            pidfd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return None
        if start_time(identity.pid) != identity.start:
            os.close(pidfd)
            return None
        return cls(identity, pidfd, None)

    @classmethod
    def _of_child(cls, child: subprocess.Popen[bytes]) -> Process:
        # Not reaped before we do it, so its number is its own; dead already: start time unknown.
        pidfd = os.pidfd_open(child.pid)
        return cls(Identity(child.pid, start_time(child.pid) or 0), pidfd, child)

    @property
    def pid(self) -> int:
        return self.identity.pid

    @property
    def alive(self) -> bool:
        return not self.wait(0)

    @property
    def stopped(self) -> bool:
        """Whether it is held by SIGSTOP."""
        found = _stat(self.pid)
        return found is not None and int(found[19]) == self.identity.start and found[0] in "Tt"

    def fileno(self) -> int:
        """The pidfd: readable when the process is dead."""
        return self._pidfd

    def send(self, number: int) -> bool:
        """Send a signal; False if the process is dead."""
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, timeout: float | None) -> bool:
        """Wait at most `timeout` s (None: for ever) for its death; whether it is dead."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        dead = bool(poll.poll(None if timeout is None else timeout * 1000))
        if dead and self._child is not None:
            self._child.wait()
        return dead

    def end(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after `grace` s (0: at once); returns when it is dead."""
        if self.stopped or grace <= 0:
            self.send(signal.SIGKILL)
        self.send(signal.SIGTERM)
        if not self.wait(grace):
            self.send(signal.SIGKILL)
            self.wait(None)

    @property
    def status(self) -> int | None:
        """Exit status, or minus the signal; None if unknown or not dead."""
        return None if self._child is None else self._child.returncode

    @property
    def last_words(self) -> str:
        """How it ended: ``killed by SIGKILL``, ``exit 3``, ``dead``."""
        status = self.status
        if status is None:
            return "dead"
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"exit {status}"

    def __del__(self) -> None:
        # Closed when nobody can wait for it any more: a watcher may outlive who asked for the end.
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def end_together(processes: Sequence[Process], grace: float) -> None:
    """SIGTERM to all, in order, and SIGKILL to those that live after `grace` s; all are dead then.

    One that is stopped gets SIGKILL at once.
    """
    deadline = time.monotonic() + grace
    for process in processes:
        process.send(signal.SIGKILL if process.stopped else signal.SIGTERM)
    for process in processes:
        if not process.wait(max(0.0, deadline - time.monotonic())):
            process.send(signal.SIGKILL)
            process.wait(None)


class Piped(NamedTuple):
    """A process with the ends of its pipes."""

    process: Process
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]


def clean_environment() -> dict[str, str]:
    """Our own environment without proxies and what a notebook's or test's run leaves there."""
    return {
        k: v
        for k, v in os.environ.items()
        if not k.lower().endswith("_proxy") and not k.startswith(("PYTEST_", "GRPC_", "NOTIFY_"))
    }


def helper(plan: Plan) -> list[str]:
    """The command line that carries out `plan`; -P: nothing is imported from the directory."""
    return [sys.executable, "-P", "-m", "fqdnlab.node.spawn", plan.to_json()]


def launch(
    command: Sequence[str],
    log: Path,
    pass_fds: Sequence[int],
    env: Mapping[str, str] | None = None,
    unit: str = "",
) -> Process:
    """Start `command` in a session of its own, without input, its output added to `log`.

    Parameters
    ----------
    unit : str
        Name of the scope unit of systemd in which it runs; empty: none.

    Raises
    ------
    SetupError
        If there is no systemd-run for the unit.
    """
    if unit:
        wait_free(unit)
        command = in_scope(unit, command)
    with open(log, "ab") as output:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=dict(clean_environment() if env is None else env),
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            if not unit:
                raise
            raise SetupError(f"no {command[0]} here, and units: true", UNITS_REMEDY) from error
    return Process._of_child(child)


def launch_piped(plan: Plan) -> Piped:
    """Start what `plan` says with three pipes."""
    child = subprocess.Popen(
        helper(plan),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env=clean_environment(),
        start_new_session=True,  # the group is there to be killed from the first moment
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    return Piped(Process._of_child(child), child.stdin, child.stdout, child.stderr)


def wait_ready(process: Process, fd: int, timeout: float) -> str:
    """Wait for the process's line on `fd`.

    Returns
    -------
    str
        What it said (``ready``); empty if it ended, closed `fd` or was silent for `timeout` s.
    """
    deadline = time.monotonic() + timeout
    said = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(process.fileno(), select.POLLIN)
    while b"\n" not in said:
        events = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
        if fd in events:
            got = os.read(fd, 65536)
            if not got:
                break
            said += got
        elif not events or process.fileno() in events:
            break
    line, newline, _ = said.partition(b"\n")
    return line.decode(errors="replace") if newline else ""


def processes_in(namespaces: set[tuple[int, int]]) -> list[Process]:
    """Processes whose network namespace is one of those (device, inode); never this one."""
    found: list[Process] = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            start = start_time(int(entry))
            at = os.stat(f"/proc/{entry}/ns/net")
            if start is None or (at.st_dev, at.st_ino) not in namespaces:
                continue
            process = Process.adopt(Identity(int(entry), start))
            if process is not None:
                found.append(process)
    return found
