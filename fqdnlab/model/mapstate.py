"""Way 1.4: policies compiled to what the kernel's policy map holds.

Pure.  The map's rule (bpf/verdict.h): for one (policy, identity) the longest entry over protocol
and port is found, once for the packet's identity and once for any identity, and the stronger of the
two decides.  So each entry here already carries the strongest of all entries that cover it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

from fqdnlab.model.policy import CIDRPeer, Entity, FQDNSelector, Peer, Policy, Rule, Spec
from fqdnlab.model.ports import EVERYTHING, NUMBERS, PortKey, icmp_key, port_keys

__all__ = [
    "ALLOW",
    "ANY_IDENTITY",
    "DENY",
    "HOST",
    "REDIRECT",
    "WORLD_IPV4",
    "WORLD_IPV6",
    "Compiled",
    "Entry",
    "Identity",
    "Network",
    "RuleRef",
    "compile_specs",
    "dns_patterns",
    "dns_ports",
    "entries_for",
    "networks_of",
    "selectors_of",
    "selectors_of_servers",
    "wildcard_entries",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ALLOW, REDIRECT, DENY = 1, 2, 3
#: Reserved identities (Cilium's pkg/identity).
ANY_IDENTITY, HOST, WORLD_IPV4, WORLD_IPV6 = 0, 1, 9, 10


@dataclass(frozen=True)
class Identity:
    """What an address is, as far as policies can tell.

    Attributes
    ----------
    kind : {"host", "endpoint", "net"}
        ``net`` is everything outside the cluster.
    labels : tuple of (str, str)
        ``source:name`` → value, sorted.
    family : {0, 4, 6}
    selectors : frozenset of FQDNSelector
        Whose names it was returned for.
    networks : frozenset of network
        Those named in policies that cover it.
    """

    kind: Literal["host", "endpoint", "net"]
    labels: tuple[tuple[str, str], ...] = ()
    family: Literal[0, 4, 6] = 0
    selectors: frozenset[FQDNSelector] = frozenset()
    networks: frozenset[Network] = frozenset()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Identities are keys everywhere, and these are long."""
        return hash((self.kind, self.labels, self.family, self.selectors, self.networks))

    @cached_property
    def by_label(self) -> Mapping[str, str]:
        """Its labels, to be looked up."""
        return dict(self.labels)

    def label_list(self) -> list[str]:
        """Its labels as Hubble shows them."""
        shown = [f"{k}={v}" if v else k for k, v in self.labels]
        shown += sorted(s.label for s in self.selectors)
        shown += [f"cidr:{n}" for n in sorted(self.networks, key=str)]
        return shown


class RuleRef(NamedTuple):
    """Where a decision comes from: a policy and a place in it."""

    policy: tuple[str, str, str]
    path: str


class Entry(NamedTuple):
    """One value for one key of the policy map.

    Attributes
    ----------
    verdict : int
        ALLOW, REDIRECT or DENY; numbers rise with precedence.
    bits : int
        How many bits of protocol and port the deciding entry fixes.
    proxy_port : int
        The asked port of a redirect, else 0.
    rule : RuleRef or None
        None: no rule decides (default allow).
    """

    verdict: int
    bits: int
    proxy_port: int
    rule: RuleRef | None


@dataclass(frozen=True)
class Compiled:
    """The specs that select an endpoint, in order; shared by all that they select alike."""

    specs: tuple[tuple[Policy, Spec], ...]
    default_deny: bool
    rules: tuple[tuple[Policy, Rule], ...] = field(default=())

    @cached_property
    def _places(self) -> tuple[dict[FQDNSelector, list[int]], list[int], list[int]]:
        """Places in `rules`: of those with names by selector, with other peers, for any peer."""
        named: dict[FQDNSelector, list[int]] = {}
        other: list[int] = []
        wild: list[int] = []
        for n, (_, rule) in enumerate(self.rules):
            if _wild(rule.peers):
                wild.append(n)
            elif not all(isinstance(p, FQDNSelector) for p in rule.peers or ()):
                other.append(n)
            for peer in rule.peers or ():
                if isinstance(peer, FQDNSelector):
                    named.setdefault(peer, []).append(n)
        return named, other, wild

    def selecting(self, identity: Identity, *, wild: bool = False) -> list[tuple[Policy, Rule]]:
        """Rules with a peer that selects `identity`, in order; `wild`: those for any peer too."""
        named, _, any_peer = self._places
        found = {*self._without_names(identity), *(any_peer if wild else ())}
        for selector in identity.selectors:
            found.update(named.get(selector, ()))
        return [self.rules[n] for n in sorted(found)] if found else []

    def _without_names(self, identity: Identity) -> tuple[int, ...]:
        """Of rules that have other peers than names.  Thousands of identities differ by names."""
        key = (identity.kind, identity.labels, identity.family, identity.networks)
        found = self._remembered.get(key)
        if found is None:
            names = identity.selectors
            plain = replace(identity, selectors=frozenset()) if names else identity
            found = self._remembered[key] = tuple(
                n for n in self._places[1] if _selected(self.rules[n][1].peers or (), plain)
            )
        return found

    @cached_property
    def _remembered(self) -> dict[tuple[object, ...], tuple[int, ...]]:
        return {}


def compile_specs(policies: Iterable[Policy], labels: Mapping[str, str]) -> Compiled | None:
    """What selects an endpoint of `labels`; None if nothing with egress does."""
    chosen = tuple(
        (p, s) for p in policies for s in p.specs if s.egress and s.subject.matches(labels)
    )
    if not chosen:
        return None
    rules = tuple((p, r) for p, s in chosen for r in s.rules)
    return Compiled(chosen, any(s.default_deny for _, s in chosen), rules)


def selectors_of(policies: Iterable[Policy]) -> frozenset[FQDNSelector]:
    """Every ``toFQDNs`` selector."""
    return frozenset(
        peer
        for policy in policies
        for rule in policy.rules()
        for peer in rule.peers or ()
        if isinstance(peer, FQDNSelector)
    )


def selectors_of_servers(policies: Iterable[Policy]) -> frozenset[FQDNSelector]:
    """``toFQDNs`` selectors of rules with ``rules.dns``: what they name are DNS servers."""
    return frozenset(
        peer
        for policy in policies
        for rule in policy.rules()
        if any(ports.dns for ports in rule.ports or ())
        for peer in rule.peers or ()
        if isinstance(peer, FQDNSelector)
    )


def networks_of(policies: Iterable[Policy]) -> frozenset[Network]:
    """Every network named, the excepted ones too: what tells CIDR identities apart."""
    found: set[Network] = set()
    for policy in policies:
        for rule in policy.rules():
            for peer in rule.peers or ():
                if isinstance(peer, CIDRPeer):
                    found.update((peer.network, *peer.excepted))
    return frozenset(found)


def entries_for(compiled: Compiled, identity: Identity) -> dict[PortKey, Entry]:
    """Entries for one identity: those of rules with peers that select it."""
    rules = compiled.selecting(identity)
    return _strongest(item for p, r in rules for item in _rule_entries(p, r)) if rules else {}


def wildcard_entries(compiled: Compiled) -> dict[PortKey, Entry]:
    """Entries for any identity: rules without peers, and the default where nothing denies."""
    items = [
        item
        for policy, rule in compiled.rules
        if _wild(rule.peers)
        for item in _rule_entries(policy, rule)
    ]
    if not compiled.default_deny:
        items.append((EVERYTHING, Entry(ALLOW, 0, 0, None)))
    return _strongest(items)


def _wild(peers: Sequence[Peer] | None) -> bool:
    return peers is None or any(isinstance(p, Entity) and p.name == "all" for p in peers)


def _selected(peers: Sequence[Peer], identity: Identity) -> bool:
    return any(_selects(p, identity) for p in peers)


def _selects(peer: Peer, identity: Identity) -> bool:
    if isinstance(peer, FQDNSelector):
        return peer in identity.selectors
    if isinstance(peer, CIDRPeer):
        return peer.network in identity.networks and not identity.networks.intersection(
            peer.excepted
        )
    if isinstance(peer, Entity):
        return _entity(peer.name, identity)
    return peer.matches(identity.by_label)


def _entity(name: str, identity: Identity) -> bool:
    if name in ("world", "world-ipv4", "world-ipv6"):
        family = {"world-ipv4": 4, "world-ipv6": 6}.get(name, identity.family)
        return identity.kind == "net" and identity.family == family
    if name == "cluster":
        return identity.kind in ("endpoint", "host")
    return name == "host" and identity.kind == "host"


def _rule_entries(policy: Policy, rule: Rule) -> list[tuple[PortKey, Entry]]:
    verdict = DENY if rule.deny else ALLOW
    ref = RuleRef(policy.key, rule.path)
    if rule.ports is None and rule.icmps is None:
        return [(EVERYTHING, Entry(verdict, 0, 0, ref))]
    found = [
        (key, Entry(verdict, key.bits, 0, ref)) for key in (icmp_key(i) for i in rule.icmps or ())
    ]
    for ports in rule.ports or ():
        for item in ports.ports:
            for key in port_keys(item):
                if not ports.dns:
                    found.append((key, Entry(verdict, key.bits, 0, ref)))
                elif key.proto != NUMBERS["SCTP"]:  # nothing speaks DNS over SCTP
                    found.append((key, Entry(REDIRECT, key.bits, key.port, ref)))
    return found


def _strongest(items: Iterable[tuple[PortKey, Entry]]) -> dict[PortKey, Entry]:
    """For each key, the strongest entry of all that cover it (deny, redirect, allow; length)."""
    own: dict[PortKey, Entry] = {}
    for key, entry in items:
        if key not in own or entry.verdict > own[key].verdict:
            own[key] = entry
    if len(own) < 2:
        return own
    return {key: _ruling(key, own) for key in own}


def _ruling(key: PortKey, own: dict[PortKey, Entry]) -> Entry:
    """Covering keys are few lengths: each is looked up, not searched."""
    best = own[key]
    number = key.proto << 16 | key.port
    for bits in (0, *range(8, key.bits)):
        masked = number >> (24 - bits) << (24 - bits)
        other = own.get(PortKey(masked >> 16, masked & 0xFFFF, bits))
        if other and (other.verdict, other.bits) > (best.verdict, best.bits):
            best = other
    return best


# ---------------------------------------------------------------- DNS


def dns_patterns(
    compiled: Compiled, identity: Identity, port: int, proto: int
) -> tuple[tuple[str, RuleRef], ...]:
    """Patterns that a question to a server of `identity` may match; none: it is not redirected.

    A plain rule for the very port and peer lets every name pass, as Cilium has it; a plain rule
    that is wider (all peers, all ports, a range) leaves the filter in force.
    """
    found: list[tuple[str, RuleRef]] = []
    opened: list[tuple[str, RuleRef]] = []
    exact = PortKey(proto, port, 24)
    for policy, rule in compiled.selecting(identity, wild=True):
        if rule.deny:
            continue
        for n, ports in enumerate(rule.ports or ()):
            if not any(key == exact for item in ports.ports for key in port_keys(item)):
                continue
            path = f"{rule.path}.toPorts[{n}]"
            for i, selector in enumerate(ports.dns):
                ref = RuleRef(policy.key, f"{path}.rules.dns[{i}]")
                found.append((selector.match_name or selector.match_pattern, ref))
            if not ports.dns and not _wild(rule.peers):
                opened.append(("*", RuleRef(policy.key, path)))
    if not found:
        return ()
    if not compiled.default_deny:
        opened.append(("*", found[0][1]))
    return tuple(found + opened)


def dns_ports(compiled: Compiled) -> set[tuple[int, int]]:
    """(port, protocol) of every redirect."""
    return {
        (key.port, key.proto)
        for _, rule in compiled.rules
        if not rule.deny
        for ports in rule.ports or ()
        if ports.dns
        for item in ports.ports
        for key in port_keys(item)
        if key.bits == 24 and key.proto != NUMBERS["SCTP"]
    }
