"""dnsperf, the load: as many questions as go, or one at a time."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.figures import BenchError
from bench.programs import inside, on_last_core, run

__all__ = ["Load", "answers", "full_load", "one_at_a_time"]

#: Clients (each a socket) and questions under way, at full load.
CLIENTS, UNDER_WAY = 8, 100
_ASK = Path(__file__).with_name("ask_one.py")


@dataclass(frozen=True)
class Load:
    """What dnsperf says."""

    completed: int
    lost: int
    seconds: float
    qps: float


def answers(netns: str, server: str, name: str, port: int = 53) -> list[str]:
    """What dig gets for a name; an empty list if nothing."""
    argv = ["dig", "+time=1", "+tries=1", "+short", "-p", str(port), f"@{server}", name]
    try:
        return run(inside(netns, argv)).split()
    except BenchError:
        return []


def _dnsperf(netns: str, server: str, port: int, names: Path, *options: str) -> str:
    argv = ["dnsperf", "-s", server, "-p", str(port), "-d", str(names), "-T", "1", *options]
    return run(inside(netns, on_last_core(argv)), timeout=120)


def _number(text: str, what: str) -> float:
    found = re.search(rf"{re.escape(what)}:\s+([0-9.]+)", text)
    if found is None:
        raise BenchError(f"dnsperf told no {what!r}: {text[-500:]}")
    return float(found[1])


def full_load(netns: str, server: str, port: int, names: Path, seconds: float) -> Load:
    """Questions as fast as they are answered.

    Raises
    ------
    BenchError
        If one in a hundred is lost, or refused: that would be another workload.
    """
    options = ("-l", f"{seconds:g}", "-c", str(CLIENTS), "-q", str(UNDER_WAY), "-t", "2")
    text = _dnsperf(netns, server, port, names, *options)
    load = Load(
        int(_number(text, "Queries completed")),
        int(_number(text, "Queries lost")),
        _number(text, "Run time (s)"),
        _number(text, "Queries per second"),
    )
    codes = re.search(r"Response codes:\s+(.*)", text)
    noerror = re.search(r"NOERROR (\d+)", codes[1]) if codes else None
    good = int(noerror[1]) if noerror else 0
    if load.lost * 100 > load.completed or good * 100 < load.completed * 99:
        raise BenchError(f"{server}:{port}: {text[-700:]}")
    return load


def one_at_a_time(netns: str, server: str, port: int, names: Path, seconds: float) -> float:
    """Median latency, µs, with one question under way; `names` has a name a line."""
    argv = [sys.executable, "-I", str(_ASK), server, str(port), str(names), f"{seconds:g}"]
    return float(run(inside(netns, argv), timeout=60)) / 1000
