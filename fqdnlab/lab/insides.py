"""The part of `Lab` that looks into agents: what they know, what they wrote, what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from fqdnlab.errors import LateError, UnavailableError, UsageError
from fqdnlab.lab import tables
from fqdnlab.lab.merged import together
from fqdnlab.model.labtime import check_time_scale
from fqdnlab.pb import control_pb2 as pb

if TYPE_CHECKING:
    from fqdnlab.lab.node import Node

__all__ = ["Insides"]


class Insides:
    """Agents' mappings, identities, maps and flight recorders.

    Tables are of all nodes, with a last column ``node`` where there are several; what is of one
    agent is the only one's, and `nodes` has each.
    """

    if TYPE_CHECKING:
        nodes: dict[str, Node]

        def only(self, what: str) -> Node: ...

    def agent_status(self) -> pb.AgentStatus:
        """Revision, numbers of entries, attachment, the proxy's acknowledgement, warnings.

        Raises
        ------
        UnavailableError
            If the agent is dead.
        """
        return self.only("agent_status()").agent_status()

    @property
    def time_scale(self) -> float:
        """Lab seconds a second, for TTLs and collection; may be set (`set_time_scale`)."""
        return next(iter(self.nodes.values())).agent_status().time_scale

    @time_scale.setter
    def time_scale(self, scale: float) -> None:
        self.set_time_scale(scale)

    def set_time_scale(self, scale: float, timeout: float = 5.0) -> None:
        """Let lab time go on at another speed; it never jumps, and the lab keeps it.

        Parameters
        ----------
        scale : float
            Lab seconds a second, 0.01 to 10,000.
        timeout : float
            Seconds to wait for the proxy's acknowledgement.

        Raises
        ------
        UsageError
            If `scale` is none: nothing was changed.
        UnavailableError
            If an agent is dead (lab time is the agents'): nothing was changed.
        LateError
            If it is changed, and a proxy has not acknowledged it; it says which.
        """
        try:
            scale = check_time_scale(scale)
        except ValueError as error:
            raise UsageError(str(error)) from error
        for node in self.nodes.values():
            node.agent_status()
        late = [who for node in self.nodes.values() for who in node.set_time_scale(scale, timeout)]
        if late:
            raise LateError(
                f"lab time runs at {scale:g} times; not acknowledged yet by {', '.join(late)}",
                "it does when it goes on",
            )

    def mappings(self) -> pd.DataFrame:
        """Every (endpoint, name, address); agent dead: none, and `attrs["note"]` says so."""
        frames = {}
        for name, node in self.nodes.items():
            try:
                frames[name] = tables.mappings(node.mappings())
            except UnavailableError as error:
                frames[name] = tables.mappings([])
                frames[name].attrs["note"] = str(error)
        return together(frames)

    def identities(self) -> pd.DataFrame:
        """Identities: number, labels, how many addresses."""
        frames = {n: tables.identities(node.identities()) for n, node in self.nodes.items()}
        return together(frames)

    def maps(self, *names: str) -> pd.DataFrame:
        """Entries of the kernel's maps, as they are now."""
        return together({n: tables.maps(node.maps(*names)) for n, node in self.nodes.items()})

    def collect(self) -> pb.CollectReply:
        """A collection pass now."""
        return self.only("collect()").collect()

    def dump(self) -> dict[str, Any]:
        """The agent's flight recorder: its last events and operations (`agent.recorder`)."""
        return self.only("dump()").dump()
