"""The part of `Lab` that tells policies: every node takes the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from fqdnlab.errors import FqdnlabError, PolicyError, UsageError
from fqdnlab.lab import tables
from fqdnlab.lab.applied import Applied
from fqdnlab.lab.merged import together
from fqdnlab.pb import control_pb2 as pb

if TYPE_CHECKING:
    from fqdnlab.lab.node import Node

__all__ = ["Policies"]

T = TypeVar("T")


class Policies:
    """Apply, withdraw, list."""

    if TYPE_CHECKING:
        nodes: dict[str, Node]

    def apply(self, policy: str | Path, timeout: float = 5.0) -> Applied:
        """Apply the policies of a file, or of a text that is YAML (ways 1.1 and 1.9), on each node.

        Parameters
        ----------
        policy : str or Path
            A path, or the YAML itself (it has a line break).
        timeout : float
            Seconds to wait for the proxy's acknowledgement; `late` names who gave none.

        Raises
        ------
        PolicyError
            If a document is invalid: nothing was changed.
        UnavailableError
            If an agent is dead: nothing was changed.  If one dies while they are told, it says
            which nodes have the policy; apply it again when that agent is back.
        """
        file, text = _policy_text(policy)
        return Applied.of_nodes(self._tell_all(lambda node: _applied(node, text, file, timeout)))

    def delete_policy(self, name: str, namespace: str = "", kind: str = "") -> None:
        """Withdraw a policy from each node that has it.

        Raises
        ------
        UsageError
            If no node has it.
        UnavailableError
            As `apply`.
        """
        unknown: list[UsageError] = []

        def withdraw(node: Node) -> None:
            try:
                node.delete_policy(name, namespace, kind)
            except UsageError as error:  # one that was half told is withdrawn all the same
                unknown.append(error)

        self._tell_all(withdraw)
        if len(unknown) == len(self.nodes):
            raise unknown[0]

    def _tell_all(self, tell: Callable[[Node], T]) -> dict[str, T]:
        """Tell each node's agent; none, if one of several does not answer before."""
        if len(self.nodes) > 1:
            for node in self.nodes.values():
                node.agent_status()
        told: dict[str, T] = {}
        for name, node in self.nodes.items():
            try:
                told[name] = tell(node)
            except FqdnlabError as error:
                if told:
                    raise _half_told(error, list(told), list(self.nodes)) from error
                raise
        return told

    def policy_statuses(self) -> list[pb.PolicyStatus]:
        """Each policy with all there is to say of it; it selects what it selects on any node."""
        found: dict[tuple[str, str, str], pb.PolicyStatus] = {}
        for node in self.nodes.values():
            for one in node.policy_statuses():
                known = found.setdefault((one.kind, one.namespace, one.name), one)
                if known is not one:
                    known.endpoints.extend(one.endpoints)
        return list(found.values())

    def policies(self) -> pd.DataFrame:
        """One row a policy; with several nodes, a policy and node."""
        frames = {n: tables.policies(node.policy_statuses()) for n, node in self.nodes.items()}
        return together(frames)


def _applied(node: Node, text: str, file: str, timeout: float) -> pb.ApplyPolicyReply:
    reply = node.apply(text, file, timeout)
    if not reply.accepted:
        places = tuple((f.path, f.line, f.message) for f in reply.faults)
        raise PolicyError(reply.note or "the policy is invalid", "nothing was changed", places)
    return reply


def _half_told(error: FqdnlabError, told: list[str], every: list[str]) -> FqdnlabError:
    """The error, with who has it and who has not."""
    left = [name for name in every if name not in told]
    what = f"told to {', '.join(told)}, not to {', '.join(left)}: {error.message}"
    again = "then the same again: who has it takes it once more"
    return type(error)(what, "; ".join(filter(None, (error.remedy, again))))


def _policy_text(policy: str | Path) -> tuple[str, str]:
    if isinstance(policy, str) and "\n" in policy:
        return "<text>", policy
    path = Path(policy)
    try:
        return str(path), path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the policy {path}: {error}") from error
