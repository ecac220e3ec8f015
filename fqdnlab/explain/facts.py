"""What an explanation rests on: read once, then only reasoned about.  Pure.

`None` in a field says that nobody could tell; `missing` says who, and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from fqdnlab.agent.cluster import RESOLVER_ADDRESSES
from fqdnlab.explain.kernel import KernelMaps
from fqdnlab.model.mapstate import RuleRef
from fqdnlab.model.policy import Policy
from fqdnlab.model.settings import LabSettings
from fqdnlab.world.client_names import RecordsOf

__all__ = ["DecidingRule", "Facts", "Known", "Workload", "when"]

Source = Literal["lab", "recording", "export"]


def when(seconds: float | None) -> str:
    """A wall time for people: ``14:02:11.250`` (UTC); '' for none."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S.%f")[:-3]


@dataclass(frozen=True)
class Workload:
    """An endpoint.

    Attributes
    ----------
    id : int
    name, namespace : str
    labels : tuple of (str, str)
        ``source:name`` → value, those of its namespace among them.
    addresses : tuple of str
    """

    id: int
    name: str
    namespace: str
    labels: tuple[tuple[str, str], ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """One address of one name.

    Attributes
    ----------
    endpoint : str
        Who learned it; empty: nobody in particular.
    name : str
        Lower case, with its final dot; a selector's pattern where `source` is ``connection``.
    address : str
    ttl : int
        Seconds of lab time.
    learned, expires : float or None
        Unix seconds.
    state : str
        ``enforced``, ``expired``, ``zombie``, or ``waits`` (no agent has taken it).
    source : str
    """

    endpoint: str
    name: str
    address: str
    ttl: int = 0
    learned: float | None = None
    expires: float | None = None
    state: str = "enforced"
    source: str = "lookup"


@dataclass(frozen=True)
class DecidingRule:
    """A rule of a policy, and where it stands.

    Attributes
    ----------
    policy : str
        ``namespace/name``.
    kind : str
    path : str
        ``spec.egress[1]``.
    index : int
        Its number in the kernel; 0: not known.
    text : str
    file : str
    line : int
    """

    policy: str
    kind: str = ""
    path: str = ""
    index: int = 0
    text: str = ""
    file: str = ""
    line: int = 0

    @property
    def title(self) -> str:
        """As `rule` of a flow says it: ``default/web-egress egress[1] matchName …``."""
        return f"{self.policy} {self.text}".strip()

    @property
    def place(self) -> str:
        """``policy.yaml:14``; '' if it is not known."""
        return f"{self.file}:{self.line}" if self.file and self.line else self.file


@dataclass(frozen=True)
class Facts:
    """Everything known at one moment.

    Attributes
    ----------
    source : {"lab", "recording", "export"}
    time : float
        Unix seconds.
    settings : LabSettings
    endpoints : tuple of Workload
    policies : tuple of Policy, or None
    mappings : tuple of Known, or None
        Of the agent.
    kept : tuple of Known
        Answers that wait for an agent.
    maps : KernelMaps or None
    rules : dict of int to DecidingRule
        By number in the kernel.
    labels : dict of int to tuple of str
        Of identities, by number.
    queries : tuple of dict, or None
        DNS outcomes (`fqdnlab.model.flows.QUERY_COLUMNS`), oldest first.
    zones : tuple of RecordsOf, or None
        What the simulated internet would answer.
    processes : dict
        Name → state; empty where there are none to know of.
    server : str
        The DNS server that endpoints ask.
    peers : tuple of (address, labels)
        What is in the cluster, and is no endpoint of this node.
    missing : tuple of str
        What could not be read, and why.
    """

    source: Source
    time: float
    settings: LabSettings = field(default_factory=LabSettings)
    endpoints: tuple[Workload, ...] = ()
    policies: tuple[Policy, ...] | None = None
    mappings: tuple[Known, ...] | None = None
    kept: tuple[Known, ...] = ()
    maps: KernelMaps | None = None
    rules: Mapping[int, DecidingRule] = field(default_factory=dict)
    labels: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    queries: tuple[Mapping[str, Any], ...] | None = None
    zones: tuple[RecordsOf, ...] | None = None
    processes: Mapping[str, str] = field(default_factory=dict)
    server: str = RESOLVER_ADDRESSES[0]
    peers: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    missing: tuple[str, ...] = ()

    def runs(self, process: str) -> bool:
        """Whether a process runs; one that nothing is known of is taken to."""
        return self.processes.get(process, "running") in ("running", "draining")

    def by_number(self, number: int) -> DecidingRule | None:
        """The rule that the kernel means by `number`; None for 0: no rule decided."""
        if not number:
            return None
        return self.rules.get(number) or DecidingRule(f"rule {number}", index=number)

    def by_ref(self, ref: RuleRef) -> DecidingRule | None:
        """The rule at a place in a policy, with its number, where it has one."""
        owner = f"{ref.policy[1]}/{ref.policy[2]}" if ref.policy[1] else ref.policy[2]
        for rule in self.rules.values():
            if (rule.kind, rule.policy, rule.path) == (ref.policy[0], owner, ref.path):
                return rule
        return None
