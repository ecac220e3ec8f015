"""05: kill the agent."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise
from fqdnlab.lessons.expect import number, words

_CHOICES = (
    "resolving names",
    "known addresses",
    "new addresses",
    "denied addresses",
    "applying policies",
)


@exercise("05.1")
def _(answer: Any, _lab: Any) -> str:
    return words(answer, {"new addresses", "applying policies"}, _CHOICES)


@exercise("05.2")
def _(answer: Any, lab: Any) -> str:
    hold = lab.settings.hold * 1000
    queries = lab.queries()
    if not (queries["early_reason"] == "hold-deadline").any():
        return "no answer was held to its deadline yet: stop the agent, look a new address up"
    hint = "look at lab.queries()[['query', 'latency_ms', 'early_reason']].tail()"
    # a busy machine holds longer: what was seen there is right, too
    held = queries.loc[queries["early_reason"] == "hold-deadline", "latency_ms"]
    said = [number(answer, one, hint, within=hold * 0.8) for one in (hold, *held)]
    return "" if "" in said else said[0]
