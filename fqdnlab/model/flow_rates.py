"""What counts as allowed and dropped per second: live, recorded, in reports.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["is_outcome", "rate_kind"]


def is_outcome(row: Mapping[str, Any]) -> bool:
    """Whether a row of `fqdnlab.model.flows` is more than a question that was forwarded."""
    return bool(row["result"] != "ASKED")


def rate_kind(row: Mapping[str, Any]) -> str:
    """``allowed``, ``dropped`` or ``asked``: what a row counts as; '' for what is no new flow."""
    if row["kind"] == "dns":
        return "asked" if is_outcome(row) else ""
    if row["verdict"] == "DROPPED":
        return "dropped"
    reply = row["is_reply"] is True  # in a table it is NaN where the flow does not say
    return "allowed" if row["verdict"] == "FORWARDED" and not reply else ""
