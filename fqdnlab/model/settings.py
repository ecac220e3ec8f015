"""Settings of a lab: Cilium's names and defaults where Cilium has them (semantics in docs).

Times are seconds of lab time unless the name says otherwise.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from fqdnlab.model.labtime import check_time_scale

__all__ = ["LabSettings"]


@dataclass(frozen=True)
class LabSettings:
    """All settings of a lab; frozen, compared when a lab of the same name is asked for.

    Attributes
    ----------
    profile : {"cilium", "acns"}
        What policies are enforced.
    time_scale : float
        Lab seconds per wall-clock second, for TTLs and collection (not for DNS time-outs), as the
        lab begins: `Lab.time_scale` changes it.
    reject_code : {"refused", "nameError"}
        ``tofqdns-dns-reject-response-code``.
    min_ttl : int
        ``tofqdns-min-ttl``, seconds.
    max_ips_per_name : int
        ``tofqdns-endpoint-max-ip-per-hostname``.
    max_zombies : int
        ``tofqdns-max-deferred-connection-deletes``, per endpoint.
    idle_grace : float
        ``tofqdns-idle-connection-grace-period``, seconds.
    hold : float
        ``tofqdns-proxy-response-max-delay``, seconds of wall time; 0 is ``hold: off``.
    concurrency_limit : int
        ``dnsproxy-concurrency-limit``; 0: none.
    concurrency_grace : float
        ``dnsproxy-concurrency-processing-grace-period``, seconds of wall time.
    upstream_timeout : float
        Seconds of wall time.
    upstream_timeout_answer : {"servfail", "silent"}
        What the client gets at the time-out.
    transparent : bool
        ``dnsproxy-enable-transparent-mode``: the upstream sees the endpoint's address.
    name_lock : bool
        Whether answers for one name wait for each other (``per-name lock``).
    collection_interval : float
        Lab seconds between collection passes (Cilium: 60).
    agent_dead : {"reconcile", "drop"}
        What becomes of mappings learned while the agent is dead.
    kept_mappings : int
        How many mappings the proxy keeps for a dead agent.
    attach : {"auto", "tcx", "clsact"}
        How the enforcer is attached.
    steer : {"sockmap", "tproxy"}
        How redirected DNS finds its proxy: ours by its socket, or another by TPROXY rules that
        somebody adds in the node's namespace (without them nobody answers).
    trace_udp_redirects : bool
        Whether each redirected UDP question makes a packet event beside its DNS record.
    flow_history : int
        Flows the observer keeps.
    max_mappings : int
        Mappings of one endpoint, as names are its own choice; more are refused, and counted.
    max_ipcache, max_cidrs, max_policy, max_rules, max_conntrack, events_bytes : int
        Sizes of the kernel's maps (entries; octets for the ring buffer).
    """

    profile: Literal["cilium", "acns"] = "cilium"
    time_scale: float = 1.0
    reject_code: Literal["refused", "nameError"] = "refused"
    min_ttl: int = 0
    max_ips_per_name: int = 1000
    max_zombies: int = 10000
    idle_grace: float = 0.0
    hold: float = 0.1
    concurrency_limit: int = 0
    concurrency_grace: float = 0.0
    upstream_timeout: float = 10.0
    upstream_timeout_answer: Literal["servfail", "silent"] = "servfail"
    transparent: bool = True
    name_lock: bool = True
    collection_interval: float = 60.0
    agent_dead: Literal["reconcile", "drop"] = "reconcile"
    kept_mappings: int = 100_000
    attach: Literal["auto", "tcx", "clsact"] = "auto"
    steer: Literal["sockmap", "tproxy"] = "sockmap"
    trace_udp_redirects: bool = False
    flow_history: int = 65_536
    max_ipcache: int = 16_384
    max_cidrs: int = 4_096
    max_policy: int = 16_384
    max_rules: int = 8_192
    max_conntrack: int = 4_096
    max_mappings: int = 131_072
    events_bytes: int = 1 << 20

    def to_json(self) -> str:
        """One JSON object with every setting."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> LabSettings:
        """Settings from `text` (missing ones take their default).

        Raises
        ------
        ValueError
            On an unknown setting or a value of a wrong type or range; it says which.
        """
        given: Any = json.loads(text or "{}")
        if not isinstance(given, dict):
            raise ValueError("settings must be a JSON object")
        return cls.from_dict(given)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> LabSettings:
        """As `from_json`, from a dictionary."""
        known = {f.name: f for f in fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"unknown setting {name!r}; known: {', '.join(sorted(known))}")
            _check(name, value, getattr(cls, name))
        return cls(**given)

    def differences(self, other: LabSettings) -> dict[str, tuple[Any, Any]]:
        """Settings in which the two differ: name → (ours, theirs)."""
        mine, theirs = asdict(self), asdict(other)
        return {k: (mine[k], theirs[k]) for k in mine if mine[k] != theirs[k]}


_MOST = 1 << 24
_CHOICES: dict[str, tuple[str, ...]] = {
    "profile": ("cilium", "acns"),
    "reject_code": ("refused", "nameError"),
    "upstream_timeout_answer": ("servfail", "silent"),
    "agent_dead": ("reconcile", "drop"),
    "attach": ("auto", "tcx", "clsact"),
    "steer": ("sockmap", "tproxy"),
}


def _check(name: str, value: Any, default: Any) -> None:
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ValueError(f"setting {name} must be one of {_CHOICES[name]}, not {value!r}")
        return
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"setting {name} must be true or false, not {value!r}")
        return
    if name == "time_scale":
        check_time_scale(value)
        return
    number = (int, float) if isinstance(default, float) else (int,)
    # Any user may ask for a lab: what the kernel sets aside for it has bounds (NaN has none).
    if isinstance(value, bool) or not isinstance(value, number) or not 0 <= value <= _MOST:
        raise ValueError(
            f"setting {name} must be a non-negative number (at most {_MOST}), not {value!r}"
        )
    if name == "collection_interval" and value <= 0:
        raise ValueError(f"setting {name} must be more than 0, not {value!r}")
