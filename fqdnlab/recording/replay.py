"""What lines say over time: flows, changes of the world, states of mappings.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from fqdnlab.model.hubble_json import from_dict
from fqdnlab.pb import observer_pb2

__all__ = ["changes_of", "flow_of", "samples_of"]

_ADDRESSES = ("A", "AAAA")


def flow_of(line: Mapping[str, Any]) -> Any:
    """The flow of a line of kind ``flow``; HubbleJsonError if it is none."""
    return from_dict(line["response"], observer_pb2.GetFlowsResponse()).flow


def changes_of(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What changed in the world: ``time`` (Unix seconds) and ``text``, for the timeline."""
    found: list[dict[str, Any]] = []
    before: dict[str, tuple[str, ...]] | None = None
    for line in lines:
        if line["records"] is None:
            continue
        after = _addresses(line["records"])
        if before is not None:
            for name in [*before, *(n for n in after if n not in before)]:
                if before.get(name) != after.get(name):
                    text = _words(name, before.get(name), after.get(name))
                    found.append({"time": line["time"], "text": text})
        before = after
    return found


def _addresses(records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for record in records:
        if record["type"] in _ADDRESSES:
            found[record["name"]] = found.get(record["name"], ()) + tuple(record["values"])
    return found


def _words(name: str, old: tuple[str, ...] | None, new: tuple[str, ...] | None) -> str:
    short = name.split(".")[0]
    if new is None:
        return f"{short} is gone"
    shown = new[0] if new else "no address"
    more = f" +{len(new) - 1}" if len(new) > 1 else ""
    return f"{short} is {'new: ' if old is None else ''}{shown}{more}"


def samples_of(
    states: Sequence[Mapping[str, Any]], looks: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Each mapping at each look: ``time`` (Unix seconds), ``name``, ``ip``, ``state``."""
    rows = []
    current: Mapping[str, Any] | None = None
    pending = list(states)
    for look in looks:
        while pending and pending[0]["time"] <= look["time"]:
            current = pending.pop(0)
        if current is None:
            continue
        for one in current["evidence"].get("mapping", ()):
            name = one.get("fqdn", "").rstrip(".")
            state = one.get("state", "")
            rows.append({"time": look["time"], "name": name, "ip": one["ip"], "state": state})
    return pd.DataFrame(rows, columns=["time", "name", "ip", "state"])
