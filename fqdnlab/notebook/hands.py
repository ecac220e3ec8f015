"""What panels do to a lab and ask of it beside the reader: one client of their own a lab.

The user's `Lab` may be closed while a panel is still looked at, and its tables are read by the cell
that runs: so panels never use it.  Everything here waits, and is called on threads that may.
"""

from __future__ import annotations

import atexit
import threading
import time
from typing import Any

from fqdnlab.errors import FqdnlabError, UsageError
from fqdnlab.explain import Facts
from fqdnlab.explain.gather import facts_of_lab
from fqdnlab.lab import Endpoint, Lab
from fqdnlab.lab.backends import backend_of
from fqdnlab.lab.node import Node
from fqdnlab.model.flows import queries, rows
from fqdnlab.pb import flow_pb2, observer_pb2

__all__ = ["Hands", "hands"]

_QUERIES = 1000  # that explanations look back on
_DNS = 129  # Hubble's event type of layer 7
_SECONDS = 3.0
_NEAR_NS = 2_000_000  # a view has microseconds; some thousand flows a second are a handful


class Hands:
    """Acts on one lab; safe in threads.  Made by `hands`.

    Parameters
    ----------
    name : str
    node : str
        The one that is asked.
    """

    def __init__(self, name: str, node: str) -> None:
        self.name, self.node = name, node
        self._lock = threading.Lock()
        self._lab: Lab | None = None
        self._facts: Facts | None = None
        self._endpoints: tuple[Endpoint, ...] = ()
        self._asked = 0.0

    @property
    def lab(self) -> Lab:
        """The client.

        Raises
        ------
        UsageError
            If the lab is down.
        """
        with self._lock:
            if self._lab is None:
                self._lab = Lab.attach(self.name, backend_of(self.name))
            return self._lab

    @property
    def _node(self) -> Node:
        return self.lab.nodes[self.node]

    def facts(self, no_older: float = 0.0) -> Facts:
        """What explanations rest on, read at most `no_older` seconds ago.

        Raises
        ------
        FqdnlabError
            If the node service is dead, or the lab is down.
        """
        known = self._facts
        if known is not None and time.time() - known.time < no_older:
            return known
        seen = self.lab.gather(self._node.name)
        asked: list[dict[str, Any]] | None = None
        if seen.queries_known:
            try:
                asked = self._queries()
            except FqdnlabError as error:
                seen.evidence.missing.append(f"look-ups: {error.message}")
        self._facts = facts_of_lab(seen.evidence, seen.status, asked, seen.zones)
        return self._facts

    def _queries(self) -> list[dict[str, Any]]:
        """The last outcomes of look-ups, oldest first."""
        only = flow_pb2.FlowFilter(event_type=[flow_pb2.EventTypeFilter(type=_DNS)])
        request = observer_pb2.GetFlowsRequest(number=_QUERIES, whitelist=[only])
        read = self._node.flows(request, _SECONDS)
        return queries(r.flow for r in read if r.HasField("flow"))

    def flow(self, uuid: str, at: float) -> dict[str, Any] | None:
        """The row of a flow that was seen at `at` (Unix seconds), if the observer still has it.

        Raises
        ------
        FqdnlabError
            If the observer is dead, or the lab is down.
        """
        request = observer_pb2.GetFlowsRequest()
        for edge, change in ((request.since, -_NEAR_NS), (request.until, _NEAR_NS)):
            edge.FromNanoseconds(round(at * 1e9) + change)
        read = self._node.flows(request, _SECONDS)
        near = rows(r.flow for r in read if r.HasField("flow"))
        return next((row for row in near if row["uuid"] == uuid), None)

    def endpoints(self, no_older: float = 0.0) -> tuple[Endpoint, ...]:
        """The node's endpoints, read at most `no_older` seconds ago.  Raises as `facts`."""
        if not no_older or time.monotonic() - self._asked > no_older:
            self._endpoints = tuple(e for e in self.lab.endpoints() if e.node == self.node)
            self._asked = time.monotonic()
        return self._endpoints

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name.

        Raises
        ------
        UsageError
            If there is none (any more).
        """
        for one in self.endpoints():
            if one.name == name:
                return one
        raise UsageError(f"there is no endpoint {name!r}", "make it first")

    def close(self) -> None:
        """Let go of the lab."""
        with self._lock:
            if self._lab is not None:
                self._lab.close()
                self._lab = None


_all: dict[tuple[str, str], Hands] = {}
_all_lock = threading.Lock()


def hands(name: str, node: str) -> Hands:
    """The client of panels for a node of the lab of that name; one a node."""
    with _all_lock:
        return _all.setdefault((name, node), Hands(name, node))


@atexit.register
def _let_go() -> None:
    for one in _all.values():
        one.close()
