"""The way to one lab's services, held as long as somebody uses it."""

from __future__ import annotations

import threading
from functools import partial

from fqdnlab.lab.backends import Backend, backend_of
from fqdnlab.lab.calls import Peer
from fqdnlab.patience import patiently
from fqdnlab.world.client import World

__all__ = ["Reach"]

_WORLD_SECONDS = 10.0


class Reach:
    """Makes clients of a lab's services; the backend keeps their sockets until `close`.

    Parameters
    ----------
    lab : str
    backend : Backend, optional
        None: the one by which this process reached that lab last.
    """

    def __init__(self, lab: str, backend: Backend | None = None) -> None:
        self.lab = lab
        self.backend = backend or backend_of(lab)
        self.backend.hold(lab)
        self._held = True
        self._lock = threading.Lock()
        self._machines: dict[str, Peer] = {}

    @property
    def nodes(self) -> tuple[str, ...]:
        """The lab's nodes, the first one first."""
        return self.backend.node_names()

    def peer(self, service: str, node: str = "") -> Peer:
        """A service of a node.

        Parameters
        ----------
        service : {"node", "agent", "observer"}
            ``node`` is the node service.
        node : str
            Empty: the first one.
        """
        several = len(self.nodes) > 1
        node = node or self.nodes[0]
        where = self.backend.sockets(self.lab, node)
        handle = f'lab.nodes["{node}"]' if several else "lab"
        who = "the node service" if service == "node" else f"the {service}"
        remedy = f"{handle}.{service}.restart()"
        if service == "node":
            remedy = f"fqdnlab down {self.lab}; fqdnlab up {self.lab}"
        return Peer(
            getattr(where, service),
            f"{who} of {node}" if several else who,
            remedy,
            where.link,
            partial(self.backend.offset, node),
        )

    def machine(self, name: str) -> Peer:
        """The node service of a machine that is an endpoint; one, closed with the rest."""
        with self._lock:
            if name not in self._machines:
                self._machines[name] = Peer(
                    self.backend.machine_socket(self.lab, name),
                    f"the node service of {name}",
                    f'once more: lab.endpoint(…, machine="{name}")',
                    self.backend.machine_link,
                    partial(self.backend.offset, name),
                )
            return self._machines[name]

    def world(self, timeout: float = _WORLD_SECONDS) -> World:
        """The lab's world, with a time-out (on a machine of our own) for each call."""
        where = self.backend.world_socket(self.lab)
        return World(where, patiently(timeout), self.backend.world_link)

    def exists(self) -> bool:
        """Whether there is (still) a lab of that name."""
        return self.backend.exists(self.lab)

    def close(self) -> None:
        """Let go.  Idempotent."""
        with self._lock:
            for peer in self._machines.values():
                peer.close()
            self._machines.clear()
            if self._held:
                self._held = False
                self.backend.release(self.lab)
