"""The usual mistakes in policies that are valid, each with its place."""

from __future__ import annotations

from collections.abc import Iterator

from fqdnlab.model.lint_names import coverage, never_matches
from fqdnlab.model.lint_peers import may_overlap
from fqdnlab.model.policy import FieldStatus, FQDNSelector, Policy, PortProtocol, PortRule, Rule

__all__ = ["lint"]

Opening = tuple[Rule, int, PortRule]


def lint(policy: Policy) -> tuple[FieldStatus, ...]:
    """Remarks on what `policy` most likely does not mean; they void nothing.

    Only this policy is looked at: what another one of the same endpoint adds is not known here.
    """
    rules = [rule for rule in policy.rules() if not rule.deny]
    found = [
        *_uncovered(rules),
        *_opened(rules),
        *_impossible(rules),
        *(remark for rule in policy.rules() for remark in _selects_nothing(rule)),
    ]
    return tuple(sorted(found, key=lambda remark: (remark.line, remark.path)))


def _remark(path: str, rule: Rule, reason: str) -> FieldStatus:
    return FieldStatus(path, rule.line, reason, voids=False)


def _fqdns(rule: Rule) -> Iterator[tuple[str, FQDNSelector]]:
    selectors = (p for p in rule.peers or () if isinstance(p, FQDNSelector))
    for index, selector in enumerate(selectors):
        yield f"{rule.path}.toFQDNs[{index}]", selector


def _dns(rule: Rule) -> Iterator[tuple[str, FQDNSelector]]:
    for at, port_rule in enumerate(rule.ports or ()):
        for index, selector in enumerate(port_rule.dns):
            yield f"{rule.path}.toPorts[{at}].rules.dns[{index}]", selector


def _uncovered(rules: list[Rule]) -> Iterator[FieldStatus]:
    """toFQDNs that this policy's own look-ups never fill."""
    seen = [s for rule in rules if rule.peers != () for _, s in _dns(rule)]
    for rule in rules:
        for path, selector in _fqdns(rule):
            if never_matches(selector, learned=True):
                continue  # said by itself
            if not seen:
                reason = (
                    "no rules.dns in this policy: the proxy does not see its endpoints' look-ups, "
                    "so this opens an address only if another endpoint looks it up; add a rule to "
                    "the DNS server with rules.dns"
                )
                yield _remark(path, rule, reason)
                continue
            covered = coverage(selector, seen)
            if covered < 1:
                part = "some names of" if covered else "any name of"
                reason = (
                    f"no rules.dns of this policy lets its endpoints look up {part} "
                    f"{selector.text}: add it to rules.dns"
                )
                yield _remark(path, rule, reason)


def _opened(rules: list[Rule]) -> Iterator[FieldStatus]:
    """rules.dns whose names do not count, for a plain rule on the same port."""
    openings: list[Opening] = [
        (rule, at, port_rule)
        for rule in rules
        if rule.peers != ()
        for at, port_rule in enumerate(rule.ports or ())
    ]
    for rule, at, plain in openings:
        if plain.dns:
            continue
        for other, other_at, filtered in openings:
            same = _same_ports(plain, filtered) if filtered.dns else ""
            if same and may_overlap(rule.peers, other.peers):
                reason = (
                    f"opens every name: {same} is plain here and filtered by name in "
                    f"{other.path}.toPorts[{other_at}]; the filter is as if it had '*'"
                )
                yield _remark(f"{rule.path}.toPorts[{at}]", rule, reason)
                break


def _same_ports(plain: PortRule, filtered: PortRule) -> str:
    """A port and protocol that both name as such; a range that covers it does not count."""
    common = _single_ports(plain) & _single_ports(filtered)
    return ", ".join(f"{port}/{protocol}" for port, protocol in sorted(common))


def _single_ports(rule: PortRule) -> set[tuple[int, str]]:
    singles = (p for p in rule.ports if not p.name and p.port and p.end_port <= p.port)
    return {(p.port, protocol) for p in singles for protocol in _protocols(p)}


def _protocols(port: PortProtocol) -> tuple[str, ...]:
    return ("TCP", "UDP", "SCTP") if port.protocol == "ANY" else (port.protocol,)


def _impossible(rules: list[Rule]) -> Iterator[FieldStatus]:
    """Selectors that no name can match."""
    for rule in rules:
        for selectors, learned in ((_fqdns(rule), True), (_dns(rule), False)):
            for path, selector in selectors:
                if reason := never_matches(selector, learned):
                    yield _remark(path, rule, reason)


def _selects_nothing(rule: Rule) -> Iterator[FieldStatus]:
    if rule.peers == () and (rule.ports is not None or rule.icmps is not None):
        reason = (
            "selects nothing: a list of peers is empty (an empty toFQDNs beside ports opens "
            "every destination in Cilium 1.20, here none)"
        )
        yield _remark(rule.path, rule, reason)
    for at, port_rule in enumerate(rule.ports or ()):
        path = f"{rule.path}.toPorts[{at}]"
        if not port_rule.ports:
            yield _remark(path, rule, "selects nothing: no ports are named")
        for index, port in enumerate(port_rule.ports):
            if port.name:
                reason = (
                    f"selects nothing: {port.name!r} is a name that the peer's containers would "
                    "give a port, and peers here have none; write the number"
                )
                yield _remark(f"{path}.ports[{index}]", rule, reason)
    if rule.icmps == ():
        yield _remark(f"{rule.path}.icmps", rule, "selects nothing: no ICMP type from 0 to 255")
