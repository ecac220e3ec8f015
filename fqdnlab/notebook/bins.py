"""Counts per second, for the bars of the timeline and for rates.  Pure: time is an argument."""

from __future__ import annotations

from typing import Any

from fqdnlab.notebook.seen import Rates

__all__ = ["Bins"]

_KEPT_SECONDS = 900
_RATE_SECONDS = 3


class Bins:
    """Counts what was allowed, dropped and asked in each second."""

    def __init__(self) -> None:
        self._bins: dict[int, dict[str, int]] = {}
        self.seen = 0
        self.lost = 0

    def add(self, kind: str, at: float) -> None:
        """Count one at `at` (Unix seconds)."""
        second = self._bins.setdefault(int(at), {"allowed": 0, "dropped": 0, "asked": 0})
        second[kind] += 1
        while len(self._bins) > _KEPT_SECONDS:
            del self._bins[min(self._bins)]

    def count(self, rows: int, lost: int) -> None:
        """Count rows read; `lost` is how many are known to be missing in all."""
        self.seen += rows
        self.lost = lost

    def rates(self, now: float) -> Rates:
        """Per second, over the last whole seconds."""
        whole = int(now)
        some = [self._bins.get(s, {}) for s in range(whole - _RATE_SECONDS, whole)]
        return Rates(
            *(sum(b.get(k, 0) for b in some) / len(some) for k in ("allowed", "dropped", "asked"))
        )

    def picture(self, since: float, now: float) -> dict[str, Any]:
        """``first`` (Unix second of the first bar), ``allowed`` and ``dropped``, a count a bar."""
        first, last = int(since), int(now)
        bins = [self._bins.get(s, {}) for s in range(first, last + 1)]
        return {
            "first": first,
            "allowed": [b.get("allowed", 0) for b in bins],
            "dropped": [b.get("dropped", 0) for b in bins],
        }
