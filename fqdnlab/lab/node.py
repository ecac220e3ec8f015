"""One node of a lab: its processes, its machine, and what its services tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc

from fqdnlab.lab.process import Process
from fqdnlab.lab.reach import Reach
from fqdnlab.lab.tail import Tail, flows_of
from fqdnlab.lab.times import request_later
from fqdnlab.lab.vm import Vm
from fqdnlab.model.flows import Table
from fqdnlab.patience import patiently
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc, observer_pb2

__all__ = ["Node"]


class Node:
    """One node, made by `Lab`; `Lab.nodes` has all.  Times that it tells are the client's.

    Attributes
    ----------
    name : str
    agent, proxy, observer : Process
    vm : Vm
        Its machine, where the backend has machines of its own.

    Raises
    ------
    UnavailableError, LateError
        Each method, if the service that it asks is dead, unreachable or hangs; it names the node
        where there are several.
    """

    def __init__(self, reach: Reach, name: str) -> None:
        self.name = name
        self.peer = reach.peer("node", name)
        self.agent_peer = reach.peer("agent", name)
        self.observer_peer = reach.peer("observer", name)
        self.stub = control_pb2_grpc.NodeStub(self.peer.channel)
        self.agent_stub = control_pb2_grpc.AgentStub(self.agent_peer.channel)
        self.agent = Process(self.peer, "agent")
        self.proxy = Process(self.peer, "proxy")
        self.observer = Process(self.peer, "observer")
        self.vm = Vm(reach.backend, name)
        self._told_as = name if len(reach.nodes) > 1 else ""
        self._tail = self.tail()
        self.table = Table()

    def close(self) -> None:
        """Let go of its services."""
        for peer in (self.peer, self.agent_peer, self.observer_peer):
            peer.close()

    def __repr__(self) -> str:
        return f"<Node {self.name}>"

    # ------------------------------------------------------------ the node service

    def status(self) -> pb.NodeStatus:
        """Processes, endpoints, settings, where metrics are."""
        found: pb.NodeStatus = self.peer.call(self.stub.Status, pb.NodeStatusRequest())
        return found

    def evidence(self) -> pb.EvidenceReply:
        """The kernel's maps, and what agent and proxy saved last: read with either of them dead."""
        found: pb.EvidenceReply = self.peer.call(self.stub.Evidence, pb.EvidenceRequest())
        return found

    def metrics(self) -> pb.MetricsReply:
        """What each process says, in Prometheus' text."""
        found: pb.MetricsReply = self.peer.call(self.stub.Metrics, pb.MetricsRequest())
        return found

    def faults(self) -> list[pb.FaultRecord]:
        """Every fault that was delivered to one of its processes, oldest first."""
        return list(self.peer.call(self.stub.ListFaults, pb.ListFaultsRequest()).fault)

    def create_endpoint(self, message: pb.Endpoint) -> pb.Endpoint:
        """Make an endpoint: its name, namespace and labels."""
        found: pb.Endpoint = self.peer.call(self.stub.CreateEndpoint, message, 30.0)
        return found

    def endpoints(self) -> list[pb.Endpoint]:
        """All its endpoints."""
        return list(self.peer.call(self.stub.ListEndpoints, pb.ListEndpointsRequest()).endpoint)

    def delete_endpoint(self, name: str) -> None:
        """Remove an endpoint."""
        self.peer.call(self.stub.DeleteEndpoint, pb.Endpoint(name=name), 30.0)

    # ------------------------------------------------------------ the agent

    def agent_status(self) -> pb.AgentStatus:
        """Revision, numbers of entries, attachment, the proxy's acknowledgement, warnings."""
        found: pb.AgentStatus = self.agent_peer.call(
            self.agent_stub.Status, pb.AgentStatusRequest()
        )
        return found

    def set_time_scale(self, scale: float, timeout: float) -> list[str]:
        """Lab time on this node alone; `Lab.set_time_scale` tells all.  Proxies that are late."""
        request = pb.SetTimeRequest(time_scale=scale, timeout=patiently(timeout))
        reply = self.agent_peer.call(self.agent_stub.SetTime, request, 2 * timeout + 10)
        return list(reply.late)

    def apply(self, text: str, file: str, timeout: float) -> pb.ApplyPolicyReply:
        """Policies of a text, told to this node alone; `Lab.apply` tells all."""
        request = pb.ApplyPolicyRequest(yaml=text, file=file, timeout=patiently(timeout))
        found: pb.ApplyPolicyReply = self.agent_peer.call(
            self.agent_stub.ApplyPolicy, request, timeout + 10
        )
        return found

    def delete_policy(self, name: str, namespace: str = "", kind: str = "") -> None:
        """Withdraw a policy from this node alone; `Lab.delete_policy` from all."""
        request = pb.DeletePolicyRequest(name=name, namespace=namespace, kind=kind)
        self.agent_peer.call(self.agent_stub.DeletePolicy, request, 15.0)

    def policy_statuses(self) -> list[pb.PolicyStatus]:
        """Each policy with all there is to say of it here."""
        reply = self.agent_peer.call(self.agent_stub.ListPolicies, pb.ListPoliciesRequest())
        return list(reply.policies)

    def mappings(self) -> list[pb.MappingRecord]:
        """Every (endpoint, name, address)."""
        reply = self.agent_peer.call(self.agent_stub.ListMappings, pb.ListMappingsRequest())
        return list(reply.mapping)

    def identities(self) -> list[pb.IdentityRecord]:
        """Identities."""
        reply = self.agent_peer.call(self.agent_stub.ListIdentities, pb.ListIdentitiesRequest())
        return list(reply.identity)

    def maps(self, *names: str) -> list[pb.MapEntry]:
        """Entries of the kernel's maps, as they are now."""
        return list(
            self.agent_peer.call(self.agent_stub.ListMaps, pb.ListMapsRequest(map=names)).entry
        )

    def collect(self) -> pb.CollectReply:
        """A collection pass now."""
        found: pb.CollectReply = self.agent_peer.call(self.agent_stub.Collect, pb.CollectRequest())
        return found

    def dump(self) -> dict[str, Any]:
        """The agent's flight recorder: its last events and operations (`agent.recorder`)."""
        reply = self.agent_peer.call(self.agent_stub.Dump, pb.DumpRequest(), 30.0)
        found: dict[str, Any] = json.loads(reply.json)
        return found

    # ------------------------------------------------------------ the observer

    def read(self) -> None:
        """Have what the observer has seen in `table`."""
        try:
            self._take(settled=True)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE and self.observer_peer.listens():
                try:  # a new observer; the channel is still about to connect
                    ready = grpc.channel_ready_future(self.observer_peer.channel)
                    ready.result(patiently(5.0))
                    self._take()
                    return
                except (grpc.RpcError, grpc.FutureTimeoutError):
                    pass
            raise self.observer_peer.error(error) from error

    def _take(self, settled: bool = False) -> None:
        fresh = self._tail.fresh(settled=settled)
        self.table.add(r.flow for r in fresh if r.HasField("flow"))

    def tail(self, last: int | None = None) -> Tail:
        """A reader of its own pace, as `fqdnlab.lab.tail.Tail`."""
        return Tail(self.observer_peer, self._told_as, last)

    def flows(
        self, request: observer_pb2.GetFlowsRequest, timeout: float | None = None
    ) -> Iterator[observer_pb2.GetFlowsResponse]:
        """What the observer has on that request."""
        asked = request_later(request, self.observer_peer.ahead())
        try:
            yield from flows_of(self.observer_peer, self._told_as, asked, timeout)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                raise self.observer_peer.error(error) from error
