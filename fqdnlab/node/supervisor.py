"""The lab's processes: started, watched, adopted, ended.  A dead one stays dead until asked."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from fqdnlab.datapath.libbpf import obj_get
from fqdnlab.errors import FqdnlabError, LateError, SetupError, UnavailableError, UsageError
from fqdnlab.node.commands import Lab, process_plan
from fqdnlab.node.processes import (
    Identity,
    Process,
    clean_environment,
    end_together,
    helper,
    launch,
    wait_ready,
)
from fqdnlab.node.state import FaultEntry, SlotRecord, StateFile
from fqdnlab.node.units import UNITS_REMEDY, complaint, unit_name
from fqdnlab.patience import patiently

__all__ = ["Slot", "Supervisor"]

READY_SECONDS = 20.0
_LAST_LINES = 8
_log = logging.getLogger("fqdnlab.node")


class Slot:
    """One of the lab's processes: the current one and those that drain."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.current: Process | None = None
        self.draining: list[tuple[int, Process]] = []
        self.generation = 0
        self.since = 0.0
        self.last_exit = ""
        self.starting = False
        #: Held by whoever starts, upgrades or restarts; not by who kills.
        self.changing = threading.Lock()

    @property
    def phase(self) -> str:
        """``running``, ``stopped``, ``starting`` or ``dead``."""
        current = self.current
        if current is None or not current.alive:
            return "dead"
        if current.stopped:
            return "stopped"
        return "starting" if self.starting else "running"

    def record(self) -> SlotRecord:
        """As it is kept."""
        pid, start = self.current.identity if self.current is not None else (0, 0)
        draining = [[*process.identity, generation] for generation, process in self.draining]
        return SlotRecord(pid, start, draining, self.generation, self.since, self.last_exit)


class Supervisor:
    """Starts and watches the processes of `lab`.

    Parameters
    ----------
    lab : Lab
    file : StateFile
        Kept up to date.
    on_ready : callable
        Called with the name of a process that has just said it is ready, before anybody is told.
    """

    def __init__(self, lab: Lab, file: StateFile, on_ready: Callable[[str], None]) -> None:
        self._lab = lab
        self._file = file
        self._on_ready = on_ready
        self._ending = False
        self.slots = {name: Slot(name) for name in lab.place.processes}

    # ------------------------------------------------------------ starting

    def start_all(self) -> None:
        """Start everything: the world beside the agent, then those that need the agent's pins.

        Raises
        ------
        LateError, UnavailableError, SetupError
            If one is late or ended; it says which, with its last lines.
        """
        deadline = time.monotonic() + patiently(READY_SECONDS)
        for together in (("world", "agent"), ("observer", "proxy")):
            slots = [self.slots[name] for name in together if name in self.slots]
            launched = [(slot, *self._launch(slot)) for slot in slots]
            for slot, process, fd in launched:
                self._wait(slot, process, fd, max(0.1, deadline - time.monotonic()))

    def start(self, name: str, timeout: float) -> Process:
        """Start a process that is dead; returns when it is ready, within `timeout` s.

        Raises
        ------
        UsageError
            If it lives.
        LateError, UnavailableError, SetupError
            If it does not get ready; it is dead then.
        """
        slot = self.slot(name)
        with slot.changing:
            if slot.phase != "dead":
                raise UsageError(f"the {name} is {slot.phase}", "restart it, or kill it first")
            process, fd = self._launch(slot)
            self._wait(slot, process, fd, timeout)
            return process

    def slot(self, name: str) -> Slot:
        """The process called `name`.

        Raises
        ------
        UsageError
            If a lab has none of that name here.
        """
        try:
            return self.slots[name]
        except KeyError:
            raise UsageError(f"no process {name!r}", f"one of {', '.join(self.slots)}") from None

    def _launch(self, slot: Slot) -> tuple[Process, int]:
        generation = slot.generation + 1
        socks = self._socks() if slot.name == "proxy" else -1
        read, write = os.pipe()
        try:
            env = clean_environment()
            plan = process_plan(self._lab, slot.name, env, write, generation, socks)
            keep = [fd for fd in (write, socks) if fd >= 0]
            log, unit = self._lab.paths.log(slot.name), self._unit(slot, generation)
            process = launch(helper(plan), log, keep, unit=unit)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
            if socks >= 0:
                os.close(socks)
        old = slot.current
        if old is not None and not old.alive:  # whoever watches it may not have told yet
            slot.last_exit = old.last_words
        slot.generation, slot.since, slot.starting = generation, time.time(), True
        slot.current = process
        self._save(slot)
        self._watch(slot, process)
        return process, read

    def _unit(self, slot: Slot, generation: int) -> str:
        lab = self._lab
        return unit_name(lab.name, slot.name, generation) if lab.place.units else ""

    def _socks(self) -> int:
        try:
            return obj_get(self._lab.paths.bpf / "dns_socks")
        except OSError as error:
            raise SetupError(
                "the proxy needs the map of its sockets, which the agent has not made",
                "start the agent once",
            ) from error

    def _wait(self, slot: Slot, process: Process, fd: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        try:
            said = wait_ready(process, fd, timeout)
            late = time.monotonic() >= deadline
        finally:
            os.close(fd)
        try:
            if said != "ready":
                # Its pipe closes a moment before it is dead; one that is late may end by our close.
                dead = process.wait(0.0 if late else patiently(0.5))
                raise self._not_ready(slot, process, timeout, dead)
            self._on_ready(slot.name)
        except BaseException:
            process.end(0.5)
            raise
        finally:
            slot.starting = False

    def _not_ready(self, slot: Slot, process: Process, timeout: float, dead: bool) -> FqdnlabError:
        with suppress(OSError):
            tail = self._lab.paths.log(slot.name).read_text(errors="replace").splitlines()
        lines = "\n".join(tail[-_LAST_LINES:])
        told = complaint(tail[-_LAST_LINES:]) if self._lab.place.units else ""
        if dead and told:
            return SetupError(f"systemd-run does not start the {slot.name}: {told}", UNITS_REMEDY)
        if dead:
            text = f"the {slot.name} ended while it started ({process.last_words}):\n{lines}"
            return UnavailableError(text, f"see {self._lab.paths.log(slot.name)}")
        text = f"the {slot.name} is not ready after {timeout:.3g} s:\n{lines}"
        return LateError(text, f"see {self._lab.paths.log(slot.name)}")

    # ------------------------------------------------------------ upgrade

    def upgrade(self, name: str, timeout: float) -> str:
        """Start a new generation beside the old one, then let that drain; what happened.

        Raises
        ------
        UsageError
            For anything but the proxy: the others cannot be there twice.
        LateError
            If the old one has not ended after `timeout` s; both live then.
        """
        slot = self.slot(name)
        if name != "proxy":
            raise UsageError(f"the {name} cannot be there twice", "restart it")
        with slot.changing:
            old, old_generation = slot.current, slot.generation
            process, fd = self._launch(slot)
            drains = old is not None and old.alive
            if old is not None and drains:
                slot.draining.append((old_generation, old))
            try:
                self._wait(slot, process, fd, min(timeout, patiently(READY_SECONDS)))
            except BaseException:
                if old is not None and drains:
                    slot.draining.remove((old_generation, old))
                    slot.current = old
                self._save(slot)
                raise
            if old is None or not drains:
                return f"generation {slot.generation} started; there was none to drain"
            begin = time.monotonic()
            old.send(signal.SIGTERM)
            old.send(signal.SIGCONT)  # one that was stopped must drain too
            gone = old.wait(timeout)
        if not gone:
            raise LateError(
                f"generation {old_generation} of the proxy still drains after {timeout:g} s",
                "it ends by itself; nothing is lost",
            )
        took = time.monotonic() - begin
        return f"generation {old_generation} drained in {took:.2f} s; {slot.generation} answers"

    # ------------------------------------------------------------ watching

    def adopt(self) -> None:
        """Take over the processes that a dead node service left."""
        for name, record in self._file.state.slots.items():
            slot = self.slots[name]
            slot.generation, slot.since = record.generation, record.since
            slot.last_exit = record.last_exit
            slot.current = Process.adopt(Identity(record.pid, record.start))
            if slot.current is not None:
                self._watch(slot, slot.current)
            elif record.pid:
                slot.last_exit = slot.last_exit or "dead"
            for pid, start, generation in record.draining:
                old = Process.adopt(Identity(pid, start))
                if old is not None:
                    slot.draining.append((generation, old))
                    self._watch(slot, old)
            self._save(slot)

    def _watch(self, slot: Slot, process: Process) -> None:
        def body() -> None:
            process.wait(None)
            self._dead(slot, process)

        threading.Thread(target=body, name=f"watch-{slot.name}", daemon=True).start()

    def _dead(self, slot: Slot, process: Process) -> None:
        with self._file.lock:
            _log.info("%s %d: %s", slot.name, process.pid, process.last_words)
            slot.draining = [(g, p) for g, p in slot.draining if p is not process]
            if slot.current is process:
                slot.last_exit, slot.since = process.last_words, time.time()
            self._save(slot)

    def _save(self, slot: Slot) -> None:
        if self._ending:
            return
        with self._file.lock:
            self._file.state.slots[slot.name] = slot.record()
            self._file.save()

    def note(self, name: str, action: str, pid: int, note: str) -> None:
        """Add to the log of faults."""
        generation = self.slots[name].generation
        self._file.note_fault(FaultEntry(time.time(), name, action, pid, generation, note))

    # ------------------------------------------------------------ ending

    def end_all(self, grace: float) -> None:
        """End all processes, asking those first that others depend on least."""
        self._ending = True
        everyone: list[Process] = []
        for slot in reversed(self.slots.values()):
            everyone += [p for _, p in slot.draining]
            everyone += [slot.current] if slot.current is not None else []
        end_together(everyone, grace)
