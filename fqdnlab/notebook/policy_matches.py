"""What each selector of a policy matches now: endpoints, names that were seen, addresses.  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fqdnlab.agent.cluster import RESOLVER, RESOLVER_ADDRESSES
from fqdnlab.explain import Facts
from fqdnlab.model.names import dns_selector_matcher, fqdn_matcher, normalise
from fqdnlab.model.policy import CIDRPeer, Entity, FQDNSelector, LabelSelector, Policy, Rule

__all__ = ["Match", "known_names", "matches"]

_SHOWN = 40


class Match(NamedTuple):
    """A selector and what it matches.

    Attributes
    ----------
    path : str
        ``spec.egress[1]``.
    line : int
        Of its rule, in the text; of the policy, for whom it selects.
    what : str
        ``selects``, ``opens``, ``denies`` or ``look-ups``.
    text : str
        The selector.
    names, addresses, endpoints : tuple of str
    """

    path: str
    line: int
    what: str
    text: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """``2 names, 3 addresses``; ``nothing now``."""
        parts = [
            f"{len(found)} {one if len(found) == 1 else many}"
            for found, one, many in (
                (self.endpoints, "endpoint", "endpoints"),
                (self.names, "name", "names"),
                (self.addresses, "address", "addresses"),
            )
            if found
        ]
        return ", ".join(parts) or "nothing now"

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it; long lists are cut."""
        every = [*self.endpoints, *self.names, *self.addresses]
        more = [f"and {len(every) - _SHOWN} more"] if len(every) > _SHOWN else []
        kept = {k: getattr(self, k) for k in ("path", "line", "what", "text", "words")}
        return {**kept, "items": [*every[:_SHOWN], *more]}


def known_names(facts: Facts) -> list[str]:
    """Names that anybody asked for, that have a mapping, or that the world has; sorted."""
    found = {str(q["query"]).lower() for q in facts.queries or ()}
    found |= {k.name for k in facts.mappings or () if k.source != "connection"}
    found |= {normalise(z.name) for z in facts.zones or () if not z.name.startswith("*")}
    return sorted(n for n in found if n and n != ".")


def matches(policies: Iterable[Policy], facts: Facts) -> list[Match]:
    """Every selector of `policies`, in order, with what it matches."""
    names = known_names(facts)
    return [match for policy in policies for match in _of_policy(policy, facts, names)]


def _of_policy(policy: Policy, facts: Facts, names: list[str]) -> Iterator[Match]:
    for spec in policy.specs:
        whom = tuple(w.name for w in facts.endpoints if spec.subject.matches(dict(w.labels)))
        text = _shown(spec.subject)
        yield Match("spec", policy.line, "selects", text, endpoints=whom)
        for rule in spec.rules:
            yield from _of_rule(rule, facts, names)


def _of_rule(rule: Rule, facts: Facts, names: list[str]) -> Iterator[Match]:
    what = "denies" if rule.deny else "opens"
    for peer in rule.peers or ():
        yield _of_peer(rule, what, peer, facts, names)
    for ports in rule.ports or ():
        for selector in ports.dns:
            matcher = dns_selector_matcher(selector)
            found = tuple(n.rstrip(".") for n in names if matcher(n))
            text = selector.match_name or selector.match_pattern
            yield Match(rule.path, rule.line, "look-ups", text, names=found)


def _of_peer(rule: Rule, what: str, peer: Any, facts: Facts, names: list[str]) -> Match:
    place = (rule.path, rule.line, what)
    if isinstance(peer, FQDNSelector):
        matcher = fqdn_matcher(peer)
        found = tuple(n.rstrip(".") for n in names if matcher(n))
        open_ = {k.address for k in facts.mappings or () if matcher(k.name)}
        text = peer.match_name or peer.match_pattern
        return Match(*place, text, names=found, addresses=tuple(sorted(open_)))
    if isinstance(peer, CIDRPeer):
        inside = {a for a in _addresses(facts) if _covers(peer, a)}
        return Match(*place, peer.text, addresses=tuple(sorted(inside)))
    if isinstance(peer, LabelSelector):
        whom = [w.name for w in facts.endpoints if peer.matches(dict(w.labels))]
        if peer.matches(RESOLVER.by_label):
            whom.append(f"the resolver {RESOLVER_ADDRESSES[0]}")
        return Match(*place, _shown(peer), endpoints=tuple(whom))
    assert isinstance(peer, Entity)
    world = peer.name in ("all", "world", "world-ipv4", "world-ipv6")
    inside = {a for a in _addresses(facts) if world and _is_of(peer.name, a)}
    return Match(*place, peer.text, addresses=tuple(sorted(inside)))


def _is_of(name: str, address: str) -> bool:
    version = ipaddress.ip_address(address).version
    return {"world-ipv4": 4, "world-ipv6": 6}.get(name, version) == version


def _addresses(facts: Facts) -> set[str]:
    """Addresses that are known by anybody."""
    found = {k.address for k in facts.mappings or ()}
    for record in facts.zones or ():
        if record.type in ("A", "AAAA"):
            found.update(record.values)
    return found


def _covers(peer: CIDRPeer, address: str) -> bool:
    ip = ipaddress.ip_address(address)
    inside = ip.version == peer.network.version and ip in peer.network
    return inside and not any(ip in n for n in peer.excepted if n.version == ip.version)


_META = ("io.kubernetes.pod.namespace", "k8s:io.kubernetes.pod.namespace")


def _shown(selector: LabelSelector) -> str:
    """The selector without what its policy's namespace adds, and without sources."""
    own = tuple(r for r in selector.requirements if r.key.partition(":")[2] not in _META)
    text = LabelSelector(own).text
    return "every endpoint" if text == "{}" else text.replace("any:", "").replace("k8s:", "")
