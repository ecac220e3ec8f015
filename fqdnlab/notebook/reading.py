"""Asking a lab's services what there is: thin, each call with a short deadline of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fqdnlab.errors import FqdnlabError
from fqdnlab.lab.reach import Reach
from fqdnlab.lab.tail import Tail
from fqdnlab.notebook.life import Held
from fqdnlab.notebook.seen import Fault, Numbers, Proc, WorldName
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc

__all__ = ["FlowReader", "StateReader", "processes_from", "settings_of"]

_SECONDS = 1.0
_FIRST_FLOWS = 3000  # what a new reader begins with: the rest is in the DataFrame


class StateReader:
    """Everything but flows.

    Parameters
    ----------
    lab : str
    node : str
        Whose.
    """

    def __init__(self, lab: str, node: str) -> None:
        self._reach = Reach(lab)
        self._name = node
        self.has_machine = self._reach.backend.has_machines
        self._node_peer = self._reach.peer("node", node)
        self._agent_peer = self._reach.peer("agent", node)
        self._node = control_pb2_grpc.NodeStub(self._node_peer.channel)
        self._agent = control_pb2_grpc.AgentStub(self._agent_peer.channel)
        self._world = self._reach.world(_SECONDS)

    def is_down(self) -> bool:
        """Whether nothing of the lab is left; a node service that was killed leaves its socket."""
        try:
            return not self._reach.exists()
        except FqdnlabError:  # the backend cannot tell now
            return False

    def status(self) -> pb.NodeStatus:
        """Processes, endpoints, settings.  Raises UnavailableError."""
        found: pb.NodeStatus = self._node_peer.call(
            self._node.Status, pb.NodeStatusRequest(), _SECONDS
        )
        if all(p.name != "world" for p in found.process):  # on a machine of its own, it is asked
            found.process.add(name="world", state="running")
        return found

    def faults(self) -> tuple[Fault, ...]:
        """Faults that were delivered to processes, oldest first.  Raises UnavailableError."""
        reply = self._node_peer.call(self._node.ListFaults, pb.ListFaultsRequest(), _SECONDS)
        return _plain(reply.fault)

    def machine_faults(self) -> tuple[Fault, ...]:
        """What this process did to the node's machine and its link, oldest first."""
        return _plain(f for f in self._reach.backend.noted if f.note == self._name)

    def machine_answers(self) -> None:
        """It goes on, whoever had it do so."""
        self._reach.backend.note_back(self._name, "vm")

    def numbers(self) -> Numbers | None:
        """What the agent says that the kernel holds; None if it does not answer."""
        try:
            found = self._agent_peer.call(self._agent.Status, pb.AgentStatusRequest(), _SECONDS)
        except FqdnlabError:
            return None
        return Numbers(
            found.mappings,
            found.zombies,
            found.policy_entries,
            found.identities,
            found.policy_revision,
            found.proxy_acked_revision,
            found.attach,
            tuple(found.warnings),
            found.time_scale,
        )

    def mappings(self) -> list[Held] | None:
        """What the agent lists; None if it does not answer."""
        try:
            reply = self._agent_peer.call(
                self._agent.ListMappings, pb.ListMappingsRequest(), _SECONDS
            )
        except FqdnlabError:
            return None
        return [
            Held(m.fqdn.rstrip("."), m.ip, m.state, m.lookup_time, m.identity)
            for m in reply.mapping
        ]

    def policies(self) -> tuple[int, int, int] | None:
        """How many there are, how many are not enforced, how many endpoints the others select.

        None if the agent does not answer.
        """
        try:
            reply = self._agent_peer.call(
                self._agent.ListPolicies, pb.ListPoliciesRequest(), _SECONDS
            )
        except FqdnlabError:
            return None
        enforced = [p for p in reply.policies if p.enforced]
        selected = {name for p in enforced for name in p.endpoints}
        return len(reply.policies), len(reply.policies) - len(enforced), len(selected)

    def world(self) -> tuple[WorldName, ...] | None:
        """Names and their addresses; None if the world does not answer."""
        try:
            records = self._world.records()
        except FqdnlabError:
            return None
        found: dict[str, tuple[int, list[str]]] = {}
        for record in records:
            if record.type in ("A", "AAAA", "CNAME") and not record.server:
                _, values = found.setdefault(record.name, (record.ttl, []))
                values.extend(record.values)
        return tuple(WorldName(name, ttl, tuple(v)) for name, (ttl, v) in found.items())

    def close(self) -> None:
        """Let go of the services."""
        self._world.close()
        self._node_peer.close()
        self._agent_peer.close()
        self._reach.close()


def _plain(records: Iterable[pb.FaultRecord]) -> tuple[Fault, ...]:
    return tuple(Fault(f.time, f.process, f.action, f.pid, f.generation, f.note) for f in records)


def processes_from(status: pb.NodeStatus, before: dict[str, Proc]) -> dict[str, Proc]:
    """Processes by name; a dead one keeps the pid that it had."""
    found: dict[str, Proc] = {}
    draining: dict[str, list[tuple[int, int]]] = {}
    for p in status.process:
        if p.state == "draining":
            draining.setdefault(p.name, []).append((p.generation, p.pid))
            continue
        last = before[p.name].pid if p.name in before else 0
        found[p.name] = Proc(
            p.name,
            p.state,
            p.pid or last,
            p.generation,
            p.since,
            p.restarts,
            p.last_exit,
        )
    return {
        name: Proc(**{**vars(one), "draining": tuple(draining.get(name, ()))})
        for name, one in found.items()
    }


def settings_of(status: pb.NodeStatus) -> tuple[float, float]:
    """`time_scale` and `hold`."""
    given = json.loads(status.settings or "{}")
    return float(given.get("time_scale", 1.0)), float(given.get("hold", 0.1))


class FlowReader:
    """Flows as they come; each once.

    Parameters
    ----------
    lab : str
    node : str
        Whose.
    """

    def __init__(self, lab: str, node: str) -> None:
        self._reach = Reach(lab)
        self._peer = self._reach.peer("observer", node)
        self._tail = Tail(self._peer, last=_FIRST_FLOWS)
        self.lost = 0

    def fresh(self) -> Iterable[Any]:
        """Flows since the last call.  Raises grpc.RpcError if the observer does not answer."""
        for response in self._tail.fresh(_SECONDS * 3):
            if response.HasField("lost_events"):
                self.lost += response.lost_events.num_events_lost
            elif response.HasField("flow"):
                yield response.flow

    def close(self) -> None:
        """Let go of the observer."""
        self._peer.close()
        self._reach.close()
