"""The flight recorder: the last events with what they made of the kernel, and their replay.

An event is noted as it is, in a moment; it is put into words only when somebody asks.  `replay`
starts from what was saved last and gives the pure state the same events again: it must want the
same operations.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fqdnlab.agent.cluster import Endpoint, Learned
from fqdnlab.agent.operations import Operation
from fqdnlab.agent.saved import Parse, fill, fill_policies
from fqdnlab.agent.state import AgentState
from fqdnlab.model.policy import Policy
from fqdnlab.model.settings import LabSettings

__all__ = ["Recorder", "in_words", "replay"]

#: Events kept, and operations of each that are told one by one.
EVENTS, SHOWN = 1024, 64
_Event = tuple[int, int, str, Any, Sequence[Operation], str]


class Recorder:
    """The last events of an agent."""

    def __init__(self, most: int = EVENTS) -> None:
        self._events: deque[_Event] = deque(maxlen=most)
        self._count = 0
        self._saved_at = 0
        self._broken = False

    def note(
        self, now: int, kind: str, what: Any, operations: Sequence[Operation], fault: str = ""
    ) -> None:
        """Add an event: what it was, and what the state wanted of the kernel."""
        self._events.append((self._count, now, kind, what, operations, fault))
        self._count += 1
        self._broken = self._broken or bool(fault)

    def saved(self) -> None:
        """The state was written to disk just now: a replay begins here."""
        self._saved_at, self._broken = self._count, False

    def dump(
        self, base: Mapping[str, Any] | None, settings: LabSettings, index: int = 1
    ) -> dict[str, Any]:
        """All there is, for JSON.

        Parameters
        ----------
        base : mapping or None
            What was saved last.
        settings : LabSettings
        index : int
            Of the node.
        """
        first = self._events[0][0] if self._events else self._count
        return {
            "settings": vars(settings),
            "index": index,
            "base": base,
            "base_event": self._saved_at,
            "whole": base is not None and first <= self._saved_at and not self._broken,
            "events": [_row(event) for event in self._events],
        }


def _row(event: _Event) -> dict[str, Any]:
    number, now, kind, what, operations, fault = event
    return {
        "event": number,
        "boottime_ns": now,
        "kind": kind,
        "what": _TO_JSON[kind](what),
        "operations": [_text(o) for o in operations[:SHOWN]],
        "count": len(operations),
        "sha256": _digest(operations),
        "fault": fault,
    }


def _text(operation: Operation) -> str:
    table, key, value = operation
    return f"{'put' if value else 'delete'} {table} {key.hex()} {value.hex()}".strip()


def _digest(operations: Iterable[Operation]) -> str:
    """Of all, whatever their order: what comes first is the state's promise, tested there."""
    texts = sorted(_text(o) for o in operations)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


# ---------------------------------------------------------------- events as JSON, and back


def _policies(policies: Sequence[Policy]) -> list[list[Any]]:
    return [[p.file, p.yaml, p.namespace, list(p.key)] for p in policies]


def _endpoint(e: Endpoint) -> list[Any]:
    return list(vars(e).values())


def _to_endpoint(values: list[Any]) -> Endpoint:
    number, name, namespace, labels, *rest = values
    return Endpoint(number, name, namespace, tuple((k, v) for k, v in labels), *rest)


def _learned(m: Learned) -> list[Any]:
    hexes = [a.hex() for a in m.addresses]
    return [m.endpoint, m.name, hexes, m.ttl, m.seen_ns, m.kept, m.source]


def _to_learned(values: list[Any]) -> Learned:
    endpoint, name, addresses, *rest = values
    return Learned(endpoint, name, tuple(bytes.fromhex(a) for a in addresses), *rest)


_TO_JSON: dict[str, Any] = {
    "start": lambda _: None,
    "back": lambda _: None,
    "apply": _policies,
    "delete": list,
    "endpoints": lambda found: [_endpoint(e) for e in found],
    "put": _endpoint,
    "remove": int,
    "learn": _learned,
    "collect": lambda live: sorted(a.hex() for a in live),
    "time": float,
}


def _again(state: AgentState, event: Mapping[str, Any], parse: Parse) -> list[Operation]:
    """Let the state handle `event` once more."""
    kind, what, now = event["kind"], event["what"], event["boottime_ns"]
    if kind in ("start", "back"):
        return state.rebuild()
    if kind == "apply":
        found = [
            policy
            for file, text, namespace, key in what
            for policy in parse(text, file, namespace or "default")
            if list(policy.key) == key
        ]
        return state.set_policies(found)
    if kind == "delete":
        return state.delete_policy((what[0], what[1], what[2]))
    if kind == "endpoints":
        return state.set_endpoints([_to_endpoint(values) for values in what])
    if kind == "put":
        return state.put_endpoint(_to_endpoint(what))
    if kind == "remove":
        return state.remove_endpoint(what)
    if kind == "learn":
        return state.learn(_to_learned(what), now)
    if kind == "time":
        return state.set_time_scale(what, now)
    return state.collect(now, {bytes.fromhex(a) for a in what})[1]


def replay(dump: Mapping[str, Any], parse: Parse) -> tuple[AgentState, list[str]]:
    """Give a fresh state what `dump` has; the state, and where it wants something else.

    Raises
    ------
    ValueError
        If the dump has no base, or events since it are lost.
    """
    if not dump["whole"]:
        raise ValueError("the dump is not whole: events since its base are lost, or failed")
    state = AgentState(LabSettings.from_dict(dict(dump["settings"])), dump.get("index", 1))
    fill_policies(state, dump["base"]["policies"], parse)
    fill(state, dump["base"]["state"])
    state.content.note(state.rebuild())
    faults: list[str] = []
    for event in dump["events"]:
        if event["event"] < dump["base_event"]:
            continue
        operations = _again(state, event, parse)
        state.content.note(operations)
        if (len(operations), _digest(operations)) != (event["count"], event["sha256"]):
            told = [_text(o) for o in operations[:SHOWN]]
            faults.append(f"{in_words(event)}: {event['operations']}, again: {told}")
    return state, faults


def in_words(event: Mapping[str, Any]) -> str:
    """One line: when, what, how many operations."""
    seconds = event["boottime_ns"] / 1e9
    what = str(event["what"])
    short = what if len(what) <= 160 else what[:157] + "..."
    fault = f" FAILED: {event['fault']}" if event["fault"] else ""
    return f"#{event['event']} {seconds:.3f} {event['kind']} {short}: {event['count']} ops{fault}"
