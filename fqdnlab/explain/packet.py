"""What becomes of a packet, and why: before it is sent.  Pure: facts in, explanation out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fqdnlab.explain.case import SOMEWHERE, Case, make_case
from fqdnlab.explain.decide import Decision, Mind, Question
from fqdnlab.explain.explanation import REFUSED, Explanation, Step
from fqdnlab.explain.facts import DecidingRule, Facts
from fqdnlab.explain.kernel import Found
from fqdnlab.explain.remedy import NO_PROXY, find_remedy, learned
from fqdnlab.explain.way import Way, rule_at, verdict_step
from fqdnlab.model.mapstate import ALLOW, DENY, REDIRECT
from fqdnlab.model.reasons import REASONS, reason_text

__all__ = ["Forecast", "forecast", "foretell"]

_VERDICTS = {ALLOW: "FORWARDED", REDIRECT: "REDIRECTED", DENY: "DROPPED"}


@dataclass(frozen=True)
class Forecast:
    """What will become of a packet, before any words are made of it.

    Attributes
    ----------
    verdict : str
        FORWARDED, REDIRECTED or DROPPED.
    reason : int
        0 also for a name that is refused.
    rule : DecidingRule or None
    unresolved : bool
        The endpoint gets no address: no packet comes about.
    question : Question or None
        Of a case by name.
    kernel : Found or None
        What the maps say now.
    decision : Decision or None
        What policies and mappings say.
    """

    verdict: str
    reason: int
    rule: DecidingRule | None
    unresolved: bool = False
    question: Question | None = None
    kernel: Found | None = None
    decision: Decision | None = None


def forecast(
    facts: Facts, endpoint: str, target: str, port: int, protocol: str = "TCP"
) -> Explanation:
    """Explain a packet before it is sent.

    Parameters
    ----------
    facts : Facts
    endpoint : str
    target : str
        A name (which the endpoint would look up) or an address.
    port : int
        For ICMP: the type.
    protocol : {"TCP", "UDP", "SCTP", "ICMPv4", "ICMPv6"}

    Raises
    ------
    UsageError
        For an endpoint, a port or a protocol that there is not.
    """
    case = make_case(facts, endpoint, target, port, protocol)
    told = foretell(facts, case)
    way = Way(facts, case, told.kernel, told.decision, told.question)
    dropped = told.verdict == "DROPPED"
    words = REFUSED if told.unresolved and not told.reason else reason_text(told.reason)
    return Explanation(
        endpoint=case.who.name,
        about=case.about,
        source=facts.source,
        forecast=True,
        verdict=told.verdict,
        reason=REASONS[told.reason][0] if told.reason in REASONS else "",
        reason_text=words,
        rule=told.rule,
        steps=(*way.steps(), _verdict(facts, told, case)),
        remedy=find_remedy(facts, case, told.reason) if dropped else None,
        unknown=tuple(way.unknown()),
        asked={"endpoint": endpoint, "target": target, "port": port, "protocol": protocol},
    )


def foretell(facts: Facts, case: Case) -> Forecast:
    """Decide by the kernel's maps, or by what they will be after the look-up that comes first."""
    mind = Mind(facts)
    kernel = decision = question = None
    if case.address:
        decision = mind.judge(case.who, case.address, case.proto, case.port)
        if facts.maps is not None:
            kernel = facts.maps.judge(case.who.id, case.address, case.proto, case.port)
    if case.look_up:
        question = mind.ask(case.who, facts.server, case.name)
        told = _after_asking(facts, mind, case, question)
        if told is not None:
            return replace(told, question=question, kernel=kernel, decision=decision)
    if not case.address:  # nothing is learned of it: an address of nobody's
        decision = mind.judge(case.who, SOMEWHERE, case.proto, case.port)
    return replace(_judged(facts, kernel, decision), question=question)


def _after_asking(facts: Facts, mind: Mind, case: Case, question: Question) -> Forecast | None:
    """What the look-up itself settles; None: it changes nothing in the kernel."""
    if question.outcome == "refused":
        return Forecast("DROPPED", 0, None, unresolved=True)
    if question.outcome == "dropped":
        packet = mind.judge(case.who, facts.server, 17, 53)
        rule = rule_at(facts, packet.rule)
        return Forecast("DROPPED", packet.reason, rule, unresolved=True)
    if question.outcome == "unproxied":
        return None
    if not facts.runs("proxy"):
        return Forecast("DROPPED", NO_PROXY, None, unresolved=True)
    if not facts.runs("agent"):
        return None
    probe = case if case.address else replace(case, address=SOMEWHERE)
    mind = Mind(facts, more=[learned(probe, case.name)])
    decision = mind.judge(probe.who, probe.address, probe.proto, probe.port)
    return _judged(facts, None, decision)


def _judged(facts: Facts, kernel: Found | None, decision: Decision | None) -> Forecast:
    """By the kernel's maps, where they are known."""
    verdict, reason, rule = DENY, 0, None
    if kernel is not None:
        verdict, reason, rule = kernel.verdict, kernel.reason, facts.by_number(kernel.rule)
    elif decision is not None:
        verdict, reason = decision.verdict, decision.reason
        rule = rule_at(facts, decision.rule)
    if verdict == REDIRECT and not facts.runs("proxy"):
        verdict, reason = DENY, NO_PROXY
    return Forecast(_VERDICTS[verdict], reason, rule, False, None, kernel, decision)


def _verdict(facts: Facts, told: Forecast, case: Case) -> Step:
    if not told.unresolved:
        enforced = Mind(facts).compiled(case.who) is not None
        return verdict_step(told.verdict, told.reason, told.rule, enforced)
    detail = "no packet comes about: the endpoint gets no address for the name"
    data = {"verdict": told.verdict, "reason": told.reason, "rule": ""}
    return Step("verdict", "Verdict", "denied", detail, data)
