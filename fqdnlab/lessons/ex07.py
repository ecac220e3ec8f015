"""07: TTL, zombies and long-lived connections."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise
from fqdnlab.lessons.expect import number, word


@exercise("07.1")
def _(answer: Any, _lab: Any) -> str:
    hint = "it is open until the first pass after its TTL is over: the TTL, plus one interval"
    return number(answer, 90, hint)


@exercise("07.2")
def _(answer: Any, lab: Any) -> str:
    if wrong := word(answer):
        return wrong
    if answer.removeprefix("tofqdns-").replace("-", "_") != "min_ttl":
        return f"{answer} is another one: which has to do with a *shortest* time to live?"
    return ""
