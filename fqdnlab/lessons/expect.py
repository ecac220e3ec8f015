"""What several exercises ask of an answer: each returns what is wrong, empty if nothing is."""

from __future__ import annotations

from typing import Any

__all__ = ["connected", "number"]


def connected(answer: Any) -> str:
    """It must be what `Endpoint.connect` returns, and have reached something."""
    if not hasattr(answer, "ok") or not hasattr(answer, "address"):
        return f"that is a {type(answer).__name__}: put what web.connect(...) returns here"
    return "" if answer.ok else f"the connection failed: {answer.error}"


def number(answer: Any, right: int, hint: str) -> str:
    """It must be the whole number `right`."""
    if isinstance(answer, bool) or not isinstance(answer, int):
        return f"that is a {type(answer).__name__}: a whole number is asked for"
    return "" if answer == right else hint
