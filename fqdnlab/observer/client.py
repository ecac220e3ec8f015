"""Reading an observer: for the lab's client and the tests.  Imports nothing of the observer."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from fqdnlab.pb import flows_pb2_grpc, observer_pb2

__all__ = ["read_flows"]


def read_flows(
    channel: grpc.Channel,
    request: observer_pb2.GetFlowsRequest,
    timeout: float | None = None,
) -> Iterator[observer_pb2.GetFlowsResponse]:
    """What ``observer.Observer/GetFlows`` would stream, twenty times as fast.

    Parameters
    ----------
    channel : grpc.Channel
        To ``LabPaths.observer_socket``.
    request : GetFlowsRequest
        As Hubble's.
    timeout : float, optional
        Seconds; none for a request that follows.

    Raises
    ------
    grpc.RpcError
        UNAVAILABLE if the observer is dead, INVALID_ARGUMENT for a filter that cannot be.
    """
    for batch in flows_pb2_grpc.FlowsStub(channel).Read(request, timeout=timeout):
        yield from batch.response
