"""The part of `Lab` that looks into the agent: what it knows, what it wrote, what it did."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from fqdnlab.errors import UnavailableError
from fqdnlab.lab import tables
from fqdnlab.pb import control_pb2 as pb

if TYPE_CHECKING:
    from fqdnlab.lab.calls import Peer

__all__ = ["Insides"]


class Insides:
    """The agent's mappings, identities, maps and flight recorder."""

    if TYPE_CHECKING:
        _agent_peer: Peer
        _agent: Any

    def agent_status(self) -> pb.AgentStatus:
        """Revision, numbers of entries, attachment, the proxy's acknowledgement, warnings.

        Raises
        ------
        UnavailableError
            If the agent is dead.
        """
        found: pb.AgentStatus = self._agent_peer.call(self._agent.Status, pb.AgentStatusRequest())
        return found

    def mappings(self) -> pd.DataFrame:
        """Every (endpoint, name, address); agent dead: none, and `attrs["note"]` says so."""
        try:
            reply = self._agent_peer.call(self._agent.ListMappings, pb.ListMappingsRequest())
        except UnavailableError as error:
            frame = tables.mappings([])
            frame.attrs["note"] = str(error)
            return frame
        return tables.mappings(reply.mapping)

    def identities(self) -> pd.DataFrame:
        """Identities: number, labels, how many addresses."""
        reply = self._agent_peer.call(self._agent.ListIdentities, pb.ListIdentitiesRequest())
        return tables.identities(reply.identity)

    def maps(self, *names: str) -> pd.DataFrame:
        """Entries of the kernel's maps, as they are now."""
        reply = self._agent_peer.call(self._agent.ListMaps, pb.ListMapsRequest(map=names))
        return tables.maps(reply.entry)

    def collect(self) -> pb.CollectReply:
        """A collection pass now."""
        done: pb.CollectReply = self._agent_peer.call(self._agent.Collect, pb.CollectRequest())
        return done

    def dump(self) -> dict[str, Any]:
        """The agent's flight recorder: its last events and operations (`agent.recorder`)."""
        reply = self._agent_peer.call(self._agent.Dump, pb.DumpRequest(), 30.0)
        found: dict[str, Any] = json.loads(reply.json)
        return found
