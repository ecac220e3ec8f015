"""The one change that would let a packet pass: proposed where deciding again says so.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fqdnlab.explain.case import SOMEWHERE, Case, addresses_of, names_of
from fqdnlab.explain.decide import Mind, resolves
from fqdnlab.explain.explanation import Remedy
from fqdnlab.explain.facts import Facts, Known
from fqdnlab.explain.kernel import INTERNAL_ADDRESS
from fqdnlab.explain.rewrite import Rewriter, look_up_allowed
from fqdnlab.model.mapstate import DENY
from fqdnlab.model.reasons import POLICY_DENIED, POLICY_REASONS

__all__ = ["NO_PROXY", "find_dns_remedy", "find_remedy", "learned"]

NO_PROXY = 240


def learned(case: Case, name: str) -> Known:
    """The mapping that a look-up of `name` by the case's endpoint would bring."""
    return Known(case.who.name, name, case.address)


def find_remedy(facts: Facts, case: Case, reason: int) -> Remedy:
    """What to change, for a packet that is dropped with `reason`.

    Parameters
    ----------
    facts : Facts
    case : Case
    reason : int
        Drop reason; 0 for a name that the proxy refuses.
    """
    if reason == NO_PROXY:
        return _with_the_proxy(facts, case)
    if reason == INTERNAL_ADDRESS:
        text = "None: addresses of the node and of its proxy are closed to every endpoint."
        return Remedy("none", text)
    if reason and reason not in POLICY_REASONS:
        return Remedy("none", "None of policy or mapping: the packet itself is not acceptable.")
    if facts.policies is None:
        return Remedy("none", "It cannot be said: the policies are not known.")
    probe = case if case.address else replace(case, address=SOMEWHERE)
    for found in _candidates(facts, probe):
        return found
    return Remedy("none", "None was found that would let it pass.")


def find_dns_remedy(facts: Facts, case: Case, server: str) -> Remedy:
    """What to change, for a question to `server` that the proxy refused."""
    if facts.policies is None:
        return Remedy("none", "It cannot be said: the policies are not known.")
    policies, text = look_up_allowed(facts, case)
    if policies and Mind(facts, policies).ask(case.who, server, case.name).outcome == "allowed":
        shown = case.name.rstrip(".")
        words = f"Apply a policy that allows the look-up of {shown}."
        made = Remedy("apply", words, policy=text, name=case.name)
        return made if facts.runs("agent") else _first(made, "agent")
    return Remedy("none", "None was found that would let the question pass.")


def _candidates(facts: Facts, case: Case) -> Iterator[Remedy]:
    alive = facts.runs("agent")
    if not alive:
        yield from _restart(facts, case)
    yield from _look_up(facts, case, alive)
    yield from _apply(facts, case, alive)


def _passes(facts: Facts, mind: Mind, case: Case) -> bool:
    if not resolves(facts, mind, case):
        return False
    return mind.judge(case.who, case.address, case.proto, case.port).verdict != DENY


def _gives(facts: Facts, case: Case, name: str) -> bool:
    """Whether a look-up of `name` gives the case's address now, as far as anybody can tell."""
    return case.look_up or facts.zones is None or case.address in addresses_of(facts, name)


def _restart(facts: Facts, case: Case) -> Iterator[Remedy]:
    """The agent has only to come back: policies and mappings allow it already."""
    if _passes(facts, Mind(facts), case):
        yield Remedy("restart", "Restart the agent: its policies allow it.", ("agent",))
    elif _passes(facts, Mind(facts, more=facts.kept), case):
        text = "Restart the agent: the proxy keeps the mapping for it."
        yield Remedy("restart", text, ("agent",))


def _look_up(facts: Facts, case: Case, alive: bool) -> Iterator[Remedy]:
    """A name of the address is allowed, and its mapping alone is missing."""
    server = facts.server
    for name in [case.name] if case.look_up else names_of(facts, case):
        shown = name.rstrip(".")
        if not _gives(facts, case, name):
            continue
        if not _passes(facts, Mind(facts, more=[learned(case, name)]), case):
            continue
        if Mind(facts).ask(case.who, server, name).outcome != "allowed":
            continue
        if not alive:
            text = f"Restart the agent, so that a look-up of {shown} is installed."
            yield Remedy("restart", text, ("agent",), name=name)
        elif not facts.runs("proxy"):
            text = f"Restart the DNS proxy, so that {shown} can be looked up."
            yield Remedy("restart", text, ("proxy",), name=name)
        else:
            text = f"Look {shown} up from {case.who.name}: its answer opens the address."
            yield Remedy("look-up", text, name=name)


def _apply(facts: Facts, case: Case, alive: bool) -> Iterator[Remedy]:
    """A policy, or policies changed, in one `apply`."""
    for name in [case.name] if case.look_up else [*names_of(facts, case), ""]:
        rewriter = Rewriter(facts, case, name)
        policies = rewriter.policies()
        if policies is None:
            continue
        by_name = bool(name) and not rewriter.by_address
        changed = Mind(facts, policies, more=[learned(case, name)] if by_name else [])
        if not _passes(facts, changed, case):
            continue
        if by_name and changed.ask(case.who, facts.server, name).outcome != "allowed":
            continue
        again = name if by_name and not _passes(facts, Mind(facts, policies), case) else ""
        if again and not _gives(facts, case, name):
            continue
        made = Remedy("apply", rewriter.words, policy=rewriter.text, name=again)
        if again and not facts.runs("proxy"):
            made = _first(made, "proxy")
        yield made if alive else _first(made, "agent")


def _with_the_proxy(facts: Facts, case: Case) -> Remedy:
    """The proxy has to be back; and what else is missing then."""
    alive = replace(facts, processes={**facts.processes, "proxy": "running"})
    if case.look_up:
        probe = case if case.address else replace(case, address=SOMEWHERE)
        more = [learned(probe, case.name)] if facts.runs("agent") else []
        if not _passes(alive, Mind(alive, more=more), probe):
            return _first(find_remedy(alive, case, POLICY_DENIED), "proxy")
    return Remedy("restart", "Restart the DNS proxy: it is dead.", ("proxy",))


def _first(remedy: Remedy, process: str) -> Remedy:
    """`remedy` once a process is back."""
    shown = {"proxy": "the DNS proxy"}.get(process, f"the {process}")
    text = f"Restart {shown}, then: {remedy.text}"
    return replace(remedy, text=text, restart=(process, *remedy.restart))
