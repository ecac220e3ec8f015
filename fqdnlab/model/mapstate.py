"""Way 1.4: policies compiled to what the kernel's policy map holds.

Pure.  The map's rule (bpf/verdict.h): for one (policy, identity) the longest entry over protocol
and port is found, once for the packet's identity and once for any identity, and the stronger of the
two decides.  So each entry here already carries the strongest of all entries that cover it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fqdnlab.model.policy import CIDRPeer, FQDNSelector, Policy, Rule
from fqdnlab.model.ports import EVERYTHING, NUMBERS, PortKey, icmp_key, port_keys
from fqdnlab.model.selecting import (
    Compiled,
    Identity,
    IdentityIndex,
    Network,
    compile_specs,
    is_wild,
)

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
    "IdentityIndex",
    "Network",
    "RuleRef",
    "compile_specs",
    "dns_patterns",
    "dns_ports",
    "entries_for",
    "entries_of",
    "is_wild",
    "networks_of",
    "selectors_of",
    "selectors_of_servers",
    "wildcard_entries",
]

ALLOW, REDIRECT, DENY = 1, 2, 3
#: Reserved identities (Cilium's pkg/identity).
ANY_IDENTITY, HOST, WORLD_IPV4, WORLD_IPV6 = 0, 1, 9, 10


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
    return entries_of(compiled.selecting(identity))


def entries_of(rules: Iterable[tuple[Policy, Rule]]) -> dict[PortKey, Entry]:
    """Entries that these rules make together."""
    return _strongest(item for policy, rule in rules for item in _rule_entries(policy, rule))


def wildcard_entries(compiled: Compiled) -> dict[PortKey, Entry]:
    """Entries for any identity: rules without peers, and the default where nothing denies."""
    items = [
        item
        for policy, rule in compiled.rules
        if is_wild(rule.peers)
        for item in _rule_entries(policy, rule)
    ]
    if not compiled.default_deny:
        items.append((EVERYTHING, Entry(ALLOW, 0, 0, None)))
    return _strongest(items)


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
            if not ports.dns and not is_wild(rule.peers):
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
