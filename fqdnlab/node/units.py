"""Processes as scope units of systemd, where the machine's place says so.

``systemd-run --scope`` asks systemd for a unit with itself in it and execs: the pid stays, our
child stays our child, descriptors are inherited; systemd neither starts it again nor kills it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from fqdnlab.patience import patiently

__all__ = ["UNITS_REMEDY", "complaint", "in_scope", "unit_name", "wait_free"]

#: Where there is no systemd.
UNITS_REMEDY = 'where systemd is not process 1, say "units": false in place.json'
_RUN = "systemd-run"
_SLICE = Path("/sys/fs/cgroup/system.slice")
_FREE_SECONDS = 2.0
#: What systemd-run says where it does not come to exec.
_COMPLAINTS = ("Failed to ", "System has not been booted with systemd", "Job for ", "Unit ")


def unit_name(lab: str, process: str, generation: int) -> str:
    """Name of the scope of a process of `lab`, without ``.scope``."""
    return f"fqdnlab-{lab}-{process}-g{generation}"


def in_scope(unit: str, command: Sequence[str]) -> list[str]:
    """The command line that starts `command` in a scope called `unit`."""
    return [
        _RUN,
        "--scope",
        "--quiet",
        "--collect",
        "--no-ask-password",
        f"--unit={unit}",
        f"--description=fqdnlab: {unit.removeprefix('fqdnlab-')}",
        "--property=KillMode=process",
        "--",
        *command,
    ]


def wait_free(unit: str) -> None:
    """Let systemd see that the last scope of that name, of a lab that has just ended, is empty."""
    deadline = time.monotonic() + patiently(_FREE_SECONDS)
    while (_SLICE / f"{unit}.scope").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def complaint(lines: Sequence[str]) -> str:
    """What systemd-run says at the very end of a log; empty if that is another's word."""
    told = list(takewhile(lambda line: line.startswith(_COMPLAINTS), reversed(lines)))
    return "; ".join(reversed(told))
