"""Records to test the panels' words and pictures with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fqdnlab.model.flows import COLUMNS
from fqdnlab.notebook.seen import Numbers, Proc, Seen

T0 = 1_700_000_000.0


def running(name: str, **more: Any) -> Proc:
    return Proc(name, "running", 100, 1, T0 - 60, **more)


def seen(**more: Any) -> Seen:
    """A lab that is well: two endpoints, one under a policy, three addresses."""
    processes = {n: running(n) for n in ("node", "agent", "proxy", "observer", "world")}
    processes |= more.pop("processes", {})
    base: dict[str, Any] = {
        "time": T0,
        "processes": processes,
        "numbers": Numbers(3, 0, 4, 2, 1, 1, "tcx"),
        "endpoints": 2,
        "selected": 1,
        "policies": 1,
    }
    return Seen("intro", **(base | more))


def row(**more: Any) -> dict[str, Any]:
    """A row as `fqdnlab.model.flows` makes it; a packet that passed, if nothing else is said."""
    made: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    made.update(
        time=datetime.fromtimestamp(more.pop("at", T0), UTC),
        kind="packet",
        endpoint="web",
        name="api.example.com",
        address="198.51.100.7",
        port=443,
        protocol="TCP",
        verdict="FORWARDED",
        result="ALLOWED",
        ips=[],
        ttl=None,
        early=False,
        is_reply=False,
        uuid="u1",
    )
    return made | more
