"""From records to intervals: how long a process was away, how long an address was open for a name.

Pure: lists of plain records in, intervals out; no DataFrame, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Interval", "Outage", "mapping_intervals", "outages", "sampled_intervals"]


@dataclass(frozen=True)
class Outage:
    """A time in which a process or a machine was away, or a moment at which it was exchanged.

    Attributes
    ----------
    process : str
        ``agent``, ``proxy``, ``observer``; ``vm``, ``link`` (between it and the internet).
    what : str
        ``killed``, ``hung``, ``upgraded``; ``suspended``, ``reset``; ``cut``.
    start, stop : float
        Seconds on the axis of the records; equal for a moment.
    node : str
        Where it is; empty in a lab with one node.
    """

    process: str
    what: str
    start: float
    stop: float
    node: str = ""

    @property
    def text(self) -> str:
        """What happened, in a few words."""
        process = "machine" if self.process == "vm" else self.process
        return " ".join(word for word in (self.node, process, self.what) if word)


@dataclass(frozen=True)
class Interval:
    """An address of a name, from one answer to its end.

    Attributes
    ----------
    name, address : str
    start, stop : float
        Seconds on the axis of the records.
    state : {"enforced", "zombie", "waits", "refused"}
        Open in the kernel; past its time, open to flows that were there before; resolved, but the
        agent that would open it is dead; refused (a moment).
    """

    name: str
    address: str
    start: float
    stop: float
    state: str


_DOWN = {"kill": "killed", "stop": "hung", "suspend": "suspended", "cut": "cut"}
_UP = {"start", "restart", "continue", "resume", "mend"}
_MOMENT = {"upgrade": "upgraded", "reset": "reset"}


def outages(faults: Iterable[Mapping[str, Any]], end: float) -> list[Outage]:
    """Outages from fault records.

    Parameters
    ----------
    faults : iterable of mapping
        With ``time`` (seconds), ``process``, ``action``; in order of time.  Where the lab has
        several nodes, ``node`` too.
    end : float
        Where the axis ends: what is still away then is away until then.
    """
    down: dict[tuple[str, str], Outage] = {}
    found: list[Outage] = []
    for fault in faults:
        action, time = fault["action"], float(fault["time"])
        process, node = str(fault["process"]), str(fault.get("node", ""))
        if action in _DOWN:
            down.setdefault((node, process), Outage(process, _DOWN[action], time, end, node))
        elif (node, process) in down and (action in _UP or action in _MOMENT):
            found.append(replace(down.pop((node, process)), stop=time))
        elif action in _MOMENT:
            found.append(Outage(process, _MOMENT[action], time, time, node))
        if action == "reset" and (node, "link") in down:  # it comes up with its link
            found.append(replace(down.pop((node, "link")), stop=time))
    return sorted([*found, *down.values()], key=lambda o: (o.start, o.process))


def mapping_intervals(
    queries: Iterable[Mapping[str, Any]], away: Iterable[Outage], end: float
) -> list[Interval]:
    """When each address was open for each name, read from DNS records.

    Parameters
    ----------
    queries : iterable of mapping
        DNS records in order of time, with ``time`` (seconds), ``query``, ``ips`` (sequence of
        str), ``ttl`` (seconds), ``verdict``, ``mapping_state``.
    away : iterable of Outage
        The agent's outages: a mapping that waits does so until its outage ends, and then has its
        whole TTL.
    end : float
        Where the axis ends.

    Returns
    -------
    list of Interval
        Sorted by name, then start; touching intervals of one state are joined.
    """
    agent_away = _agent(away)
    found: list[Interval] = []
    for record in queries:
        found.extend(_of_record(record, agent_away, end))
    return _joined(found)


def sampled_intervals(
    samples: Iterable[Mapping[str, Any]],
    queries: Iterable[Mapping[str, Any]],
    away: Iterable[Outage],
    end: float,
) -> list[Interval]:
    """When each address was open for each name, read from looks at the agent's mappings.

    What a look cannot tell (who waits, who was refused) is read from DNS records, as in
    `mapping_intervals`.  While the agent is away, what it had goes on: the kernel holds it.

    Parameters
    ----------
    samples : iterable of mapping
        ``time`` (seconds), ``name``, ``ip``, ``state`` (enforced, expired, zombie) of each mapping
        at each look; in order of time.
    queries, away, end
        As of `mapping_intervals`.
    """
    rows, agent_away = list(queries), _agent(away)
    rest = [i for i in mapping_intervals(rows, agent_away, end) if i.state in ("waits", "refused")]
    looks = _looks(samples)
    begins = _moments(rows, agent_away)
    open_: dict[tuple[str, str], Interval] = {}
    found: list[Interval] = []
    before = 0.0
    for time, states in looks:
        for key in [k for k in open_ if states.get(k) != open_[k].state]:
            found.append(replace(open_.pop(key), stop=time))
        for key, state in states.items():
            if key not in open_:
                start = min((t for t in begins.get(key, ()) if before < t <= time), default=time)
                open_[key] = Interval(*key, start, end, state)
        before = time
    return _joined([*rest, *found, *open_.values()])


def _looks(samples: Iterable[Mapping[str, Any]]) -> list[tuple[float, dict[tuple[str, str], str]]]:
    """At each look, the best state that any endpoint's mapping of (name, address) is in."""
    looks: dict[float, dict[tuple[str, str], str]] = {}
    for sample in samples:
        states = looks.setdefault(float(sample["time"]), {})
        key = (str(sample["name"]).rstrip("."), str(sample["ip"]))
        state = "zombie" if sample["state"] == "zombie" else "enforced"
        if states.get(key) != "enforced":
            states[key] = state
    return sorted(looks.items())


def _moments(
    queries: Iterable[Mapping[str, Any]], agent_away: Sequence[Outage]
) -> dict[tuple[str, str], list[float]]:
    """When (name, address) may have begun to be open: at an answer, or when the agent came back."""
    moments: dict[tuple[str, str], list[float]] = {}
    for record in queries:
        if record.get("mapping_state") == "waits":
            time = _back(record, agent_away)
        else:
            time = float(record["time"])
        if time is None:
            continue
        for address in record["ips"] or ():
            key = (str(record["query"]).rstrip("."), str(address))
            moments.setdefault(key, []).append(time)
    return moments


def _agent(away: Iterable[Outage]) -> list[Outage]:
    return [o for o in away if o.process == "agent" and o.stop > o.start]


def _back(record: Mapping[str, Any], agent_away: Sequence[Outage]) -> float | None:
    """When the agent came back that was away at that record's time, on its node."""
    node, time = str(record.get("node", "")), float(record["time"])
    return next((o.stop for o in agent_away if o.node == node and o.start <= time <= o.stop), None)


def _of_record(record: Mapping[str, Any], away: list[Outage], end: float) -> list[Interval]:
    time, name = float(record["time"]), str(record["query"]).rstrip(".")
    if record["verdict"] == "DROPPED":
        return [Interval(name, "", time, time, "refused")]
    ttl = float(record["ttl"] or 0)
    made: list[Interval] = []
    for address in record["ips"] or ():
        if record.get("mapping_state") != "waits":
            made.append(Interval(name, address, time, min(end, time + ttl), "enforced"))
            continue
        back = _back(record, away)
        back = end if back is None else back
        made.append(Interval(name, address, time, back, "waits"))
        if back < end:
            made.append(Interval(name, address, back, min(end, back + ttl), "enforced"))
    return made


def _joined(intervals: list[Interval]) -> list[Interval]:
    order = sorted(intervals, key=lambda i: (i.name, i.address, i.state, i.start))
    joined: list[Interval] = []
    for one in order:
        last = joined[-1] if joined else None
        if (
            last is not None
            and one.state != "refused"
            and (last.name, last.address, last.state) == (one.name, one.address, one.state)
            and one.start <= last.stop
        ):
            joined[-1] = replace(last, stop=max(last.stop, one.stop))
        else:
            joined.append(one)
    return sorted(joined, key=lambda i: (i.name, i.start, i.address))
