"""What came of applying policies, as a person reads it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fqdnlab.pb import control_pb2 as pb

__all__ = ["Applied"]


@dataclass(frozen=True, repr=False)
class Applied:
    """Policies that were taken; they hold in the kernel and at the proxy unless it says otherwise.

    Attributes
    ----------
    policies : tuple of PolicyStatus
        Name, whether it is enforced under the lab's profile, why not, lint, selected endpoints.
    revision : int
        Rises with every change of policies.
    note : str
        Such as ``applied; DNS waits: the proxy is dead``.
    late : tuple of str
        Who has not acknowledged in time.
    """

    policies: tuple[pb.PolicyStatus, ...]
    revision: int
    note: str
    late: tuple[str, ...]
    accepted: bool = True

    @classmethod
    def of(cls, reply: pb.ApplyPolicyReply) -> Applied:
        """The agent's reply."""
        late = tuple(reply.late)
        return cls(tuple(reply.policies), reply.revision, reply.note, late, reply.accepted)

    @classmethod
    def of_nodes(cls, replies: Mapping[str, pb.ApplyPolicyReply]) -> Applied:
        """Several nodes' replies to the same, as one; of one node: its own.

        A policy selects what it selects on any node; `revision` is the latest.
        """
        (first, *rest) = (cls.of(reply) for reply in replies.values())
        if not rest:
            return first
        for other in rest:
            for mine, theirs in zip(first.policies, other.policies, strict=True):
                mine.endpoints.extend(theirs.endpoints)
        return cls(
            first.policies,
            max(reply.revision for reply in replies.values()),
            "; ".join(f"{node}: {reply.note}" for node, reply in replies.items() if reply.note),
            tuple(f"{who} of {node}" for node, reply in replies.items() for who in reply.late),
        )

    def lines(self) -> list[str]:
        """One line a policy, then one for each thing to know about it."""
        found = []
        for one in self.policies:
            word = "enforced" if one.enforced else "accepted, not enforced"
            whom = f"selects {', '.join(one.endpoints)}" if one.endpoints else "selects no endpoint"
            found.append(f"{one.namespace}/{one.name}".lstrip("/") + f": {word}; {whom}")
            reasons = () if one.enforced else one.fields
            found += [f"  not enforced: {f.path} (line {f.line}): {f.reason}" for f in reasons]
            found += [f"  mind: {f.path} (line {f.line}): {f.reason}" for f in one.lint]
        found += [self.note] if self.note else []
        found += [f"late: {who}" for who in self.late]
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One a policy, for programs: JSON can hold it."""
        return [
            {
                "kind": p.kind,
                "namespace": p.namespace,
                "name": p.name,
                "revision": p.revision,
                "enforced": p.enforced,
                "fields": _places(p.fields),
                "lint": _places(p.lint),
                "endpoints": list(p.endpoints),
                "note": self.note,
                "late": list(self.late),
            }
            for p in self.policies
        ]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        return f"<pre style='white-space:pre-wrap'>{html.escape(repr(self))}</pre>"


def _places(fields: Iterable[pb.FieldStatus]) -> list[dict[str, Any]]:
    return [{"path": f.path, "line": f.line, "reason": f.reason} for f in fields]
