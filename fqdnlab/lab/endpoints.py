"""The part of `Lab` that makes endpoints: network namespaces on its nodes, or whole machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fqdnlab.errors import UsageError
from fqdnlab.lab.calls import Peer
from fqdnlab.lab.endpoint import Endpoint
from fqdnlab.paths import check_lab_name
from fqdnlab.pb import control_pb2 as pb

if TYPE_CHECKING:
    from fqdnlab.lab.backends import Backend
    from fqdnlab.lab.node import Node
    from fqdnlab.lab.reach import Reach
    from fqdnlab.world.client import World

__all__ = ["Endpoints"]


class Endpoints:
    """Endpoints made, listed, removed."""

    if TYPE_CHECKING:
        name: str
        nodes: dict[str, Node]
        backend: Backend
        world: World
        _reach: Reach

        def node(self, name: str | None = None) -> Node: ...

    def endpoint(
        self,
        name: str,
        labels: dict[str, str] | None = None,
        namespace: str = "default",
        node: str | None = None,
        machine: str = "",
    ) -> Endpoint:
        """The endpoint of that name, made if it is not there.

        Parameters
        ----------
        name : str
            One in the lab, whatever its node.
        labels : dict of str to str, optional
        namespace : str
        node : str, optional
            Where it is to be; none: on the first node.
        machine : str
            A whole machine is to be the endpoint, as ``client``: all that it sends goes through
            the node, but for what its own networks (ssh) and its peers have.  It is in one lab at
            a time, till the endpoint is deleted, the lab is down or the machine is started anew;
            then the same call has it join again.  Empty: a network namespace on the node.

        Raises
        ------
        UsageError
            If there is one with other labels, in another namespace, on another node or machine;
            with `machine`, if the backend has none of that name.
        ConflictError
            If the machine is in another lab; it says which.
        """
        check_lab_name(name)
        wanted = self.node(node or next(iter(self.nodes)))
        for known in self.endpoints():
            if known.name == name:
                self._check_same(known, labels, namespace, node, machine)
                if machine:
                    self._join(known.message)
                return known
        message = pb.Endpoint(name=name, namespace=namespace, labels=labels or {}, machine=machine)
        if machine:
            message.machine_address = self.backend.machine_address(machine)
        made = wanted.create_endpoint(message)
        if machine:
            try:
                self._join(made)
            except BaseException:
                wanted.delete_endpoint(name)
                raise
        return Endpoint(self, wanted, made)

    def _check_same(
        self,
        known: Endpoint,
        labels: dict[str, str] | None,
        namespace: str,
        node: str | None,
        machine: str,
    ) -> None:
        wanted = (namespace, node or known.node, machine or known.machine)
        other = wanted != (known.namespace, known.node, known.machine)
        if other or (labels is not None and known.labels != labels):
            where = f", on {known.node}" if len(self.nodes) > 1 else ""
            where += f", the machine {known.machine}" if known.machine else ""
            raise UsageError(
                f"endpoint {known.name!r} is there, as {known.namespace} {known.labels}{where}",
                "delete it first, or take another name",
            )

    def _join(self, message: pb.Endpoint) -> None:
        self.backend.join(self.name, message, self.world.ca_pem().decode("ascii"))

    def endpoints(self) -> list[Endpoint]:
        """All endpoints, node by node."""
        nodes = self.nodes.values()
        return [Endpoint(self, node, found) for node in nodes for found in node.endpoints()]

    def delete_endpoint(self, name: str) -> None:
        """Remove an endpoint; a machine is what it was before."""
        found = next((e for e in self.endpoints() if e.name == name), None)
        node = next(iter(self.nodes.values())) if found is None else self.nodes[found.node]
        node.delete_endpoint(name)  # where there is none, it says so
        if found is not None and found.machine:
            self.backend.leave(self.name, found.machine)

    def peer_of(self, endpoint: Endpoint) -> Peer:
        """The node service that runs the endpoint's commands: its machine's, where it is one."""
        if endpoint.machine:
            return self._reach.machine(endpoint.machine)
        return self.nodes[endpoint.node].peer
