"""Fault bands for the live timeline, from the faults that were delivered.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fqdnlab.notebook.seen import Fault
from fqdnlab.plots.intervals import outages

__all__ = ["bands"]


def bands(faults: Iterable[Fault], since: float, now: float) -> list[dict[str, Any]]:
    """``start``, ``stop`` (Unix seconds), ``text``, ``what`` of each outage after `since`."""
    rows = [
        {"time": f.time, "process": f.process, "action": f.action}
        for f in faults
        if not f.note.startswith("failed")
    ]
    return [
        {
            "start": max(since, one.start),
            "stop": one.stop,
            "what": one.what,
            "text": one.text,
        }
        for one in outages(rows, now)
        if one.stop >= since
    ]
