"""Remedies carried out in thought: the facts as they would be, and what passes no more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fqdnlab.explain import Explanation, Facts
from fqdnlab.explain.case import addresses_of
from fqdnlab.explain.decide import Mind
from fqdnlab.explain.facts import Known
from fqdnlab.model.mapstate import DENY
from fqdnlab.model.policy_parser import parse_policies

Packet = tuple[str, int, int]  # address, protocol, port


def carried_out(facts: Facts, said: Explanation) -> Facts:
    """`facts` after what `Lab.carry_out` does with the remedy of `said`; without kernel maps."""
    remedy = said.remedy
    assert remedy is not None
    policies = {p.key: p for p in facts.policies or ()}
    applied = parse_policies(remedy.policy) if remedy.policy else ()
    policies.update((p.key, p) for p in applied)
    running = dict.fromkeys(remedy.restart, "running")
    made = replace(
        facts,
        maps=None,
        policies=tuple(policies.values()),
        processes={**facts.processes, **running},
    )
    if made.runs("agent"):  # a proxy hands over what it kept
        kept = tuple(replace(k, state="enforced") for k in made.kept)
        made = replace(made, mappings=(*(made.mappings or ()), *kept), kept=())
    if not remedy.name or not made.runs("proxy"):
        return made
    (who,) = (e for e in facts.endpoints if e.name == said.endpoint)
    if Mind(made).ask(who, made.server, remedy.name).outcome != "allowed":
        return made
    learned = (Known(who.name, remedy.name, a) for a in addresses_of(made, remedy.name))
    return replace(made, mappings=(*(made.mappings or ()), *learned))


def losses(
    before: Facts, after: Facts, packets: Iterable[Packet], names: Iterable[str]
) -> list[str]:
    """What any endpoint could send or ask for before and cannot after."""
    old, new = Mind(before), Mind(after)
    lost = []
    for who in before.endpoints:
        for address, proto, port in packets:
            was = old.judge(who, address, proto, port).verdict
            if was != DENY and new.judge(who, address, proto, port).verdict == DENY:
                lost.append(f"{who.name} → {address} {proto}/{port}")
        for name in names:
            for proto in (17, 6):
                was_told = old.ask(who, before.server, name, proto).outcome
                told = new.ask(who, before.server, name, proto).outcome
                if was_told in ("allowed", "unproxied") and told in ("refused", "dropped"):
                    lost.append(f"{who.name} asks for {name} by {proto}: {was_told}, then {told}")
    return lost
