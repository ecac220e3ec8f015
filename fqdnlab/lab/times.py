"""Wall times of a node's clock, as the client's clock would have told them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import observer_pb2

__all__ = ["earlier", "flow_earlier", "request_later"]

_NANOS = 1_000_000_000


def earlier(reply: Any, ahead: float) -> Any:
    """A reply's wall times less `ahead` seconds, in place; times that are not set stay so."""
    change = _CHANGES.get(type(reply))
    if ahead and change is not None:
        change(reply, ahead)
    return reply


def flow_earlier(response: observer_pb2.GetFlowsResponse, ahead: float) -> None:
    """The same for what an observer sends."""
    if ahead:
        _shift(response.time, -ahead)
        if response.HasField("flow"):
            _shift(response.flow.time, -ahead)
        elif response.HasField("lost_events"):
            for moment in (response.lost_events.first, response.lost_events.last):
                _shift(moment, -ahead)


def request_later(
    request: observer_pb2.GetFlowsRequest, ahead: float
) -> observer_pb2.GetFlowsRequest:
    """A request in the node's time."""
    asked = observer_pb2.GetFlowsRequest()
    asked.CopyFrom(request)
    for edge in ("since", "until"):
        if ahead and asked.HasField(edge):
            _shift(getattr(asked, edge), ahead)
    return asked


def _shift(moment: Any, seconds: float) -> None:
    """Whole nanoseconds: a float of Unix seconds has microseconds at best."""
    total = moment.seconds * _NANOS + moment.nanos
    if total:
        moment.seconds, moment.nanos = divmod(max(0, total + round(seconds * _NANOS)), _NANOS)


def _status(reply: pb.NodeStatus, ahead: float) -> None:
    reply.started -= ahead if reply.started else 0.0
    for process in reply.process:
        process.since -= ahead if process.since else 0.0


def _fault(reply: pb.FaultReply, ahead: float) -> None:
    reply.process.since -= ahead if reply.process.since else 0.0


def _faults(reply: pb.ListFaultsReply, ahead: float) -> None:
    for fault in reply.fault:
        fault.time -= ahead


def _mappings(reply: pb.ListMappingsReply, ahead: float) -> None:
    for mapping in reply.mapping:
        _mapping(mapping, ahead)


def _mapping(mapping: pb.MappingRecord, ahead: float) -> None:
    mapping.lookup_time -= ahead if mapping.lookup_time else 0.0
    mapping.expiration_time -= ahead if mapping.expiration_time else 0.0


def _evidence(reply: pb.EvidenceReply, ahead: float) -> None:
    reply.time -= ahead
    for mapping in (*reply.mapping, *reply.kept):
        _mapping(mapping, ahead)


_CHANGES: dict[type, Callable[[Any, float], None]] = {
    pb.NodeStatus: _status,
    pb.FaultReply: _fault,
    pb.ListFaultsReply: _faults,
    pb.ListMappingsReply: _mappings,
    pb.EvidenceReply: _evidence,
}
