"""Reading everything but flows, again and again: what does not answer is as it was before."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from fqdnlab.errors import FqdnlabError
from fqdnlab.notebook.bins import Bins
from fqdnlab.notebook.life import Lives
from fqdnlab.notebook.machine_card import away
from fqdnlab.notebook.reading import StateReader, processes_from, settings_of
from fqdnlab.notebook.seen import Change, Seen
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
    lab, node : str
    lives : Lives
        Told of mappings.
    lock : RLock
        Held while `lives` and the bins are touched.
    """

    def __init__(self, lab: str, node: str, lives: Lives, lock: threading.RLock) -> None:
        self._reader = StateReader(lab, node)
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
        reader = self._reader
        done = reader.machine_faults()
        before = replace(before, machine_faults=done, has_machine=reader.has_machine)
        try:
            status = reader.status()
            faults = reader.faults()
        except FqdnlabError as error:
            down = "vm" not in away(before) and reader.is_down()
            return replace(before, time=now, trouble=error.message, down=down)
        if "vm" in away(before):
            reader.machine_answers()
        begun, hold = settings_of(status)
        seen = replace(
            before,
            time=now,
            trouble="",
            down=False,
            processes=processes_from(status, dict(before.processes)),
            endpoints=len(status.endpoint),
            faults=faults,
            time_scale=before.numbers.time_scale or begun,
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
        if numbers is not None:
            seen = replace(_speed_noted(seen, numbers.time_scale), numbers=numbers)
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


def _speed_noted(seen: Seen, scale: float) -> Seen:
    """Lab time goes at `scale`; a change is one that the timeline shows."""
    if scale == seen.time_scale:
        return seen
    change = Change(seen.time, "", f"lab time {scale:g}×")
    known = bool(seen.numbers.time_scale)  # the first reading is no change
    changed = (*seen.changes, change)[-_KEPT_CHANGES:] if known else seen.changes
    return replace(seen, time_scale=scale, changes=changed)
