"""What a policy's selectors match now, and what changes if it is applied.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fqdnlab.model.names import fqdn_matcher, normalise
from fqdnlab.model.policy import FQDNSelector, Policy

__all__ = ["changes", "matches"]

Endpoints = Mapping[str, Mapping[str, str]]
Known = Mapping[str, Iterable[str]]


def matches(policies: Iterable[Policy], endpoints: Endpoints, known: Known) -> list[str]:
    """A line for the endpoints, and one for each selector of names.

    Parameters
    ----------
    policies : iterable of Policy
    endpoints : mapping of str to mapping
        Name → labels.
    known : mapping of str to iterable of str
        Name → addresses.
    """
    policies = list(policies)
    lines = [f"endpoints: {_list(_selected(policies, endpoints))}"]
    for selector in _selectors(policies):
        names = _names(selector, known)
        addresses = {a for name in names for a in known[name]}
        lines.append(f"{selector.text}: {_list(names)} ({len(addresses)} addresses)")
    return lines


def changes(
    old: Iterable[Policy], new: Iterable[Policy], endpoints: Endpoints, known: Known
) -> list[str]:
    """What differs once `new` stands in the place of `old`; other policies are left out of it."""
    old, new = list(old), list(new)
    before, after = _selected(old, endpoints), _selected(new, endpoints)
    was, will = _allowed(old, known), _allowed(new, known)
    told = (
        ("selected by it: ", after - before),
        ("selected no more: ", before - after),
        ("allowed by it: ", will - was),
        ("allowed by it no more: ", was - will),
    )
    return [head + _list(found) for head, found in told if found]


def _selected(policies: list[Policy], endpoints: Endpoints) -> set[str]:
    return {n for n, labels in endpoints.items() if any(p.selects(labels) for p in policies)}


def _selectors(policies: list[Policy]) -> list[FQDNSelector]:
    rules = (rule for policy in policies for rule in policy.rules() if not rule.deny)
    return [p for rule in rules for p in rule.peers or () if isinstance(p, FQDNSelector)]


def _names(selector: FQDNSelector, known: Known) -> set[str]:
    test = fqdn_matcher(selector)
    return {name for name in known if test(normalise(name))}


def _allowed(policies: list[Policy], known: Known) -> set[str]:
    names = {n for s in _selectors(policies) for n in _names(s, known)}
    return {f"{name} {address}" for name in names for address in known[name]}


def _list(found: Iterable[str]) -> str:
    return ", ".join(sorted(found)) or "none"
