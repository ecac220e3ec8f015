"""When collection passes are: promises to the proxy are made by it (leases)."""

from __future__ import annotations

import time

__all__ = ["Schedule", "boottime", "wall_from_boottime"]


def boottime() -> int:
    """CLOCK_BOOTTIME, ns: the clock of the kernel's maps and of the proxy."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def wall_from_boottime(ns: int) -> float:
    """Unix seconds of a CLOCK_BOOTTIME instant, by the two clocks as they are now."""
    return time.time() + (ns - boottime()) / 1e9


class Schedule:
    """Passes every interval, from one interval after the start of counting.

    Parameters
    ----------
    interval : float
        Lab seconds.
    time_scale : float
        Lab seconds per second.
    hold : float
        Seconds by which expiries are later than a TTL from the answer (it may be released that
        late): passes come that much sooner, so that TTL + interval is the longest all the same.

    Notes
    -----
    Until `begin` there are no passes: first the mappings that the proxy kept must be taken in.
    """

    def __init__(self, interval: float, time_scale: float, hold: float = 0.0) -> None:
        self._interval, self._hold = interval, hold
        self._scale = time_scale
        self.interval_ns = self._at(time_scale)
        self._start = boottime()
        self._begun = False
        self._done = self._start

    def _at(self, time_scale: float) -> int:
        wall = self._interval / time_scale
        return max(1, int(max(wall - self._hold, wall / 2) * 1e9))

    def set_time_scale(self, time_scale: float, now: int) -> None:
        """Another speed from `now` on: what is left till the next pass is so much lab time."""
        left = (self.next_pass() - now) * self._scale / time_scale
        self._scale = time_scale
        self.interval_ns = self._at(time_scale)
        self._done = now + min(int(left), self.interval_ns) - self.interval_ns

    def begin(self) -> None:
        """Count from now, unless it is counting."""
        if not self._begun:
            self._begun = True
            self._start = self._done = boottime()

    @property
    def begun(self) -> bool:
        """Whether passes are due at all."""
        return self._begun

    @property
    def age_ns(self) -> int:
        """Since when passes count, or since the start."""
        return boottime() - self._start

    def next_pass(self) -> int:
        """When the next pass is due (CLOCK_BOOTTIME, ns)."""
        return self._done + self.interval_ns

    def passed(self) -> None:
        """A pass is done: the next is due an interval after it was due; none are made up for."""
        late = max(0, boottime() - self.next_pass())
        self._done += self.interval_ns * (1 + late // self.interval_ns)

    def pass_after(self, instant: int) -> int:
        """The first pass at or after `instant`: what expires then lives till that pass."""
        if not self._begun:
            return instant
        steps = max(1, -(-(instant - self._done) // self.interval_ns))
        return self._done + steps * self.interval_ns
