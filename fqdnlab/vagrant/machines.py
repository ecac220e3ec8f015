"""The set of machines: brought up, reached, stopped, put back; each verb as a whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count

from fqdnlab.errors import FqdnlabError, LateError, SetupError, UnavailableError
from fqdnlab.lab.machine import MachineClient
from fqdnlab.patience import patiently
from fqdnlab.vagrant.links import Links
from fqdnlab.vagrant.payload import ensure_payload, wanted_payload
from fqdnlab.vagrant.site import Site, machine_names
from fqdnlab.vagrant.verbs import BusyError, Vagrant

__all__ = ["Machines"]

_SERVICE_SECONDS = 60.0
_SOON_SECONDS = 6.0  # for a service of a machine that ran already
_BOOT_SECONDS = 120.0
_ASKED_ANEW = 5  # one try in so many asks Vagrant, for seconds, where the machine is
_ROUTE_SECONDS = 2.0  # until a restored machine answers ARP
_ASKINGS = 5
_SETTINGS = 3
_CLOCK_SECONDS = 0.1  # nearer than that is left to `offset`
#: For verbs that must not miss a machine.
_EVERY = {"FQDNLAB_NODES": "2"}

#: States of a machine that holds labs, or may do so once it goes on.
_ALIVE = ("running", "saved", "paused", "suspended")

Say = Callable[[str], None]


class _SilentError(LateError):
    """A machine can be reached, and its machine service does not answer."""


class Machines(Links):
    """All machines of `site`, with this process's links to them.

    Parameters
    ----------
    site : Site
    say : callable, optional
        Told what goes on, a line each.
    """

    def __init__(self, site: Site, say: Say = lambda _: None) -> None:
        self.vagrant = Vagrant(site)
        super().__init__(site, self.vagrant.ssh_config)
        self._say = say
        self._runs: dict[str, str] = {}  # which payload each machine service was told it runs
        self._bringing = threading.Lock()
        self._setting = {machine: threading.Lock() for machine in (*machine_names(2), "client")}

    # ------------------------------------------------------------ up

    def up(self, *names: str) -> None:
        """Have every machine running, provisioned and reached; or those that are named alone.

        Raises
        ------
        FqdnlabError
            As `Vagrant.do`, `Link.open` and `ensure_payload`.
        """
        machines = names or self.site.machines
        with self._bringing:
            if not all(self.reached(machine) for machine in machines):
                self._bring(machines)
            self._renew(machines)

    def _bring(self, machines: Sequence[str]) -> None:
        states = self.vagrant.status()
        down = [m for m in machines if states.get(m) != "running"]
        if down:
            ensure_payload(self.site, self._say)  # Vagrant asks for it whatever it does
            self._say(f"bringing up {', '.join(down)}")
            made = any(states.get(m) == "not_created" for m in down)
            self.vagrant.up(down, self._say, made=made)
        self._each(
            machines, lambda m: self._reach_woken(m) if m in down else self._reach_running(m)
        )

    def _reach_woken(self, machine: str) -> None:
        """A link from before it stood still may be about to be given up."""
        if self.held(machine):
            self._reach_again(machine)
        else:
            self._reach(machine)

    def _reach_running(self, machine: str) -> None:
        """One that ran already may never have been provisioned to the end."""
        try:
            self._reach(machine, _SOON_SECONDS)
            return
        except _SilentError:
            self._say(f"{machine}: its machine service does not answer: it is started")
        try:
            self.link(machine).run("sudo", "systemctl", "start", "fqdnlab.service")
            self._reach(machine, _SOON_SECONDS)
        except (_SilentError, UnavailableError):
            try:
                self._provision(machine, "its machine service does not start")
            except BusyError:  # somebody else is making it just now
                self._reach(machine)

    def _provision(self, machine: str, why: str) -> None:
        ensure_payload(self.site, self._say)
        self._say(f"{machine}: {why}: it is provisioned anew")
        self.vagrant.do("provision", machine, on_line=self._say)
        self._reach(machine)

    def _renew(self, machines: Sequence[str]) -> None:
        """Put what is here on machines that run something else, if they hold no lab."""
        wanted = wanted_payload(self.site)
        for machine in machines:
            if not wanted or self._runs.get(machine) == wanted:
                continue
            labs = [one["name"] for one in self.client(machine).list()]
            if labs:
                self._say(
                    f"{machine} runs another fqdnlab than this one, and does so until its labs "
                    f"({', '.join(labs)}) are down"
                )
            else:
                self._provision(machine, "it runs another fqdnlab than this one")

    def alive(self) -> bool:
        """Whether any machine can hold a lab: it runs, or stands still."""
        if all(self.reached(machine) for machine in self.site.machines):
            return True
        return any(state in _ALIVE for state in self.vagrant.status().values())

    def running(self) -> bool:
        """Whether all run; those that we have just reached are not asked for again.

        Raises
        ------
        UnavailableError
            If some do and some do not.
        """
        if all(self.reached(machine) for machine in self.site.machines):
            return True
        states = self.vagrant.status()
        down = [m for m in self.site.machines if states.get(m) != "running"]
        if len(down) == len(self.site.machines):
            return False
        if down:
            raise UnavailableError(
                f"{', '.join(down)}: {', '.join(states.get(m, 'unknown') for m in down)}",
                "fqdnlab vagrant up",
            )
        self._each(self.site.machines, self._reach)
        return True

    def reached(self, machine: str) -> bool:
        """Whether its machine service answers, over a link that stands or can be had at once."""
        if not self.known(machine):
            return False
        try:
            self.link(machine)
            return self._answers(machine)
        except FqdnlabError:
            return False

    def _reach(self, machine: str, seconds: float = _SERVICE_SECONDS) -> None:
        """Wait until the machine service answers; set its clock."""
        link = self.link(machine)
        if not link.alive:
            link.again()
        deadline = time.monotonic() + patiently(seconds)
        while not self._answers(machine):
            if time.monotonic() > deadline:
                raise _SilentError(
                    f"the machine service of {machine} does not answer",
                    f"cd {self.site.folder}; vagrant ssh {machine} -c 'systemctl status fqdnlab'",
                )
            time.sleep(0.1)
        self.set_clock(machine)

    def _each(self, machines: Sequence[str], do: Callable[[str], None]) -> None:
        with ThreadPoolExecutor(len(machines), thread_name_prefix="machine") as pool:
            list(pool.map(do, machines))

    # ------------------------------------------------------------ asking the machine services

    def client(self, machine: str) -> MachineClient:
        """Of its machine service."""
        self.link(machine)
        path = self.folder() / f"{machine}-machine"
        return MachineClient(path, link=f"the ssh link to {machine}")

    def _answers(self, machine: str) -> bool:
        """Whether its machine service does, and is that machine's: addresses may have changed."""
        try:
            answer = self.client(machine).ping()
        except (SetupError, UnavailableError):
            return False
        if answer.get("place", {}).get("address") == self.site.address(machine):
            self._runs[machine] = str(answer.get("payload", ""))
            return True
        self.link(machine).again()
        return False

    def offset(self, machine: str) -> float:
        """Seconds by which its wall clock is ahead of ours: the least delayed of some askings."""
        return self._clocks(machine)[0]

    def _clocks(self, machine: str) -> tuple[float, int]:
        """`offset`, and our wall clock (ns) at the zero of the machine's CLOCK_BOOTTIME."""
        asked: list[tuple[int, int, int]] = []
        client = self.client(machine)
        for _ in range(_ASKINGS):
            before = time.time_ns()
            wall, boottime = client.clock()
            after = time.time_ns()
            middle = (before + after) // 2
            asked.append((after - before, wall - middle, middle - boottime))
        _, ahead, zero = min(asked)
        return ahead / 1e9, zero

    def set_clock(self, machine: str) -> None:
        """Set its wall clock to ours; CLOCK_BOOTTIME, by which leases run, is not touched."""
        with self._setting[machine]:
            for _ in range(_SETTINGS):
                off, zero = self._clocks(machine)
                if abs(off) < _CLOCK_SECONDS:
                    return
                # by CLOCK_BOOTTIME: how long it takes to be told does not matter, nor who else
                # sets it just now, where a step by `off` would be taken twice
                step = (
                    "import time; time.clock_settime_ns(time.CLOCK_REALTIME, "
                    f"time.clock_gettime_ns(time.CLOCK_BOOTTIME) + {zero})"
                )
                self.link(machine).run("sudo", "python3", "-I", "-S", "-c", step, timeout=10.0)
            off = self.offset(machine)
            if abs(off) >= _CLOCK_SECONDS:
                way = "fast" if off > 0 else "slow"
                self._say(f"{machine}: its clock is {abs(off):.1f} s {way}")

    # ------------------------------------------------------------ what can be done to them

    def suspend(self, machine: str) -> None:
        """Let it stand still, its memory on disk."""
        self.vagrant.do("suspend", machine)

    def resume(self, machine: str) -> None:
        """Let it go on, its clock set."""
        self.vagrant.do("resume", machine)
        self._reach_again(machine)

    def reset(self, machine: str) -> None:
        """As with the button: no process is told.  Its disk alone is synced before."""
        link = self.link(machine)
        before = self._boot(machine)
        with suppress(UnavailableError, LateError):  # one that cannot do that any more is reset too
            link.run("sudo", "sync")
        with suppress(UnavailableError, LateError):  # it is gone before it can answer
            link.run("sudo", "sh", "-c", "echo b > /proc/sysrq-trigger", timeout=3.0)
        deadline = time.monotonic() + patiently(_BOOT_SECONDS)
        for tries in count(1):
            with suppress(UnavailableError, LateError):
                link.again(fresh=tries % _ASKED_ANEW == 0)  # most likely it is where it was
                if self._boot(machine) != before:
                    break
            if time.monotonic() > deadline:
                raise LateError(f"{machine} has not come up again", f"vagrant up {machine}")
            time.sleep(0.2)
        self._reach(machine)

    def _boot(self, machine: str) -> str:
        return self.link(machine).run("cat", "/proc/sys/kernel/random/boot_id", timeout=10.0)

    def set_link(self, machine: str, up: bool) -> None:
        """Mend or cut its link to the other machines."""
        words = 'ip link set dev "$(cat /run/fqdnlab-device)" ' + ("up" if up else "down")
        self.link(machine).run("sudo", "sh", "-c", words)
        if up:
            self.link(machine).run("sudo", "/opt/fqdnlab/link")

    def halt(self, *machines: str) -> None:
        """Shut these down, or all, a second node that is not in use now too."""
        for machine in machines or (*machine_names(2), "client"):
            self.let_go(machine)
        self.vagrant.do("halt", *machines, env=_EVERY)

    def destroy(self) -> None:
        """Remove all, their disks too."""
        self.forget()
        self.vagrant.do("destroy", "--force", env=_EVERY)

    # ------------------------------------------------------------ snapshots

    def snapshot(self, name: str) -> None:
        """Keep the state of every machine under that name; an older one of it is replaced."""
        self._each(self.site.machines, lambda m: self._snapshot("save", m, name, "--force"))

    def _snapshot(self, verb: str, machine: str, name: str, *words: str) -> None:
        self.vagrant.do("snapshot", verb, machine, name, *words)

    def snapshots(self) -> tuple[str, ...]:
        """Names that every machine has."""
        found: dict[str, tuple[str, ...]] = {}

        def ask(machine: str) -> None:
            found[machine] = self.vagrant.snapshots(machine)

        self._each(self.site.machines, ask)
        first, *others = (found[machine] for machine in self.site.machines)
        return tuple(name for name in first if all(name in more for more in others))

    def restore(self, name: str) -> None:
        """Put every machine back.

        Raises
        ------
        UsageError
            If they have no such snapshot.
        """

        def back(machine: str) -> None:
            self._snapshot("restore", machine, name, "--no-provision", "--no-start")
            try:
                self._reach_again(machine)
            except (UnavailableError, LateError):  # VirtualBox leaves it standing still
                self.vagrant.up([machine], self._say)
                self._reach_again(machine)

        self._each(self.site.machines, back)

    def _reach_again(self, machine: str) -> None:
        """The far end of the link is another one, or one of long ago."""
        link = self.link(machine)
        deadline = time.monotonic() + patiently(_ROUTE_SECONDS)
        while True:
            fresh = time.monotonic() > deadline
            try:
                link.again(fresh)
                break
            except (UnavailableError, LateError):
                if fresh:
                    raise
                time.sleep(0.2)
        self._reach(machine)
