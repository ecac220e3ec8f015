"""Faults on purpose: kill, stop, continue, start, restart, upgrade; each is logged."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from fqdnlab.errors import LateError, UnavailableError, UsageError
from fqdnlab.node.processes import Process
from fqdnlab.node.supervisor import READY_SECONDS, Slot, Supervisor
from fqdnlab.patience import patiently

__all__ = ["ACTIONS", "Faults"]

_IN_PLACE = ("agent", "observer")
ACTIONS = ("kill", "stop", "continue", "start", "restart", "upgrade")
_GRACE = 10.0  # s between SIGTERM and SIGKILL: far more than any needs, on any machine
_STOP_SECONDS = 5.0
_DRAIN_SECONDS = 15.0  # more than the proxy's upstream time-out


class Faults:
    """Does to the processes of `supervisor` what is asked."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._do: dict[str, Callable[[Slot, float], str]] = {
            "kill": self._kill,
            "stop": self._stop,
            "continue": self._continue,
            "start": self._start,
            "restart": self._restart,
            "upgrade": self._upgrade,
        }

    def do(self, name: str, action: str, timeout: float = 0.0) -> str:
        """Carry out `action` on the process `name`; returns what happened, in words.

        Parameters
        ----------
        name : str
            agent, proxy, observer or world.
        action : str
            One of `ACTIONS`.
        timeout : float
            Seconds; 0: a default.

        Raises
        ------
        UsageError
            On an unknown name or action, or where there is nothing to do it to.
        LateError, UnavailableError, SetupError
            If it did not come about.
        """
        if action not in self._do:
            raise UsageError(f"no fault {action!r}", f"one of {', '.join(ACTIONS)}")
        slot = self._supervisor.slot(name)
        before = slot.current.pid if slot.current is not None else 0
        try:
            note = self._do[action](slot, timeout)
        except (UnavailableError, UsageError) as error:
            self._supervisor.note(name, action, before, f"failed: {error.message}")
            raise
        pid = slot.current.pid if slot.current is not None else 0
        self._supervisor.note(name, action, before if action == "kill" else pid, note)
        return note

    @staticmethod
    def _living(slot: Slot) -> Process:
        if slot.current is None or not slot.current.alive:
            raise UsageError(f"the {slot.name} is dead", f"start it: {slot.name}.start()")
        return slot.current

    def _kill(self, slot: Slot, _timeout: float) -> str:
        process = self._living(slot)
        begin = time.monotonic()
        process.send(signal.SIGKILL)
        process.wait(None)
        return f"pid {process.pid} dead after {1000 * (time.monotonic() - begin):.1f} ms"

    def _stop(self, slot: Slot, timeout: float) -> str:
        process = self._living(slot)
        process.send(signal.SIGSTOP)
        deadline = time.monotonic() + (timeout or patiently(_STOP_SECONDS))
        while not process.stopped:  # within microseconds, but for a process in the kernel
            if time.monotonic() > deadline or not process.alive:
                raise LateError(f"the {slot.name} does not stop")
            time.sleep(0.001)
        return f"pid {process.pid} stopped"

    def _continue(self, slot: Slot, _timeout: float) -> str:
        process = self._living(slot)
        process.send(signal.SIGCONT)
        return f"pid {process.pid} goes on"

    def _start(self, slot: Slot, timeout: float) -> str:
        begin = time.monotonic()
        process = self._supervisor.start(slot.name, timeout or patiently(READY_SECONDS))
        return f"pid {process.pid} ready after {time.monotonic() - begin:.2f} s"

    def _restart(self, slot: Slot, timeout: float) -> str:
        if slot.current is not None and slot.current.alive:
            slot.current.end(patiently(_GRACE))
        return self._start(slot, timeout)

    def _upgrade(self, slot: Slot, timeout: float) -> str:
        """The proxy beside its old one; agent and observer in place, as their state is on disk."""
        if slot.name in _IN_PLACE:
            old = slot.generation
            return (
                f"in place, its state kept: generation {old} ended; {self._restart(slot, timeout)}"
            )
        return self._supervisor.upgrade(slot.name, timeout or patiently(_DRAIN_SECONDS))
