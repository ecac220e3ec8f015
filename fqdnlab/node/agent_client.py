"""The node service as a client of the agent: endpoints, before their links go up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from grpc import StatusCode

from fqdnlab.errors import UnavailableError
from fqdnlab.paths import LabPaths
from fqdnlab.patience import patiently
from fqdnlab.pb import control_pb2, control_pb2_grpc

__all__ = ["AgentClient"]

_SECONDS = 5.0


class AgentClient:
    """Calls the agent of a lab; a new connection each time, as it may be a new agent."""

    def __init__(self, paths: LabPaths) -> None:
        self._target = f"unix://{paths.agent_socket}"

    def sync(self, endpoints: Iterable[control_pb2.Endpoint]) -> list[control_pb2.Endpoint]:
        """Tell the agent all endpoints; returns them with identity and `enforced`.

        Raises
        ------
        UnavailableError
            If it is dead or does not answer in time.
        """
        told = control_pb2.EndpointList(endpoint=endpoints)
        reply: control_pb2.EndpointList = self._call("SyncEndpoints", told)
        return list(reply.endpoint)

    def put(self, endpoint: control_pb2.Endpoint) -> control_pb2.Endpoint:
        """Tell the agent one endpoint; returns once it is enforced.  Raises as `sync`."""
        reply: control_pb2.Endpoint = self._call("PutEndpoint", endpoint)
        return reply

    def remove(self, endpoint: control_pb2.Endpoint) -> None:
        """Take an endpoint from the agent.  Raises as `sync`."""
        self._call("RemoveEndpoint", endpoint)

    def _call(self, method: str, request: object) -> Any:
        with grpc.insecure_channel(self._target) as channel:
            call = getattr(control_pb2_grpc.AgentStub(channel), method)
            try:
                return call(request, timeout=patiently(_SECONDS))
            except grpc.RpcError as error:
                away = error.code() in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)
                raise UnavailableError(
                    f"the agent does not take endpoints: {error.code().name}: {error.details()}",
                    "restart the agent" if away else "a lab with larger maps has room for more",
                ) from error
