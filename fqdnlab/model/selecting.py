"""Whom policies select: endpoints by their labels, identities by the peers of rules.  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from fqdnlab.model.policy import CIDRPeer, Entity, FQDNSelector, Peer, Policy, Rule, Spec

__all__ = ["Compiled", "Identity", "IdentityIndex", "Network", "compile_specs", "is_wild"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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


@dataclass(frozen=True)
class Compiled:
    """The specs that select an endpoint, in order; shared by all that they select alike."""

    specs: tuple[tuple[Policy, Spec], ...]
    default_deny: bool
    rules: tuple[tuple[Policy, Rule], ...] = field(default=())

    def selecting(self, identity: Identity, *, wild: bool = False) -> list[tuple[Policy, Rule]]:
        """Rules with a peer that selects `identity`, in order; `wild`: those for any peer too."""
        return [
            (policy, rule)
            for policy, rule in self.rules
            if (wild if is_wild(rule.peers) else _selected(rule.peers or (), identity))
        ]

    def selected(self, index: IdentityIndex) -> dict[Identity, list[tuple[Policy, Rule]]]:
        """The same for all identities of `index` that have any such rule."""
        found: dict[Identity, dict[int, None]] = {}
        for n, (_, rule) in enumerate(self.rules):
            if not is_wild(rule.peers):
                for peer in rule.peers or ():
                    for identity in index.selected_by(peer):
                        found.setdefault(identity, {})[n] = None
        return {i: [self.rules[n] for n in places] for i, places in found.items()}


class IdentityIndex:
    """Many identities, of which each peer is asked once whom it selects.

    Thousands differ by their names alone: peers that are no names judge those as one.

    Parameters
    ----------
    identities : iterable of Identity
    """

    def __init__(self, identities: Iterable[Identity]) -> None:
        self.all = tuple(identities)
        self._by_selector: dict[Peer, list[Identity]] = {}
        self._alike: dict[Identity, list[Identity]] = {}
        self._found: dict[Peer, list[Identity]] = {}
        for identity in self.all:
            for selector in identity.selectors:
                self._by_selector.setdefault(selector, []).append(identity)
            names = identity.selectors
            plain = replace(identity, selectors=frozenset()) if names else identity
            self._alike.setdefault(plain, []).append(identity)

    def selected_by(self, peer: Peer) -> Sequence[Identity]:
        """Those that `peer` selects."""
        if isinstance(peer, FQDNSelector):
            return self._by_selector.get(peer, ())
        found = self._found.get(peer)
        if found is None:
            found = [
                i for plain, alike in self._alike.items() if _selects(peer, plain) for i in alike
            ]
            self._found[peer] = found
        return found


def compile_specs(policies: Iterable[Policy], labels: Mapping[str, str]) -> Compiled | None:
    """What selects an endpoint of `labels`; None if nothing with egress does."""
    chosen = tuple(
        (p, s) for p in policies for s in p.specs if s.egress and s.subject.matches(labels)
    )
    if not chosen:
        return None
    rules = tuple((p, r) for p, s in chosen for r in s.rules)
    return Compiled(chosen, any(s.default_deny for _, s in chosen), rules)


def is_wild(peers: Sequence[Peer] | None) -> bool:
    """Whether a rule with these peers is for everything."""
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
