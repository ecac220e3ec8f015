"""Lab time: it runs at a speed of its own, which may be changed, and never jumps.  Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["FASTEST", "SLOWEST", "LabClock", "check_time_scale"]

#: Bounds of the speed: a day's TTL passes in 8.6 s at the fastest.
SLOWEST, FASTEST = 0.01, 10_000.0


def check_time_scale(value: object) -> float:
    """The speed that `value` is.

    Raises
    ------
    ValueError
        If it is none, or out of bounds.
    """
    number = not isinstance(value, bool) and isinstance(value, (int, float))
    if not number or not SLOWEST <= value <= FASTEST:  # type: ignore[operator]  # NaN is not
        raise ValueError(
            f"time_scale must be a number, {SLOWEST:g} to {FASTEST:,.0f} lab seconds a second, "
            f"not {value!r}"
        )
    return float(value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LabClock:
    """Lab time as a function of CLOCK_BOOTTIME.

    Attributes
    ----------
    scale : float
        Lab seconds a second.
    lab_ns, boot_ns : int
        Lab time and CLOCK_BOOTTIME when that speed began.
    """

    scale: float
    lab_ns: int = 0
    boot_ns: int = 0

    def lab(self, boot_ns: int) -> int:
        """Lab time at that instant, ns."""
        return self.lab_ns + int((boot_ns - self.boot_ns) * self.scale)

    def changed(self, scale: float, now: int) -> LabClock:
        """The clock that goes on from `now` (CLOCK_BOOTTIME, ns) at another speed."""
        return LabClock(scale, self.lab(now), now)

    def moved(self, instant: int, scale: float, since: int) -> int:
        """The instant of CLOCK_BOOTTIME that is as far from `since` in lab time at that speed."""
        return since + math.ceil((instant - since) * self.scale / scale)

    def to_row(self) -> list[Any]:
        """As JSON has it."""
        return [self.scale, self.lab_ns, self.boot_ns]

    @classmethod
    def from_row(cls, row: Any) -> LabClock:
        """What `to_row` wrote; ValueError or TypeError if it did not."""
        scale, lab_ns, boot_ns = row
        return cls(check_time_scale(scale), int(lab_ns), int(boot_ns))
