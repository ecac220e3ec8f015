"""From records to intervals: how long a process was away, how long an address was open for a name.

Pure: lists of plain records in, intervals out; no DataFrame, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Interval", "Outage", "mapping_intervals", "outages"]


@dataclass(frozen=True)
class Outage:
    """A time in which a process was away, or a moment at which it was exchanged.

    Attributes
    ----------
    process : str
        ``agent``, ``proxy``, ``observer``.
    what : str
        ``killed``, ``hung``, ``upgraded``.
    start, stop : float
        Seconds on the axis of the records; equal for a moment.
    """

    process: str
    what: str
    start: float
    stop: float


@dataclass(frozen=True)
class Interval:
    """An address of a name, from one answer to its end.

    Attributes
    ----------
    name, address : str
    start, stop : float
        Seconds on the axis of the records.
    state : {"enforced", "waits", "refused"}
        Open in the kernel; resolved, but the agent that would open it is dead; refused (a moment).
    """

    name: str
    address: str
    start: float
    stop: float
    state: str


_DOWN = {"kill": "killed", "stop": "hung"}
_UP = {"start", "restart", "continue"}
_MOMENT = {"upgrade": "upgraded"}


def outages(faults: Iterable[Mapping[str, Any]], end: float) -> list[Outage]:
    """Outages from fault records.

    Parameters
    ----------
    faults : iterable of mapping
        With ``time`` (seconds), ``process``, ``action``; in order of time.
    end : float
        Where the axis ends: what is still away then is away until then.
    """
    down: dict[str, tuple[str, float]] = {}
    found: list[Outage] = []
    for fault in faults:
        process, action, time = fault["process"], fault["action"], float(fault["time"])
        if action in _DOWN:
            down.setdefault(process, (_DOWN[action], time))
        elif action in _UP and process in down:
            what, since = down.pop(process)
            found.append(Outage(process, what, since, time))
        elif action in _MOMENT:
            found.append(Outage(process, _MOMENT[action], time, time))
    found.extend(Outage(p, what, since, end) for p, (what, since) in down.items())
    return sorted(found, key=lambda o: (o.start, o.process))


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
    agent_away = [o for o in away if o.process == "agent" and o.stop > o.start]
    found: list[Interval] = []
    for record in queries:
        found.extend(_of_record(record, agent_away, end))
    return _joined(found)


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
        back = next((o.stop for o in away if o.start <= time <= o.stop), end)
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
