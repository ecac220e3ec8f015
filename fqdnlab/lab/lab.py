"""`Lab`: one lab, from outside.  A client of the lab's services; all it does, they do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pandas as pd

from fqdnlab.errors import PolicyError, UsageError
from fqdnlab.lab import tables
from fqdnlab.lab.applied import Applied
from fqdnlab.lab.calls import Peer, error_from
from fqdnlab.lab.data import Measures
from fqdnlab.lab.endpoint import Endpoint
from fqdnlab.lab.explain import Explains
from fqdnlab.lab.insides import Insides
from fqdnlab.lab.interrupts import uninterrupted
from fqdnlab.lab.machine import MachineClient
from fqdnlab.lab.process import Process
from fqdnlab.lab.shows import Shows
from fqdnlab.model import hubble_json
from fqdnlab.model.flows import Table
from fqdnlab.model.settings import LabSettings
from fqdnlab.observer.client import FlowTail, read_flows
from fqdnlab.paths import LabPaths, check_lab_name
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc, observer_pb2
from fqdnlab.world.client import World

__all__ = ["Lab", "Node"]


class Node:
    """One node of a lab: its processes."""

    def __init__(self, peer: Peer) -> None:
        self.agent = Process(peer, "agent")
        self.proxy = Process(peer, "proxy")
        self.observer = Process(peer, "observer")


class Lab(Explains, Insides, Measures, Shows):
    """A living lab of that name, or a new one.

    Parameters
    ----------
    name : str
        At most 24 lower-case letters, digits and inner hyphens.
    **settings
        As in `fqdnlab.model.settings.LabSettings`.

    Raises
    ------
    SetupError
        If the machine's root service does not run; it says the line that starts it.
    ConflictError
        If a lab of that name lives with other settings; it says which.

    Examples
    --------
    >>> with Lab("intro") as lab:                                   # doctest: +SKIP
    ...     web = lab.endpoint("web", labels={"app": "web"})
    ...     lab.world["api.example.com"] = ["198.51.100.7"]
    ...     web.connect("api.example.com", 443)
    """

    def __init__(self, name: str = "lab", **settings: Any) -> None:
        self.name = check_lab_name(name)
        try:
            self.settings = LabSettings.from_dict(settings)
        except ValueError as error:
            raise UsageError(str(error)) from error
        self._machine = MachineClient()
        self.made = False
        try:
            with uninterrupted():
                self.made = self._machine.up(name, settings)
                self._open()
        except KeyboardInterrupt:
            if self.made:
                self.down()
            raise

    @classmethod
    def attach(cls, name: str) -> Lab:
        """A living lab, whatever its settings.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        lab = cls.__new__(cls)
        lab.name = check_lab_name(name)
        lab._machine = MachineClient()
        lab.made = False
        if not LabPaths(name).node_socket.exists():
            raise UsageError(f"there is no lab {name!r}", f"make it: fqdnlab up {name}")
        lab._open()
        lab.settings = LabSettings.from_json(lab.status().settings)
        return lab

    def _open(self) -> None:
        paths = LabPaths(self.name)
        self.node_peer = Peer(
            paths.node_socket,
            "the node service",
            f"fqdnlab down {self.name}; fqdnlab up {self.name}",
        )
        self._agent_peer = Peer(paths.agent_socket, "the agent", "lab.agent.restart()")
        self._observer_peer = Peer(paths.observer_socket, "the observer", "lab.observer.restart()")
        self._node = control_pb2_grpc.NodeStub(self.node_peer.channel)
        self._agent = control_pb2_grpc.AgentStub(self._agent_peer.channel)
        self._tail = FlowTail(self._observer_peer.channel)
        self._table = Table()
        self.world = World(paths.world_socket)
        self.recorders = []
        self.nodes = {"node": Node(self.node_peer)}

    # ------------------------------------------------------------ life

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        if self.made:
            self.down()
        else:
            self.close()

    def close(self) -> None:
        """Let go of the lab; it goes on, and what was recorded of it is closed."""
        self.stop_recorders()
        self.world.close()
        for peer in (self.node_peer, self._agent_peer, self._observer_peer):
            peer.close()

    def down(self) -> None:
        """Take the lab down: nothing of it is left."""
        with uninterrupted():
            self.close()
            self._machine.down(self.name)

    def status(self) -> pb.NodeStatus:
        """Processes, endpoints, settings, where metrics are."""
        found: pb.NodeStatus = self.node_peer.call(self._node.Status, pb.NodeStatusRequest())
        return found

    def _only(self) -> Node:
        if len(self.nodes) != 1:
            raise UsageError(
                f"the lab has {len(self.nodes)} nodes: {', '.join(self.nodes)}",
                'say which: lab.nodes["node"].agent',
            )
        return next(iter(self.nodes.values()))

    @property
    def agent(self) -> Process:
        """The only node's agent."""
        return self._only().agent

    @property
    def proxy(self) -> Process:
        """The only node's DNS proxy."""
        return self._only().proxy

    @property
    def observer(self) -> Process:
        """The only node's observer."""
        return self._only().observer

    # ------------------------------------------------------------ endpoints

    def endpoint(
        self, name: str, labels: dict[str, str] | None = None, namespace: str = "default"
    ) -> Endpoint:
        """The endpoint of that name, made if it is not there.

        Raises
        ------
        UsageError
            If there is one with other labels or in another namespace.
        """
        check_lab_name(name)
        for known in self.endpoints():
            if known.name == name:
                if (labels is not None and known.labels != labels) or known.namespace != namespace:
                    raise UsageError(
                        f"endpoint {name!r} is there, as {known.namespace} {known.labels}",
                        "delete it first, or take another name",
                    )
                return known
        message = pb.Endpoint(name=name, namespace=namespace, labels=labels or {})
        return Endpoint(self, self.node_peer.call(self._node.CreateEndpoint, message, 30.0))

    def endpoints(self) -> list[Endpoint]:
        """All endpoints."""
        found = self.node_peer.call(self._node.ListEndpoints, pb.ListEndpointsRequest())
        return [Endpoint(self, e) for e in found.endpoint]

    def delete_endpoint(self, name: str) -> None:
        """Remove an endpoint."""
        self.node_peer.call(self._node.DeleteEndpoint, pb.Endpoint(name=name), 30.0)

    # ------------------------------------------------------------ policies

    def apply(self, policy: str | Path, timeout: float = 5.0) -> Applied:
        """Apply the policies of a file, or of a text that is YAML (ways 1.1 and 1.9).

        Parameters
        ----------
        policy : str or Path
            A path, or the YAML itself (it has a line break).
        timeout : float
            Seconds to wait for the proxy's acknowledgement; `late` names who gave none.

        Raises
        ------
        PolicyError
            If a document is invalid: nothing was changed.
        UnavailableError
            If the agent is dead: nothing was changed.
        """
        file, text = _policy_text(policy)
        request = pb.ApplyPolicyRequest(yaml=text, file=file, timeout=timeout)
        reply: pb.ApplyPolicyReply = self._agent_peer.call(
            self._agent.ApplyPolicy, request, timeout + 10
        )
        if not reply.accepted:
            places = tuple((f.path, f.line, f.message) for f in reply.faults)
            raise PolicyError(reply.note or "the policy is invalid", "nothing was changed", places)
        return Applied.of(reply)

    def delete_policy(self, name: str, namespace: str = "", kind: str = "") -> None:
        """Withdraw a policy."""
        request = pb.DeletePolicyRequest(name=name, namespace=namespace, kind=kind)
        self._agent_peer.call(self._agent.DeletePolicy, request, 15.0)

    def policy_statuses(self) -> list[pb.PolicyStatus]:
        """Each policy with all there is to say of it."""
        reply = self._agent_peer.call(self._agent.ListPolicies, pb.ListPoliciesRequest())
        return list(reply.policies)

    def policies(self) -> pd.DataFrame:
        """One row a policy."""
        return tables.policies(self.policy_statuses())

    # ------------------------------------------------------------ tables

    def _read(self) -> None:
        try:
            self._table.add(r.flow for r in self._tail.fresh(settled=True) if r.HasField("flow"))
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE and self._observer_peer.listens():
                try:  # a new observer; the channel is still about to connect
                    grpc.channel_ready_future(self._observer_peer.channel).result(5.0)
                    self._table.add(r.flow for r in self._tail.fresh() if r.HasField("flow"))
                    return
                except (grpc.RpcError, grpc.FutureTimeoutError):
                    pass
            raise error_from(error, "the observer", "lab.observer.restart()") from error

    def flows(self) -> pd.DataFrame:
        """Every packet flow and DNS record seen, oldest first.

        Raises
        ------
        UnavailableError
            If the observer is dead.
        """
        self._read()
        return tables.flows(self._table.rows())

    def queries(self) -> pd.DataFrame:
        """Every question that the proxy saw."""
        self._read()
        return tables.queries(self._table.queries())

    def flow_lines(self, request: observer_pb2.GetFlowsRequest | None = None) -> Iterator[str]:
        """Flows as Hubble's JSON, a line each.

        Parameters
        ----------
        request : GetFlowsRequest, optional
            As Hubble's; none: all there are.
        """
        asked = request or observer_pb2.GetFlowsRequest()
        try:
            for response in read_flows(self._observer_peer.channel, asked):
                yield hubble_json.to_line(response)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                raise error_from(error, "the observer", "lab.observer.restart()") from error

    def faults(self) -> pd.DataFrame:
        """Every fault that was delivered to a process."""
        return tables.faults(self.fault_records())

    def __repr__(self) -> str:
        return f"<Lab {self.name}>"


def _policy_text(policy: str | Path) -> tuple[str, str]:
    if isinstance(policy, str) and "\n" in policy:
        return "<text>", policy
    path = Path(policy)
    try:
        return str(path), path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the policy {path}: {error}") from error
