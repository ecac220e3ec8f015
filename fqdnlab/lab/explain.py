"""`Lab.explain`: facts gathered from the lab's services, whoever of them is dead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from fqdnlab.errors import FqdnlabError, UsageError
from fqdnlab.explain import Explanation, Facts, explain_again, explain_row, forecast
from fqdnlab.explain.gather import facts_of_lab
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.world.client_names import RecordsOf

if TYPE_CHECKING:
    from pathlib import Path

    from fqdnlab.lab.applied import Applied
    from fqdnlab.lab.endpoint import Endpoint
    from fqdnlab.lab.node import Node
    from fqdnlab.recording.recorder import Recorder
    from fqdnlab.world.client import World

__all__ = ["Explains", "Gathered", "explain_with"]

_ALIVE = ("running", "draining")


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
        nodes: dict[str, Node]
        world: World
        recorders: list[Recorder]

        def node(self, name: str | None = None) -> Node: ...
        def apply(self, policy: str | Path, timeout: float = ...) -> Applied: ...
        def endpoints(self) -> list[Endpoint]: ...
        def read(self) -> None: ...
        def rows(self) -> list[Mapping[str, Any]]: ...

    def gather(self, node: str | None = None) -> Gathered:
        """One look at everything that explanations rest on.

        Parameters
        ----------
        node : str, optional
            Which one, of several.

        Raises
        ------
        UnavailableError
            If the node service is dead; agent, proxy, observer and world may be.
        """
        one = self.node(node)
        status, evidence = one.status(), one.evidence()
        alive = {p.name for p in status.process if p.state in _ALIVE}
        zones: list[RecordsOf] | None = None
        try:
            # a world that is no process of the node's machine is asked whether it lives
            if "world" in alive or all(p.name != "world" for p in status.process):
                zones = self.world.records()
            else:
                evidence.missing.append("what the world would answer: its process is dead")
        except FqdnlabError as error:
            evidence.missing.append(f"what the world would answer: {error.message}")
        if "observer" not in alive:
            evidence.missing.append("look-ups since the observer died")
        return Gathered(evidence, status, zones, "observer" in alive)

    def facts(self, node: str | None = None) -> Facts:
        """Everything that explanations rest on, as it is now; recorders are told of it.

        Parameters
        ----------
        node : str, optional
            Which one, of several.

        Raises
        ------
        UnavailableError
            If the node service is dead.
        """
        one = self.node(node)
        seen = self.gather(one.name)
        queries: list[dict[str, Any]] | None = None
        try:
            if seen.queries_known:
                one.read()
                queries = one.table.queries()
            else:  # those that were read before it died
                queries = one.table.queries() or None
        except FqdnlabError as error:
            seen.evidence.missing.append(f"look-ups: {error.message}")
            queries = one.table.queries() or None
        for recorder in list(self.recorders):
            if recorder.node is one:
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
        if isinstance(what, str) and target is None and len(self.nodes) > 1:
            self.read()  # a uuid: whose is it?
            what = _row(self.rows(), what)
        facts = self.facts(self._node_of(what))
        return explain_with(facts, self.rows, what, target, port, protocol)

    def _node_of(self, what: Any) -> str | None:
        """The node of an endpoint or a row; none is looked for where there is only one."""
        if len(self.nodes) == 1:
            return None
        if isinstance(what, (Mapping, pd.Series)):
            return str(what["node"])
        name = what if isinstance(what, str) else what.name
        return next((e.node for e in self.endpoints() if e.name == name), None)

    def carry_out(self, what: Explanation, facts: Facts | None = None) -> None:
        """Do what an explanation proposes: restart, apply, look up, as far as it has them.

        Parameters
        ----------
        what : Explanation
        facts : Facts, optional
            As they are now; none: they are gathered.

        Raises
        ------
        UsageError
            If it proposes nothing, or something else would be proposed by now.
        """
        remedy, who = what.remedy, what.endpoint
        if remedy is None or remedy.action == "none":
            raise UsageError(
                "there is nothing to carry out", remedy.text if remedy else "it passes"
            )
        if explain_again(facts or self.facts(self._node_of(who)), what).remedy != remedy:
            raise UsageError("it has changed since it was explained", "look again: explain it anew")
        if remedy.restart:
            node = self.node(self._node_of(who))
            for process in remedy.restart:
                getattr(node, process).restart()
        if remedy.policy:
            self.apply(remedy.policy)
        if remedy.name:
            argv = ["getent", "ahosts", remedy.name.rstrip(".")]
            next(e for e in self.endpoints() if e.name == who).run(argv)


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
