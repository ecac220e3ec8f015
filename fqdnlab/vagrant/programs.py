"""Vagrant, ssh and pip as programs: the one user of subprocess for virtual machines.

Each run has a time limit, after which its whole process group is killed; nothing waits for ever.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Background", "Ended", "run"]

_KEPT_LINES = 400
_END_SECONDS = 3.0
_PROGRESS_SECONDS = 10.0


class Ended(NamedTuple):
    """How a program ended.

    Attributes
    ----------
    status : int
        Its exit status; negative: the signal that ended it.
    output : str
        The last lines of what it wrote, errors among the rest.
    late : bool
        Whether it was killed at the time limit.
    """

    status: int
    output: str
    late: bool


def run(
    command: Sequence[str],
    timeout: float,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Ended:
    """Run a program to its end, or to the time limit.

    Parameters
    ----------
    command : sequence of str
    timeout : float
        Seconds.
    env, cwd
        As subprocess has them.
    on_line : callable, optional
        Called with each line as it comes, in a thread of its own.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=None if env is None else dict(env),
        cwd=cwd,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    lines: list[str] = []
    reader = threading.Thread(target=_read, args=(child, lines, on_line), daemon=True)
    reader.start()
    late = False
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        late = True
    finally:  # Ctrl-C too: nothing is orphaned
        if child.poll() is None:
            _kill_group(child)
    reader.join(_END_SECONDS)  # a daemon that it left behind may hold the pipe
    return Ended(child.returncode, "\n".join(lines), late)


def _read(
    child: subprocess.Popen[str], lines: list[str], on_line: Callable[[str], None] | None
) -> None:
    assert child.stdout is not None
    told = time.monotonic()
    with suppress(ValueError):  # closed
        for line in child.stdout:
            if "Progress: " in line:  # drawn over and over; told now and then, and not kept
                if on_line is not None and time.monotonic() - told >= _PROGRESS_SECONDS:
                    told = time.monotonic()
                    on_line(line.strip())
                continue
            lines.append(line.rstrip("\n"))
            del lines[:-_KEPT_LINES]
            if on_line is not None:
                on_line(lines[-1])


def _kill_group(child: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_END_SECONDS)
            break
    with suppress(ProcessLookupError):  # what it leaves of its group
        os.killpg(child.pid, signal.SIGKILL)


class Background:
    """A program that goes on until `end`, or until its standard input ends, as it does with us.

    Parameters
    ----------
    command : sequence of str
    env : mapping, optional
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
            text=True,
            errors="replace",
            start_new_session=True,
        )

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; whether it came."""
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        """What it wrote to stderr, once it has ended."""
        if self.alive or self._child.stderr is None:
            return ""
        return self._child.stderr.read()[-500:].strip()

    def kill(self) -> None:
        """SIGKILL to its group; returns when it is dead."""
        if self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def end(self) -> None:
        """End it, and wait for that; idempotent."""
        if self._child.poll() is None:
            _kill_group(self._child)
        for pipe in (self._child.stdin, self._child.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
