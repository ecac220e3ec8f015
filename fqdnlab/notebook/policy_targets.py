"""Where packets may go that a forecast judges: names and addresses.  Pure.

All that anybody has asked for, learned or sent to, the world's names and those of the text, one
address of each network that a policy names, and one that nobody knows: it stands for all others.
Where there are too many, what the text touches comes first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

from fqdnlab.agent.cluster import RESOLVER_ADDRESSES
from fqdnlab.explain import Facts
from fqdnlab.explain.case import SOMEWHERE, addresses_of
from fqdnlab.model.mapstate import selectors_of
from fqdnlab.model.names import MatchSet, normalise
from fqdnlab.model.policy import CIDRPeer, Network, Policy
from fqdnlab.notebook.policy_matches import known_names
from fqdnlab.notebook.policy_touched import Touched

__all__ = ["OTHER", "OTHERS", "Target", "Targets", "targets_of"]

OTHER = "any other address"
#: For each version, an address that nobody knows: no policy names its network.
OTHERS = {"any other IPv4 address": SOMEWHERE, "any other IPv6 address": "4000::53"}
_MOST_NAMES = 200
_MOST_ADDRESSES = 60
_FIRST_STAND_INS = "240.1.0.1", "4000::1:1"


class Target(NamedTuple):
    """A destination.

    Attributes
    ----------
    label : str
    name : str
        '' where it has none.
    addresses : tuple of str
    stale : tuple of str
        Of these: those that a look-up would not give any more.
    made_up : bool
        Whether its addresses only stand for those that nobody knows.
    """

    label: str
    name: str
    addresses: tuple[str, ...]
    stale: tuple[str, ...] = ()
    made_up: bool = False


class Targets(NamedTuple):
    """Destinations to judge.

    Attributes
    ----------
    found : list of Target
        Names first.
    cut : bool
        Whether there were too many.
    """

    found: list[Target]
    cut: bool

    @property
    def names(self) -> int:
        """How many have a name."""
        return sum(bool(target.name) for target in self.found)


def targets_of(
    facts: Facts, policies: Sequence[Policy], seen: Iterable[str], touched: Touched
) -> Targets:
    """Destinations to judge.

    Parameters
    ----------
    facts : Facts
    policies : sequence of Policy
        As they are, and as they would be.
    seen : iterable of str
        Addresses that packets went to.
    touched : Touched
    """
    found, cut = _names(facts, policies, touched)
    covered = {address for target in found for address in target.addresses}
    inside = [(f"endpoint {one.name}", one.addresses) for one in facts.endpoints]
    if facts.source != "export":
        inside.append(("the resolver", RESOLVER_ADDRESSES))
    for label, addresses in inside:
        found.append(Target(label, "", tuple(a for a in addresses if a)))
        covered.update(addresses)
    rest = {*seen} - covered - {facts.server}
    sent = sorted(rest, key=lambda a: (not touched.covers(a), _order(a)))
    found += [Target(address, "", (address,)) for address in sent[:_MOST_ADDRESSES]]
    networks = _networks(policies, touched)
    found += _others(networks, {*covered, *sent[:_MOST_ADDRESSES]})
    found += [Target(label, "", (address,)) for label, address in OTHERS.items()]
    return Targets(found, cut or max(len(sent), len(networks)) > _MOST_ADDRESSES)


def _names(facts: Facts, policies: Sequence[Policy], touched: Touched) -> tuple[list[Target], bool]:
    """Names, those that are judged otherwise before those that a rule opens, before the rest."""
    learned: dict[str, set[str]] = {}
    for k in facts.mappings or ():
        learned.setdefault(k.name, set()).add(k.address)
    known = known_names(facts)
    near = _near(facts)
    opened = MatchSet(selectors_of(policies))
    order = sorted(
        known,
        key=lambda n: (touched.rank(n, lambda: near.get(n, ())), not opened.match(n), n),
    )
    written = _written(known, touched)
    first = order[: max(0, _MOST_NAMES - len(written))]
    found = [*written, *(_by_name(facts, name, learned.get(name, set())) for name in first)]
    return found[:_MOST_NAMES], len(known) + len(written) > _MOST_NAMES


def _by_name(facts: Facts, name: str, learned: set[str]) -> Target:
    given = addresses_of(facts, name)
    stale = tuple(sorted(learned.difference(given), key=_order))
    shown = name.rstrip(".")
    return Target(shown, shown, (*given, *stale), stale)


def _near(facts: Facts) -> dict[str, list[str]]:
    """Addresses by name without looking any up, which takes long: for the order alone."""
    found: dict[str, list[str]] = {}
    for k in facts.mappings or ():
        found.setdefault(k.name, []).append(k.address)
    for record in facts.zones or ():
        if record.type in ("A", "AAAA"):
            found.setdefault(normalise(record.name), []).extend(record.values)
    return found


def _written(known: Sequence[str], touched: Touched) -> list[Target]:
    """Names that the text alone has, and one of each pattern that nobody has asked for.

    Nobody knows their addresses; each has one of its own that stands for them.
    """
    found: dict[str, str] = {}
    every = {*known}
    for selector, test in touched.selectors:
        name = normalise(selector.pattern.replace("**", "any").replace("*", "any"))
        exact = "*" not in selector.pattern
        if test(name) and name not in every and (exact or not any(test(one) for one in known)):
            found.setdefault(name, selector.match_name or selector.match_pattern)
    first = [ipaddress.ip_address(text) for text in _FIRST_STAND_INS]
    addresses = (tuple(str(one + n) for one in first) for n in count())
    return [
        Target(label.rstrip("."), name.rstrip("."), given, made_up=True)
        for (name, label), given in zip(found.items(), addresses, strict=False)
    ]


def _networks(policies: Iterable[Policy], touched: Touched) -> list[Network]:
    """Networks that policies name: those that differ, then the smaller ones."""
    peers = (p for policy in policies for rule in policy.rules() for p in rule.peers or ())
    every = {n for p in peers if isinstance(p, CIDRPeer) for n in (p.network, *p.excepted)}
    return sorted(
        every,
        key=lambda n: (not touched.is_first(n), n.version, -n.prefixlen, int(n.network_address)),
    )


def _others(networks: list[Network], covered: set[str]) -> Iterator[Target]:
    for network in networks[:_MOST_ADDRESSES]:
        address = _one_of(network, networks)
        if address and address not in covered:
            one = network.num_addresses == 1
            yield Target(address if one else f"others in {network}", "", (address,))


def _one_of(network: Network, others: Iterable[Network]) -> str:
    """An address of a network that is in no smaller one of `others`; '' if these fill it."""
    inside = [n for n in others if n.version == network.version and n.prefixlen > network.prefixlen]
    first, last = int(network.network_address), int(network.broadcast_address)
    spans = [(int(n.network_address), int(n.broadcast_address)) for n in inside]
    for at in (first + 1, first, (first + last) // 2, *(end + 1 for _, end in spans)):
        if first <= at <= last and not any(low <= at <= high for low, high in spans):
            return str(network.network_address + (at - first))
    return ""


def _order(address: str) -> tuple[int, int]:
    ip = ipaddress.ip_address(address)
    return ip.version, int(ip)
