"""What was last seen of a lab: plain, frozen records, handed from the reader to the panels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Change", "Fault", "Numbers", "Proc", "Rates", "Seen", "WorldName"]


@dataclass(frozen=True)
class Proc:
    """A process of the lab.

    Attributes
    ----------
    name : str
    state : str
        ``running``, ``stopped`` (SIGSTOP), ``dead``, ``starting``.
    pid : int
        Its last one, where it is dead.
    generation, restarts : int
    since : float
        Unix seconds of its last change.
    last_exit : str
    draining : tuple of (int, int)
        Generation and pid of those that still answer what they had taken.
    """

    name: str
    state: str = "unknown"
    pid: int = 0
    generation: int = 0
    since: float = 0.0
    restarts: int = 0
    last_exit: str = ""
    draining: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Numbers:
    """What the agent last said that the kernel holds."""

    addresses: int = 0
    zombies: int = 0
    policy_entries: int = 0
    identities: int = 0
    revision: int = 0
    acknowledged: int = 0
    attach: str = ""
    warnings: tuple[str, ...] = ()
    time_scale: float = 0.0  # 0: it has not said


@dataclass(frozen=True)
class Fault:
    """A fault that was delivered; time in Unix seconds."""

    time: float
    process: str
    action: str
    pid: int
    generation: int
    note: str = ""


@dataclass(frozen=True)
class WorldName:
    """The addresses that the world answers for a name."""

    name: str
    ttl: int
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A change of the world, as it was noticed; time in Unix seconds."""

    time: float
    name: str
    text: str


@dataclass(frozen=True)
class Rates:
    """Per second, over the last whole seconds."""

    allowed: float = 0.0
    dropped: float = 0.0
    asked: float = 0.0


@dataclass(frozen=True)
class Seen:
    """A lab at one moment.

    Attributes
    ----------
    lab, node : str
    time : float
        Unix seconds.
    trouble : str
        Why nothing newer is known: the node service is gone; empty: all is known.
    down : bool
        Whether the lab was taken down: nothing of it is left.
    processes : mapping of str to Proc
    numbers : Numbers
    endpoints, selected, policies, unenforced : int
        How many there are; how many endpoints a policy selects; policies, and those of them that
        are accepted and not enforced.
    faults, machine_faults : tuple of Fault
        Delivered to processes; to the node's machine and its link, by this process.
    has_machine : bool
        Whether the node is a machine of its own, which can be suspended, reset, cut off.
    world : tuple of WorldName
    changes : tuple of Change
    waiting : tuple of (str, str)
        Names and addresses that were resolved and wait for the agent.
    rates : Rates
    flows, lost : int
        Seen by the observer, and known to be missing.
    time_scale, hold : float
        Lab seconds a second, as the agent last said it; the setting.
    """

    lab: str
    node: str = ""
    time: float = 0.0
    trouble: str = ""
    down: bool = False
    processes: Mapping[str, Proc] = field(default_factory=dict)
    numbers: Numbers = Numbers()
    endpoints: int = 0
    selected: int = 0
    policies: int = 0
    unenforced: int = 0
    faults: tuple[Fault, ...] = ()
    machine_faults: tuple[Fault, ...] = ()
    has_machine: bool = False
    world: tuple[WorldName, ...] = ()
    changes: tuple[Change, ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()
    rates: Rates = Rates()
    flows: int = 0
    lost: int = 0
    time_scale: float = 1.0
    hold: float = 0.1

    def process(self, name: str) -> Proc:
        """The process of that name; one in state ``unknown`` if there is none."""
        return self.processes.get(name) or Proc(name)

    def hung_since(self, name: str) -> float:
        """When a process was hung; `Proc.since` is when it began, if nobody told of the fault."""
        process = self.process(name)
        stops = [f.time for f in self.faults if _hung(f, process)]
        return max([process.since, *stops])


def _hung(fault: Fault, process: Proc) -> bool:
    """Whether a fault hung this very process."""
    told = (fault.process, fault.action, fault.pid)
    return told == (process.name, "stop", process.pid)
