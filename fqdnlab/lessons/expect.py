"""What several exercises ask of an answer: each returns what is wrong, empty if nothing is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

__all__ = ["connected", "number", "word", "words"]


def connected(answer: Any) -> str:
    """It must be what `Endpoint.connect` returns, and have reached something."""
    if not hasattr(answer, "ok") or not hasattr(answer, "address"):
        return f"that is a {type(answer).__name__}: put what web.connect(...) returns here"
    return "" if answer.ok else f"the connection failed: {answer.error}"


def number(answer: Any, right: float, hint: str, within: float = 0.0) -> str:
    """It must be the number `right`, or nearer to it than `within`."""
    if hasattr(answer, "item"):  # numpy's numbers, as they come out of a DataFrame
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return f"that is a {type(answer).__name__}: a number is asked for"
    return "" if abs(answer - right) <= within else hint


def word(answer: Any) -> str:
    """It must be text."""
    return (
        "" if isinstance(answer, str) else f"that is a {type(answer).__name__}: text is asked for"
    )


def words(answer: Any, right: Collection[str], choices: Collection[str]) -> str:
    """It must be a collection of exactly the words `right`, all out of `choices`."""
    if isinstance(answer, str) or not isinstance(answer, Collection):
        return f"that is a {type(answer).__name__}: a set or a list of texts is asked for"
    given = set(answer)
    if unknown := given - set(choices):
        return f"{sorted(unknown)[0]!r} is none of {', '.join(repr(c) for c in choices)}"
    if extra := given - set(right):
        return f"{sorted(extra)[0]!r} is not one of them"
    if missing := set(right) - given:
        return f"{len(missing)} more {'is' if len(missing) == 1 else 'are'} missing"
    return ""
