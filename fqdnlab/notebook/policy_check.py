"""What can be said of a policy text by itself.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fqdnlab.model.lint import lint
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_parser import CheckedDocument, check_documents
from fqdnlab.model.status import PROFILES, policy_report
from fqdnlab.notebook.policy_form import form_of

__all__ = ["check"]


def check(text: str, index: int, profile: str) -> dict[str, Any]:
    """All that is known of `text` by itself.

    Parameters
    ----------
    text : str
    index : int
        Which document the form shows.
    profile : str
        The lab's; its remarks come first.

    Returns
    -------
    dict
        ``form``; ``documents`` (their names); ``valid``; ``faults``, ``remarks`` (places);
        ``status`` (one for each profile).
    """
    documents = check_documents(text)
    order = [profile, *(p for p in PROFILES if p != profile)]
    accepted = [d.policy for d in documents if d.policy is not None]
    return {
        "form": form_of(text, index),
        "documents": [_title(d) for d in documents],
        "valid": bool(documents) and len(accepted) == len(documents),
        "faults": [
            {"line": line, "path": path, "text": what}
            for document in documents
            for path, line, what in document.faults
        ],
        "status": [_status(accepted, one) for one in order] if accepted else [],
        "remarks": _remarks(accepted, order),
    }


def _title(document: CheckedDocument) -> str:
    if document.policy is not None:
        return document.policy.name
    return f"document {document.document + 1}"


def _status(policies: list[Policy], profile: str) -> dict[str, Any]:
    reports = [policy_report(p, profile) for p in policies]
    void = [r for r in reports if not r.enforced]
    return {
        "profile": profile,
        "enforced": not void,
        "word": void[0].word if void else "enforced",
        "why": "; ".join(r.reason for r in void),
    }


def _remarks(policies: Iterable[Policy], order: list[str]) -> list[dict[str, Any]]:
    """Fields that are accepted and not enforced, and what is most likely not meant."""
    found: dict[tuple[int, str, str], dict[str, Any]] = {}
    for policy in policies:
        for profile in order:
            report = policy_report(policy, profile)
            for kind, fields in (("void", report.obstacles), ("beside", report.beside)):
                for one in fields:
                    row = found.setdefault(
                        (one.line, one.path, one.reason),
                        {"kind": kind, "line": one.line, "path": one.path, "text": one.reason}
                        | {"profiles": []},
                    )
                    row["profiles"].append(profile)
        for one in lint(policy):
            row = {"kind": "mind", "line": one.line, "path": one.path, "text": one.reason}
            found[(one.line, one.path, one.reason)] = row | {"profiles": []}
    return sorted(found.values(), key=lambda row: (row["line"], row["path"]))
