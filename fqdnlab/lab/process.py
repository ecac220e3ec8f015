"""The lab's processes as things that can fail: kill, stop, continue, restart, upgrade."""

from __future__ import annotations

from fqdnlab.lab.calls import Peer
from fqdnlab.patience import patiently
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc

__all__ = ["Process"]


class Process:
    """One process of a node, by name.

    Parameters
    ----------
    node : Peer
        The node service.
    name : str
        ``agent``, ``proxy``, ``observer`` or ``world``.
    """

    def __init__(self, node: Peer, name: str) -> None:
        self._node = node
        self._stub = control_pb2_grpc.NodeStub(node.channel)
        self.name = name

    def state(self) -> pb.ProcessState:
        """pid, state (running, stopped, dead …), generation, restarts, last_exit.

        Raises
        ------
        UnavailableError
            If the node service is dead.
        """
        status = self._node.call(self._stub.Status, pb.NodeStatusRequest())
        return next((p for p in status.process if p.name == self.name), pb.ProcessState())

    def kill(self) -> pb.ProcessState:
        """End it with SIGKILL; it stays dead until it is restarted."""
        return self._fault("kill")

    def stop(self) -> pb.ProcessState:
        """Hang it (SIGSTOP)."""
        return self._fault("stop")

    def cont(self) -> pb.ProcessState:
        """Let it go on (SIGCONT)."""
        return self._fault("continue")

    def start(self) -> pb.ProcessState:
        """Start it, if it is dead."""
        return self._fault("start")

    def restart(self) -> pb.ProcessState:
        """End it, if it lives, and start it; ready when this returns."""
        return self._fault("restart")

    def upgrade(self) -> pb.ProcessState:
        """The proxy with surge: a new generation serves before the old one goes.

        Agent and observer in place: the old one ends and says what it knew, the new one takes over;
        names resolve and packets are judged meanwhile.
        """
        return self._fault("upgrade")

    def _fault(self, action: str, timeout: float = 30.0) -> pb.ProcessState:
        request = pb.FaultRequest(process=self.name, action=action, timeout=patiently(timeout))
        reply: pb.FaultReply = self._node.call(self._stub.Fault, request, timeout + 5)
        return reply.process

    def __repr__(self) -> str:
        state = self.state()
        return f"<{self.name}: {state.state}, pid {state.pid}, generation {state.generation}>"
