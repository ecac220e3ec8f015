"""The format of recordings: one JSON object a line, in the order in which it was written.  Pure.

docs/recording.md says what each kind of line has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

__all__ = ["FORMAT", "VERSION", "apply_maps", "line", "map_changes", "message", "read_lines"]

FORMAT, VERSION = "fqdnlab-recording", 1
#: Map → key → value, in words.
Maps = dict[str, dict[str, str]]


def line(kind: str, time: float, **fields: Any) -> str:
    """One line of a recording, its newline with it.

    Parameters
    ----------
    kind : str
    time : float
        Unix seconds.
    """
    body = {"kind": kind, "time": time, **fields}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False) + "\n"


def message(made: Message) -> dict[str, Any]:
    """A protobuf message as JSON has it."""
    found: dict[str, Any] = json_format.MessageToDict(made, preserving_proto_field_name=True)
    return found


def read_lines(source: Iterable[bytes]) -> Iterator[dict[str, Any] | None]:
    """The objects; None at the first line that is not whole: nothing after it can be trusted."""
    for raw in source:
        try:
            found = json.loads(raw) if raw.endswith(b"\n") else None
        except ValueError:
            found = None
        if not isinstance(found, dict) or "kind" not in found or "time" not in found:
            yield None
            return
        yield found


def map_changes(before: Maps, after: Maps) -> tuple[list[list[str]], list[list[str]]]:
    """What was put ``[map, key, value]`` and what is gone ``[map, key]`` between two looks."""
    put = [
        [name, key, value]
        for name, rows in after.items()
        for key, value in rows.items()
        if before.get(name, {}).get(key) != value
    ]
    gone = [
        [name, key]
        for name, rows in before.items()
        for key in rows
        if key not in after.get(name, {})
    ]
    return put, gone


def apply_maps(maps: Maps, change: Mapping[str, Any]) -> None:
    """Do to `maps` what a line of kind ``maps`` says."""
    for name, key, value in change["put"]:
        maps.setdefault(name, {})[key] = value
    for name, key in change["gone"]:
        maps.get(name, {}).pop(key, None)
