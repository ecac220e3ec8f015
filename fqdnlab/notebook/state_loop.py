"""Reading everything but flows, again and again: what does not answer is as it was before."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from fqdnlab.errors import FqdnlabError
from fqdnlab.notebook.bins import Bins
from fqdnlab.notebook.life import Lives
from fqdnlab.notebook.reading import StateReader, processes_from, settings_of
from fqdnlab.notebook.seen import Seen
from fqdnlab.notebook.world_changes import changes

__all__ = ["StateLoop"]

_MAPPING_SECONDS = 1.0
_WORLD_SECONDS = 0.5
_POLICY_SECONDS = 1.0
_KEPT_CHANGES = 200


class StateLoop:
    """One reading after another; slow things less often.

    Parameters
    ----------
    lab : str
    lives : Lives
        Told of mappings.
    lock : RLock
        Held while `lives` and the bins are touched.
    """

    def __init__(self, lab: str, lives: Lives, lock: threading.RLock) -> None:
        self._reader = StateReader(lab)
        self._lives = lives
        self._lock = lock
        self._due: dict[str, float] = {}
        self._addresses = -1  # as many as were listed last

    def close(self) -> None:
        """Let go of the services."""
        self._reader.close()

    def _is_due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True

    def read(self, before: Seen, bins: Bins) -> Seen:
        """The lab now; what does not answer is as it was `before`."""
        now = time.time()
        try:
            status = self._reader.status()
            faults = self._reader.faults()
        except FqdnlabError as error:
            down = self._reader.is_down()
            return replace(before, time=now, trouble=error.message, down=down)
        time_scale, hold = settings_of(status)
        seen = replace(
            before,
            time=now,
            trouble="",
            down=False,
            processes=processes_from(status, dict(before.processes)),
            endpoints=len(status.endpoint),
            faults=faults,
            time_scale=time_scale,
            hold=hold,
        )
        seen = self._of_agent(seen)
        seen = self._of_world(seen)
        with self._lock:
            rates, flows, lost = bins.rates(now), bins.seen, bins.lost
            waiting = self._lives.waiting
        return replace(seen, rates=rates, flows=flows, lost=lost, waiting=waiting)

    def _of_agent(self, seen: Seen) -> Seen:
        if seen.process("agent").state != "running":
            with self._lock:
                self._lives.take_mappings(None, seen.time)
            return seen
        numbers = self._reader.numbers()
        seen = replace(seen, numbers=numbers or seen.numbers)
        if self._is_due("policies", _POLICY_SECONDS):
            counts = self._reader.policies()
            if counts is not None:
                every, unenforced, selected = counts
                seen = replace(seen, policies=every, unenforced=unenforced, selected=selected)
        moved = numbers is not None and numbers.addresses != self._addresses
        if moved or self._is_due("mappings", _MAPPING_SECONDS):
            held = self._reader.mappings()
            self._addresses = -1 if held is None else len(held)
            with self._lock:
                self._lives.take_mappings(held, time.time())
        return seen

    def _of_world(self, seen: Seen) -> Seen:
        if seen.process("world").state != "running" or not self._is_due("world", _WORLD_SECONDS):
            return seen
        names = self._reader.world()
        if names is None:
            return seen
        fresh = changes(seen.world, names, time.time())
        return replace(seen, world=names, changes=(*seen.changes, *fresh)[-_KEPT_CHANGES:])
