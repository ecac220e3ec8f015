"""What a failing test shows of the labs that live: their agents' last events."""

from __future__ import annotations

import json
import re
from pathlib import Path

import grpc

from fqdnlab.agent.recorder import in_words
from fqdnlab.paths import RUN
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc

__all__ = ["flight_records"]

_DUMPS = Path(__file__).parents[1] / "build" / "dumps"
_LAST = 25


def flight_records(test: str) -> list[tuple[str, str]]:
    """For each agent that answers: a title, and its last events, a line each.

    The whole dumps are written to build/dumps, for `fqdnlab.agent.recorder.replay`.
    """
    return [
        (f"flight recorder of lab {path.parent.name}", _told(test, path))
        for path in sorted(RUN.glob("*/agent.sock"))
    ]


def _told(test: str, path: Path) -> str:
    try:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            reply = control_pb2_grpc.AgentStub(channel).Dump(pb.DumpRequest(), timeout=2)
    except grpc.RpcError as error:
        return f"the agent does not answer: {error.code().name}"
    _DUMPS.mkdir(parents=True, exist_ok=True)
    file = _DUMPS / f"{re.sub(r'[^-.a-zA-Z0-9_]', '_', test)[:80]}-{path.parent.name}.json"
    file.write_text(reply.json)
    events = json.loads(reply.json)["events"]
    return "\n".join([f"whole dump: {file}", *map(in_words, events[-_LAST:])])
