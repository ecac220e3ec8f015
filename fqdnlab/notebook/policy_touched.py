"""What a policy says otherwise than the one it replaces: that is looked at first.  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from fqdnlab.model.names import NameTest, dns_selector_matcher, fqdn_matcher
from fqdnlab.model.policy import (
    CIDRPeer,
    FQDNSelector,
    ICMPType,
    Network,
    Peer,
    Policy,
    PortProtocol,
)

__all__ = ["Touched"]

#: Addresses of a name, asked for only where they count.
Addresses = Callable[[], Sequence[str]]
_UNTOUCHED = 9


class _Part(NamedTuple):
    """A selector or a port with all that it stands beside: equal ones say the same."""

    kind: str
    beside: tuple[object, ...]
    part: Peer | PortProtocol | ICMPType


class _Test(NamedTuple):
    """Whether a name, or its addresses, are of a part; the lower, the sooner it is looked at."""

    rank: int
    holds: Callable[[str, Addresses], bool]


class Touched:
    """What differs between policies and those that they replace.

    Parameters
    ----------
    old, new : iterable of Policy

    Attributes
    ----------
    ports : frozenset of PortProtocol
    icmps : frozenset of ICMPType
    networks : frozenset of network
    selectors : tuple of (FQDNSelector, NameTest)
        ``toFQDNs`` and ``rules.dns`` that differ, each with its own test.
    """

    def __init__(self, old: Iterable[Policy], new: Iterable[Policy]) -> None:
        before, after = (frozenset(p for one in group for p in _parts(one)) for group in (old, new))
        parts = before ^ after
        self.ports = frozenset(p.part for p in parts if isinstance(p.part, PortProtocol))
        self.icmps = frozenset(p.part for p in parts if isinstance(p.part, ICMPType))
        cidrs = [p.part for p in parts if isinstance(p.part, CIDRPeer)]
        self.networks = frozenset(n for c in cidrs for n in (c.network, *c.excepted))
        texts = {(p.kind, p.part) for p in parts if isinstance(p.part, FQDNSelector)}
        ordered = sorted(texts, key=lambda one: (one[1].pattern, one[0]))
        self.selectors = tuple((s, _test_of(kind, s)) for kind, s in ordered)
        self._exact: dict[str, int] = {}
        tests = [self._test(p, differs=True) for p in parts]
        tests += [self._test(p, differs=False) for p in before & after]
        self._tests = sorted((t for t in tests if t is not None), key=lambda t: t.rank)

    def rank(self, name: str, addresses: Addresses) -> int:
        """How soon a name is looked at; those that differ by name come before those by pattern."""
        exact = self._exact.get(name, _UNTOUCHED)
        sooner = (t for t in self._tests if t.rank < exact)
        return next((t.rank for t in sooner if t.holds(name, addresses)), exact)

    def covers(self, address: str) -> bool:
        """Whether a network that differs covers it."""
        ip = ipaddress.ip_address(address)
        return any(ip.version == n.version and ip in n for n in self.networks)

    def is_first(self, network: Network) -> bool:
        """Whether a network differs."""
        return network in self.networks

    def _test(self, part: _Part, differs: bool) -> _Test | None:
        """The test of a selector or a network; a name alone is looked up, and not tested."""
        peer = part.part
        if isinstance(peer, CIDRPeer) and differs:
            return _Test(1, lambda _, given: any(_inside(peer.network, a) for a in given()))
        if not isinstance(peer, FQDNSelector):
            return None
        if "*" not in peer.pattern:
            rank = 0 if differs else 3
            self._exact[peer.pattern] = min(rank, self._exact.get(peer.pattern, rank))
            return None
        test = _test_of(part.kind, peer)
        rank = 3 if not differs else 1 if part.kind == "peer" else 2
        return _Test(rank, lambda name, _: test(name))


def _parts(policy: Policy) -> Iterator[_Part]:
    for spec in policy.specs:
        for rule in spec.rules:
            beside = (spec.subject, spec.default_deny, spec.egress, rule.deny)
            for peer in rule.peers or ():
                yield _Part("peer", (*beside, rule.ports, rule.icmps), peer)
            for block in rule.ports or ():
                for selector in block.dns:
                    yield _Part("dns", (*beside, rule.peers, block.ports), selector)
                for item in block.ports:
                    yield _Part("port", (*beside, rule.peers, block.dns), item)
            for icmp in rule.icmps or ():
                yield _Part("icmp", (*beside, rule.peers), icmp)


def _test_of(kind: str, selector: FQDNSelector) -> NameTest:
    return dns_selector_matcher(selector) if kind == "dns" else fqdn_matcher(selector)


def _inside(network: Network, address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return ip.version == network.version and ip in network
