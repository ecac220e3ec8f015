"""A node's flows, each read once, in the client's time and under the node's name."""

from __future__ import annotations

from collections.abc import Iterator

from fqdnlab.lab.calls import Peer
from fqdnlab.lab.times import flow_earlier
from fqdnlab.observer.client import FlowTail, read_flows
from fqdnlab.patience import patiently
from fqdnlab.pb import observer_pb2

__all__ = ["Tail", "flows_of"]

_SECONDS = 10.0


def _told(
    responses: Iterator[observer_pb2.GetFlowsResponse], observer: Peer, node: str
) -> Iterator[observer_pb2.GetFlowsResponse]:
    ahead = observer.ahead()
    for response in responses:
        flow_earlier(response, ahead)
        if node:
            response.node_name = node
            if response.HasField("flow"):
                response.flow.node_name = node
        yield response


class Tail:
    """As `fqdnlab.observer.client.FlowTail`.

    Parameters
    ----------
    observer : Peer
    node : str
        The name that flows get; empty: the observer's own.
    last : int, optional
        The first time, only about the last so many.
    """

    def __init__(self, observer: Peer, node: str = "", last: int | None = None) -> None:
        self._observer = observer
        self._node = node
        self._tail = FlowTail(observer.channel, last)

    def fresh(
        self, timeout: float = _SECONDS, settled: bool = False
    ) -> Iterator[observer_pb2.GetFlowsResponse]:
        """What came since the last call.  Raises grpc.RpcError; calling again later is fine.
        UsageError once the observer was closed."""
        self._observer.held()
        fresh = self._tail.fresh(patiently(timeout), settled)
        return _told(fresh, self._observer, self._node)


def flows_of(
    observer: Peer, node: str, request: observer_pb2.GetFlowsRequest, timeout: float | None = None
) -> Iterator[observer_pb2.GetFlowsResponse]:
    """As `fqdnlab.observer.client.read_flows`."""
    seconds = None if timeout is None else patiently(timeout)
    return _told(read_flows(observer.channel, request, seconds), observer, node)
