"""The part of `Lab` that has what happened: flows, questions, faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import pandas as pd

from fqdnlab.lab import tables
from fqdnlab.lab.merged import followed, sorted_flows, together
from fqdnlab.model import hubble_json
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import observer_pb2

if TYPE_CHECKING:
    from fqdnlab.lab.backends import Backend
    from fqdnlab.lab.node import Node

__all__ = ["Tracks"]


class Tracks:
    """Flows, questions, faults, of all nodes and on one time axis."""

    if TYPE_CHECKING:
        nodes: dict[str, Node]
        backend: Backend
        since: float

    def read(self) -> None:
        """Read what observers have seen.

        Raises
        ------
        UnavailableError
            If an observer is dead.
        """
        for node in self.nodes.values():
            node.read()

    def rows(self) -> list[Mapping[str, Any]]:
        """Rows of `flows` that were read so far, oldest first."""
        if len(self.nodes) == 1:
            (only,) = self.nodes.values()
            return list(only.table.rows())
        return sorted(
            chain.from_iterable(node.table.rows() for node in self.nodes.values()),
            key=lambda row: row["time"],
        )

    def flows(self) -> pd.DataFrame:
        """Every packet flow and DNS record seen, oldest first.

        Raises
        ------
        UnavailableError
            If an observer is dead.
        """
        self.read()
        return tables.flows(self.rows())

    def queries(self) -> pd.DataFrame:
        """Every question that a proxy saw.  Raises as `flows`."""
        self.read()
        frames = {n: tables.queries(node.table.queries()) for n, node in self.nodes.items()}
        return together(frames, by="time")

    def flow_lines(self, request: observer_pb2.GetFlowsRequest | None = None) -> Iterator[str]:
        """Flows as Hubble's JSON, a line each.

        Parameters
        ----------
        request : GetFlowsRequest, optional
            As Hubble's; none: all there are.
        """
        asked = request or observer_pb2.GetFlowsRequest()
        nodes = self.nodes.values()
        if len(nodes) == 1:
            (only,) = nodes
            found = only.flows(asked)
        elif asked.follow:
            found = followed([partial(node.flows, asked) for node in nodes])
        else:
            found = iter(sorted_flows((node.flows(asked) for node in nodes), asked))
        for response in found:
            yield hubble_json.to_line(response)

    def fault_records(self, node: str) -> list[pb.FaultRecord]:
        """Every fault of a node's processes, or by this process to its machine, oldest first."""
        machine = [f for f in self.backend.noted if f.time >= self.since and f.note == node]
        return sorted([*self.nodes[node].faults(), *machine], key=lambda f: f.time)

    def faults(self) -> pd.DataFrame:
        """Every fault that was delivered to a process or a machine, oldest first."""
        frames = {name: tables.faults(self.fault_records(name)) for name in self.nodes}
        return together(frames, by="time")
