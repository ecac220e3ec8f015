"""A packet or a DNS record that was seen, explained.  Pure: facts and a row in, explanation out."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fqdnlab.errors import UsageError
from fqdnlab.explain.case import PROTOCOLS, Case, find_workload
from fqdnlab.explain.decide import Mind
from fqdnlab.explain.explanation import REFUSED, Explanation, Remedy, Step
from fqdnlab.explain.facts import DecidingRule, Facts
from fqdnlab.explain.packet import Forecast, foretell
from fqdnlab.explain.remedy import find_dns_remedy, find_remedy
from fqdnlab.explain.way import Way, verdict_step
from fqdnlab.model.names import normalise
from fqdnlab.model.reasons import REASONS

__all__ = ["explain_row"]

_NUMBERS = {name: number for number, (name, _) in REASONS.items()}


def explain_row(facts: Facts, row: Mapping[str, Any]) -> Explanation:
    """Explain a row of ``lab.flows()``.

    Parameters
    ----------
    facts : Facts
        As they are now: `Explanation.steps` has a step ``now`` where they say otherwise.
    row : mapping
        Keys: `fqdnlab.model.flows.COLUMNS`.

    Raises
    ------
    UsageError
        If it is no such row, or its endpoint is gone.
    """
    missing = {"kind", "endpoint", "verdict", "address", "time"} - set(row)
    if missing:
        raise UsageError(
            f"no flow: it has no {', '.join(sorted(missing))}", "take a row of flows()"
        )
    row = {**row, "time": _instant(row["time"])}
    case = _case(facts, row)
    reason = _NUMBERS.get(str(row.get("reason") or ""), 0)
    inward = row.get("direction") == "INGRESS" and row["kind"] == "packet"
    told = Forecast(str(row["verdict"]), reason, None) if inward else _now(facts, row, case)
    way = Way(facts, case, told.kernel, told.decision, until=row["time"].timestamp())
    rule = _rule(facts, row)
    if facts.source == "export" and told.rule is not None and told.verdict == row["verdict"]:
        rule = told.rule  # a cluster's flows name the policy alone
    steps = [] if inward else [*way.steps()]
    steps.append(_seen(facts, row, case, reason, rule, inward))
    steps += _since(row, told, reason, rule)
    return Explanation(
        endpoint=case.who.name,
        about=_about(row, case, inward),
        source=facts.source,
        forecast=False,
        verdict=str(row["verdict"]),
        reason=str(row.get("reason") or ""),
        reason_text=str(row.get("reason_text") or _word(row)),
        rule=rule,
        steps=tuple(steps),
        remedy=None if inward else _remedy(facts, row, case, reason, told),
        unknown=tuple(way.unknown()),
        asked={"row": row},
    )


def _instant(time: Any) -> datetime:
    """A time as tables or JSON have it."""
    try:
        if isinstance(time, datetime):
            return time
        if isinstance(time, str):
            return datetime.fromisoformat(time)
        return datetime.fromtimestamp(float(time), UTC)
    except (TypeError, ValueError):
        raise UsageError(f"no flow: {time!r} is no time", "take a row of flows()") from None


def _case(facts: Facts, row: Mapping[str, Any]) -> Case:
    who = find_workload(facts, str(row["endpoint"]))
    protocol = str(row.get("protocol") or "TCP")
    if row["kind"] == "dns":
        ips = [str(ip) for ip in row.get("ips") or ()]
        return Case(who, ips[0] if ips else "", str(row["query"]).lower(), "UDP", 53)
    if protocol not in PROTOCOLS:
        protocol = "TCP"  # a packet that nothing of a policy covers: its reason says so
    name = str(row.get("name") or "")
    port = row.get("port")
    number = int(port) if port is not None and port == port else 0
    address = str(ipaddress.ip_address(str(row["address"])))
    return Case(who, address, normalise(name) if name else "", protocol, number)


def _now(facts: Facts, row: Mapping[str, Any], case: Case) -> Forecast:
    """What would become of the same now."""
    if row["kind"] == "packet":
        return foretell(facts, case)
    found = Mind(facts).ask(case.who, str(row["address"]), case.name)
    verdict = {"allowed": "FORWARDED", "unproxied": "FORWARDED"}.get(found.outcome, "DROPPED")
    kernel = None
    if case.address and facts.maps is not None:
        kernel = facts.maps.judge(case.who.id, case.address, case.proto, case.port)
    return Forecast(verdict, 0, None, question=found, kernel=kernel)


def _rule(facts: Facts, row: Mapping[str, Any]) -> DecidingRule | None:
    """The rule that the flow names, with its place where that is known."""
    title = str(row.get("rule") or "")
    if not title:
        policy = str(row.get("policy") or "")
        return DecidingRule(policy) if policy else None
    for rule in facts.rules.values():
        if rule.title == title:
            return rule
    policy, _, text = title.partition(" ")
    return DecidingRule(policy, text=text)


def _seen(
    facts: Facts,
    row: Mapping[str, Any],
    case: Case,
    reason: int,
    rule: DecidingRule | None,
    inward: bool,
) -> Step:
    verdict = str(row["verdict"])
    if row["kind"] == "dns":
        state = "ok" if verdict == "FORWARDED" else "denied"
        detail = f"{verdict}: {_word(row) or 'the question went on'}"
        return Step("verdict", "Verdict", state, detail, {"verdict": verdict, "reason": reason})
    if inward and verdict != "DROPPED":
        detail = f"{verdict}: what reaches an endpoint is tracked, not policed"
        return Step("verdict", "Verdict", "ok", detail, {"verdict": verdict, "reason": reason})
    enforced = Mind(facts).compiled(case.who) is not None
    return verdict_step(verdict, reason, rule, enforced)


def _since(
    row: Mapping[str, Any], told: Forecast, reason: int, rule: DecidingRule | None
) -> list[Step]:
    """What has changed since the packet passed."""
    same = told.verdict == row["verdict"] and told.reason == reason
    if same or row["verdict"] == "ERROR":
        return []
    data = {"verdict": told.verdict, "reason": told.reason}
    detail = f"the same would be {told.verdict} now"
    if told.rule:
        detail += f", by {told.rule.title}"
    return [Step("now", "Since then", "note", detail, data)]


def _remedy(
    facts: Facts, row: Mapping[str, Any], case: Case, reason: int, told: Forecast
) -> Remedy | None:
    if row["verdict"] != "DROPPED":
        return None
    if told.verdict != "DROPPED" and row["kind"] == "dns":
        words = "the question would be let through now. Connections are another question."
        return Remedy("none", f"Nothing is left to do: {words}")
    if told.verdict != "DROPPED":
        return Remedy("none", "Nothing is left to do: it would pass now.")
    if row["kind"] == "dns":
        return find_dns_remedy(facts, replace(case, address=""), str(row["address"]))
    return find_remedy(facts, case, reason)


def _word(row: Mapping[str, Any]) -> str:
    if row["kind"] != "dns":
        return ""
    return {"REFUSED": REFUSED}.get(str(row.get("result")), str(row["result"]))


def _about(row: Mapping[str, Any], case: Case, inward: bool) -> str:
    if row["kind"] == "dns":
        return f"{case.who.name} asked {row['address']} for {row['query']} {row.get('qtype', '')}"
    if inward:
        return f"{row['address']} → {case.who.name} {row.get('source_port') or ''}/{case.protocol}"
    return case.about
