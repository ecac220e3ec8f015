"""Programs that the benchmark starts: each with an end, and with the CPU time that it took."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.figures import BenchError

__all__ = ["Program", "bind", "cpu_seconds", "inside", "on_last_core", "run"]

_END = 10.0
_TICK = os.sysconf("SC_CLK_TCK")


def inside(netns: str, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` in a network namespace (by exec: the pid is the same)."""
    return ["ip", "netns", "exec", netns, *argv]


def on_last_core(argv: Sequence[str]) -> list[str]:
    """The command line that binds `argv` to the last core.

    Full load and its upstream go there, for every path alike; what is measured may run anywhere.
    Unbound, they are woken on the core of the proxy that sends to them, and preempt it at every
    packet.
    """
    return ["taskset", "--cpu-list", str(max(os.sched_getaffinity(0))), *argv]


def bind(pid: int, last_core: bool) -> None:
    """Bind all threads of a process to the last core, or to none."""
    cores = os.sched_getaffinity(0)
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), {max(cores)} if last_core else cores)


def run(argv: Sequence[str], timeout: float = 30.0, stdin: str | None = None) -> str:
    """Run a program to its end; return what it printed.

    Raises
    ------
    BenchError
        If it fails or does not end in time.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, input=stdin)
    except FileNotFoundError as error:
        raise BenchError(f"{argv[0]} is missing") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{' '.join(argv)[:200]}: not ended after {timeout:g} s") from error
    if done.returncode:
        told = f"{done.stdout[-500:]}{done.stderr[-1000:]}"
        raise BenchError(f"{' '.join(argv)[:200]}: exit {done.returncode}: {told}")
    return done.stdout


class Program:
    """A program that runs until `stop`; it dies with the benchmark.

    Parameters
    ----------
    argv : sequence of str
    log : Path
        Where its output goes.
    netns : str
        Network namespace; empty: ours.
    """

    def __init__(self, argv: Sequence[str], log: Path, netns: str = "") -> None:
        self.name = Path(argv[0]).name
        self.log = log
        command = ["setpriv", "--pdeathsig", "KILL", *argv]
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                inside(netns, command) if netns else command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid

    def check(self) -> None:
        """Raise BenchError if it has ended."""
        if self._process.poll() is not None:
            text = self.log.read_text(errors="replace")[-1500:]
            raise BenchError(f"{self.name} ended with {self._process.returncode}: {text}")

    def said(self, text: str) -> bool:
        """Whether its output has `text` in it; BenchError if it has ended."""
        self.check()
        return text in self.log.read_text(errors="replace")

    def stop(self) -> None:
        """End it; idempotent."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_END)


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time, user and system, that these processes have taken, all their threads together."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICK
