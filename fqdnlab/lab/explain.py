"""`Lab.explain`: facts gathered from the lab's services, whoever of them is dead."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from fqdnlab.errors import FqdnlabError, LateError, UsageError
from fqdnlab.explain import Explanation, Facts, Remedy, explain_row, forecast
from fqdnlab.explain.gather import facts_of_lab
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.world.client_names import RecordsOf

if TYPE_CHECKING:
    from fqdnlab.lab.calls import Peer
    from fqdnlab.lab.endpoint import Endpoint
    from fqdnlab.model.flows import Table
    from fqdnlab.recording.recorder import Recorder
    from fqdnlab.world.client import World

__all__ = ["Explains", "Gathered", "explain_with"]

_ALIVE = ("running", "draining")
_HAND_OVER_SECONDS = 10.0


class Gathered(NamedTuple):
    """What services told at one moment.

    Attributes
    ----------
    evidence : EvidenceReply
    status : NodeStatus
    zones : list of RecordsOf, or None
        None: the world's process does not tell.
    queries_known : bool
        Whether the observer runs.
    """

    evidence: pb.EvidenceReply
    status: pb.NodeStatus
    zones: list[RecordsOf] | None
    queries_known: bool


class Explains:
    """The part of `Lab` that explains."""

    if TYPE_CHECKING:
        node_peer: Peer
        world: World
        _node: Any
        _table: Table
        recorders: list[Recorder]

        def _read(self) -> None: ...
        def status(self) -> pb.NodeStatus: ...
        def apply(self, policy: str) -> Any: ...
        def endpoints(self) -> list[Endpoint]: ...

    def evidence(self) -> pb.EvidenceReply:
        """The kernel's maps, and what agent and proxy saved last: read with either of them dead."""
        found: pb.EvidenceReply = self.node_peer.call(self._node.Evidence, pb.EvidenceRequest())
        return found

    def gather(self) -> Gathered:
        """One look at everything that explanations rest on.

        Raises
        ------
        UnavailableError
            If the node service is dead; agent, proxy, observer and world may be.
        """
        status, evidence = self.status(), self.evidence()
        alive = {p.name for p in status.process if p.state in _ALIVE}
        zones: list[RecordsOf] | None = None
        try:
            if "world" in alive:
                zones = self.world.records()
            else:
                evidence.missing.append("what the world would answer: its process is dead")
        except FqdnlabError as error:
            evidence.missing.append(f"what the world would answer: {error.message}")
        if "observer" not in alive:
            evidence.missing.append("look-ups since the observer died")
        return Gathered(evidence, status, zones, "observer" in alive)

    def facts(self) -> Facts:
        """Everything that explanations rest on, as it is now; recorders are told of it.

        Raises
        ------
        UnavailableError
            If the node service is dead.
        """
        seen = self.gather()
        queries: list[dict[str, Any]] | None = None
        try:
            if seen.queries_known:
                self._read()
                queries = self._table.queries()
            else:  # those that were read before it died
                queries = self._table.queries() or None
        except FqdnlabError as error:
            seen.evidence.missing.append(f"look-ups: {error.message}")
            queries = self._table.queries() or None
        for recorder in list(self.recorders):
            recorder.take(seen)
        return facts_of_lab(seen.evidence, seen.status, queries, seen.zones)

    def explain(
        self,
        what: str | Endpoint | Mapping[str, Any] | pd.Series[Any],
        target: str | None = None,
        port: int | None = None,
        protocol: str = "TCP",
    ) -> Explanation:
        """Why a packet passed or was dropped, or what would become of one.

        Parameters
        ----------
        what : row of `flows`, uuid of one, or endpoint
        target : str
            With an endpoint: the name or the address that it would send to.
        port : int
            For ICMP: the type.
        protocol : {"TCP", "UDP", "SCTP", "ICMPv4", "ICMPv6"}

        Raises
        ------
        UsageError
            For a flow, an endpoint, a port or a protocol that there is not.

        Examples
        --------
        >>> lab.explain(lab.flows().iloc[-1])                          # doctest: +SKIP
        >>> lab.explain("web", "api.example.com", 443)                 # doctest: +SKIP
        """
        facts = self.facts()
        return explain_with(facts, self._table.rows, what, target, port, protocol)

    def carry_out(self, what: Explanation | Remedy, endpoint: str = "") -> None:
        """Do what an explanation proposes: restart, apply, look up, as far as it has them.

        Parameters
        ----------
        what : Explanation or Remedy
        endpoint : str
            With a remedy alone: who looks the name up.

        Raises
        ------
        UsageError
            If it proposes nothing.
        """
        remedy = what.remedy if isinstance(what, Explanation) else what
        who = what.endpoint if isinstance(what, Explanation) else endpoint
        if remedy is None or remedy.action == "none":
            raise UsageError(
                "there is nothing to carry out", remedy.text if remedy else "it passes"
            )
        for process in remedy.restart:
            getattr(self, process).restart()
        if remedy.policy:
            self.apply(remedy.policy)
        if remedy.name:
            argv = ["getent", "ahosts", remedy.name.rstrip(".")]
            next(e for e in self.endpoints() if e.name == who).run(argv)

    def _handed_over(self, seconds: float) -> None:
        """Wait until the agent has what the proxy kept for it; LateError if that takes longer."""
        deadline = time.monotonic() + seconds
        while self.evidence().kept:
            if time.monotonic() > deadline:
                raise LateError("the proxy still keeps answers for the agent", "lab.agent.state()")
            time.sleep(0.05)


def explain_with(
    facts: Facts,
    rows: Any,
    what: Any,
    target: str | None,
    port: int | None,
    protocol: str,
) -> Explanation:
    """As `Explains.explain`, from facts and a function that gives the rows of all flows."""
    if target is not None:
        if port is None:
            raise UsageError("no port was given", 'say explain("web", "api.example.com", 443)')
        name = what if isinstance(what, str) else what.name
        return forecast(facts, name, target, port, protocol)
    if isinstance(what, str):
        return explain_row(facts, _row(rows(), what))
    if isinstance(what, pd.Series):
        what = what.to_dict()
    if not isinstance(what, Mapping):
        raise UsageError("what is to be explained?", "a row of flows(), or endpoint and target")
    return explain_row(facts, what)


def _row(rows: Iterable[Mapping[str, Any]], uuid: str) -> Mapping[str, Any]:
    for row in rows:
        if row["uuid"] == uuid:
            return row
    raise UsageError(f"there is no flow {uuid}", "take a uuid of flows()")
