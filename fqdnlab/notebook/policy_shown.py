"""What a policy text matches and would change, as the view draws it.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fqdnlab.explain import Facts
from fqdnlab.model.mapstate import RuleRef
from fqdnlab.model.policy import Policy
from fqdnlab.model.ports import NUMBERS
from fqdnlab.notebook.policy_flows import FlowChange, Retold, places, retold
from fqdnlab.notebook.policy_forecast import Change, Forecast, Outcome, forecast_of
from fqdnlab.notebook.policy_matches import matches

__all__ = ["effect_of"]

_SHOWN = 40
_GLYPHS = {"opens": "▲", "closes": "✕", "steers": "◆", "stays": "="}


def effect_of(
    facts: Facts, proposed: Sequence[Policy], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """All that the panel says of valid policies.

    Parameters
    ----------
    facts : Facts
    proposed : sequence of Policy
        Of the text.
    rows : sequence of dict
        Flows of the last minutes.

    Returns
    -------
    dict
        ``trouble``, ``matches``, ``says`` (sentences), ``changes``, ``more`` (how many are not
        shown), ``stays``, ``flows``.
    """
    if facts.policies is None or facts.mappings is None:
        return {**_NOTHING, "trouble": "Not known: " + "; ".join(facts.missing)}
    told = forecast_of(facts, proposed, places(rows))
    flows = retold(facts, proposed, rows)
    lines = _Lines(proposed)
    return {
        "trouble": "",
        "matches": _matches(facts, proposed),
        "says": list(_says(facts, proposed, told, flows)),
        "changes": [_change(c, lines) for c in told.changes[:_SHOWN]],
        "more": max(0, len(told.changes) - _SHOWN),
        "stays": [_change(c, lines) for c in told.stays[:_SHOWN]],
        "flows": [_flow(c, lines) for c in flows.changes[:_SHOWN]],
    }


_NOTHING: dict[str, Any] = {
    "trouble": "",
    "matches": [],
    "says": [],
    "changes": [],
    "more": 0,
    "stays": [],
    "flows": [],
}


def _matches(facts: Facts, proposed: Sequence[Policy]) -> list[dict[str, Any]]:
    return [
        {**match.plain(), "void": bool(policy.obstacles(facts.settings.profile))}
        for policy in proposed
        for match in matches([policy], facts)
    ]


class _Lines:
    """Where rules stand in the text."""

    def __init__(self, proposed: Iterable[Policy]) -> None:
        self._lines = {(p.key, r.path): r.line for p in proposed for r in p.rules()}
        self._own = {p.key for p in proposed}

    def of(self, ref: RuleRef) -> int:
        """The line of a rule; 0: it is of another policy."""
        parts = ref.path.split(".")
        while parts:
            if line := self._lines.get((ref.policy, ".".join(parts))):
                return line
            parts.pop()
        return 0


def _says(facts: Facts, proposed: Sequence[Policy], told: Forecast, flows: Retold) -> Iterable[str]:
    there = {p.key: p for p in facts.policies or ()}
    for policy in proposed:
        name = f"{policy.namespace}/{policy.name}".lstrip("/")
        old = there.get(policy.key)
        if old is None:
            yield f"Adds {name}."
        elif _said(old) == _said(policy):
            yield f"{name} is applied already, and says the same."
        else:
            yield f"Takes the place of {name}."
        if policy.obstacles(facts.settings.profile):
            yield f"{name} would be accepted and not enforced here: it would have no effect."
    if told.selected:
        yield f"{_list(told.selected)} would come under a policy: what no rule allows is dropped."
    if told.released:
        yield f"{_list(told.released)} would be under no policy: everything passes."
    yield from _looked_at(told)
    if flows.flows:
        yield _flows_say(flows)
    if not facts.runs("agent"):
        yield "The agent does not run: nothing can be applied until it is back."


def _looked_at(told: Forecast) -> Iterable[str]:
    """That nothing changes, and of how much that is true."""
    scope = f"the {told.names} names and {told.ports} ports looked at"
    if not told.changes:
        yield f"No verdict of {scope} would change." if told.cut else "No verdict would change."
    elif told.cut:
        yield f"Told of {scope}: there are more."


def _said(policy: Policy) -> list[object]:
    """What it says, wherever its rules stand."""
    return [
        (spec.subject, spec.default_deny, [replace(rule, line=0) for rule in spec.rules])
        for spec in policy.specs
    ]


def _flows_say(flows: Retold) -> str:
    minutes = flows.seconds / 60
    span = f"{minutes:.0f} min" if minutes >= 1.5 else f"{flows.seconds:.0f} s"
    seen = f"{flows.flows:,} {'flow' if flows.flows == 1 else 'flows'} of the last {span}"
    closed, opened = flows.would(False), flows.would(True)
    if not closed and not opened:
        return f"Of {seen}, each would be judged as before."
    parts = []
    if closed:
        parts.append(f"{closed:,} would now be dropped")
    if opened:
        parts.append(f"{opened:,} would now pass")
    return f"Of {seen}, {' and '.join(parts)}."


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _change(change: Change, lines: _Lines) -> dict[str, Any]:
    where = ", ".join(_ports(change.ports)) if change.what == "packet" else "look-up"
    return {
        "kind": change.kind,
        "glyph": _GLYPHS[change.kind],
        "who": _list(change.endpoints),
        "target": _list(change.targets),
        "addresses": _list(change.addresses),
        "where": where,
        "asks": change.asks,
        "before": _outcome(change.before, lines, change.before),
        "after": _outcome(change.after, lines, change.before),
    }


def _ports(texts: Sequence[str]) -> list[str]:
    """``53/ANY`` in place of 53/TCP, 53/UDP and 53/SCTP, as policies say it."""
    numbers = {text.partition("/")[0] for text in texts}
    every = {n: [f"{n}/{protocol}" for protocol in NUMBERS] for n in numbers}
    whole = {text: f"{n}/ANY" for n, all_ in every.items() if {*all_} <= {*texts} for text in all_}
    return list(dict.fromkeys(whole.get(text, text) for text in texts))


def _flow(change: FlowChange, lines: _Lines) -> dict[str, Any]:
    kind = "opens" if change.after.passes else "closes"
    return {
        "kind": kind,
        "glyph": _GLYPHS[kind],
        "count": change.times,
        "who": change.endpoint,
        "target": change.target,
        "addresses": change.address if change.address != change.target else "",
        "where": change.port or "look-up",
        "before": _outcome(change.before, lines, change.before),
        "after": _outcome(change.after, lines, change.before),
    }


def _outcome(outcome: Outcome, lines: _Lines, before: Outcome) -> dict[str, Any]:
    """Its word, who decides, and the line of that rule: the text has those that will decide."""
    line = lines.of(outcome.rule) if outcome.rule and outcome is not before else 0
    return {"word": outcome.word, "by": _by(outcome), "line": line}


def _by(outcome: Outcome) -> str:
    if outcome.rule is not None:
        return f"{outcome.rule.policy[2]} {_short(outcome.rule.path)}"
    return "no policy selects it" if outcome.passes else "no rule allows it"


def _short(path: str) -> str:
    """``egress[1]`` of ``spec.egress[1].toPorts[0].rules.dns[0]``."""
    return next((part for part in path.split(".") if part.startswith("egress")), path)
