"""Flows as JSON lines, as ``hubble observe -o jsonpb`` prints them and ``--input-file`` reads them.

One ``observer.GetFlowsResponse`` a line: ``{"flow": {...}, "node_name": ..., "time": ...}``, field
names as in the proto, 64-bit numbers as strings, enums by name.  Drop reasons that are fqdnlab's
own stay numbers, since no other program knows their names.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message

from fqdnlab.model.reasons import REASONS

__all__ = ["HubbleJsonError", "from_dict", "from_line", "to_dict", "to_line"]

M = TypeVar("M", bound=Message)

#: What extensions are written as; naming it here also makes its type known to json_format.
_STRUCT = struct_pb2.Struct.DESCRIPTOR.full_name
_OWN_REASONS = {name: number for number, (name, _) in REASONS.items() if number >= 240}


class HubbleJsonError(ValueError):
    """A line that is no Hubble flow; the message says what is wrong with it."""


def to_dict(response: Message) -> dict[str, Any]:
    """The JSON object of a ``GetFlowsResponse`` (or a ``Flow``), as a dictionary."""
    made: dict[str, Any] = json_format.MessageToDict(response, preserving_proto_field_name=True)
    flow = made.get("flow", made)
    reason = flow.get("drop_reason_desc")
    if reason in _OWN_REASONS:
        flow["drop_reason_desc"] = _OWN_REASONS[reason]
    return made


def to_line(response: Message) -> str:
    """One line, without the newline."""
    return json.dumps(to_dict(response), separators=(",", ":"), ensure_ascii=False)


def from_line(line: str, response: M) -> M:
    """Read a line into `response`, an empty ``observer_pb2.GetFlowsResponse()``.

    Lines of a real cluster have fields that fqdnlab knows nothing of; they are skipped.  So is the
    older form, a bare flow without ``{"flow": ...}``, understood.

    Returns
    -------
    Message
        `response`.

    Raises
    ------
    HubbleJsonError
        If it is no JSON object, or a field has a wrong type.
    """
    try:
        data = json.loads(line)
    except ValueError as error:
        raise HubbleJsonError(f"no JSON: {error}") from error
    if not isinstance(data, dict):
        raise HubbleJsonError("a line must be one JSON object")
    return from_dict(data, response)


def from_dict(data: dict[str, Any], response: M) -> M:
    """As `from_line`, of what `to_dict` made."""
    if "flow" not in data and ("verdict" in data or "IP" in data):
        data = {"flow": data, "node_name": data.get("node_name"), "time": data.get("time")}
    flow = data.get("flow")
    if isinstance(flow, dict) and not _readable(flow.get("extensions")):
        data = {**data, "flow": {k: v for k, v in flow.items() if k != "extensions"}}
    try:
        return json_format.ParseDict(data, response, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise HubbleJsonError(str(error)) from error


def _readable(extensions: Any) -> bool:
    """Whether it is the kind that fqdnlab writes; others name types that we do not have."""
    kind = extensions.get("@type", "") if isinstance(extensions, dict) else ""
    return str(kind).endswith(f"/{_STRUCT}")
