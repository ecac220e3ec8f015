"""The clock that proxy, agent and kernel share."""

from __future__ import annotations

from time import CLOCK_BOOTTIME, clock_gettime_ns

__all__ = ["boottime"]


def boottime() -> int:
    """CLOCK_BOOTTIME, ns."""
    return clock_gettime_ns(CLOCK_BOOTTIME)
