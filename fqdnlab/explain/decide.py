"""What policies and mappings say of a packet, and what they would if something were else.  Pure.

The same functions decide here that fill the kernel's maps (`fqdnlab.model.mapstate`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, NamedTuple

from fqdnlab.agent.cluster import (
    RESOLVER,
    RESOLVER_ADDRESSES,
    index_of,
    internal_networks,
)
from fqdnlab.agent.identities import world
from fqdnlab.explain.case import Case
from fqdnlab.explain.facts import Facts, Known, Workload
from fqdnlab.explain.kernel import INTERNAL_ADDRESS, longest, stronger
from fqdnlab.model.mapstate import (
    ALLOW,
    DENY,
    REDIRECT,
    Compiled,
    Entry,
    Identity,
    RuleRef,
    compile_specs,
    dns_patterns,
    entries_for,
    networks_of,
    selectors_of,
    wildcard_entries,
)
from fqdnlab.model.names import dns_matcher, fqdn_matcher, matches_everything, normalise
from fqdnlab.model.policy import FQDNSelector, Policy
from fqdnlab.model.ports import PortKey
from fqdnlab.model.reasons import POLICY_DENIED, POLICY_DENY, ZOMBIE_NEW_FLOW

__all__ = ["Decision", "Mind", "Question", "resolves"]


class Decision(NamedTuple):
    """What is decided of a packet that opens a flow.

    Attributes
    ----------
    verdict, reason : int
    rule : RuleRef or None
        None: no rule decided.
    identity : Identity
    """

    verdict: int
    reason: int
    rule: RuleRef | None
    identity: Identity


class Question(NamedTuple):
    """What becomes of a look-up.

    Attributes
    ----------
    outcome : {"allowed", "refused", "unproxied", "dropped"}
        ``unproxied``: it passes, and nothing is learned from it; ``dropped``: a time-out.
    rule : RuleRef or None
        That let it pass, or that dropped it.
    """

    outcome: str
    rule: RuleRef | None


class Mind:
    """Decides as the agent would, from `facts` with changes.

    Parameters
    ----------
    facts : Facts
    policies : iterable of Policy, optional
        In place of those of `facts`.
    more : iterable of Known
        Mappings beside those of `facts`.
    """

    def __init__(
        self,
        facts: Facts,
        policies: Iterable[Policy] | None = None,
        more: Iterable[Known] = (),
    ) -> None:
        everything = facts.policies or () if policies is None else tuple(policies)
        self.enforced = [p for p in everything if not p.obstacles(facts.settings.profile)]
        self.void = [p for p in everything if p.obstacles(facts.settings.profile)]
        self._networks = networks_of(self.enforced)
        self._lab = facts.source != "export"
        own = (a for e in facts.endpoints for a in e.addresses if "." in a)
        self._internal = internal_networks(index_of(next(own, "0.0.0.0")))
        self._selectors = selectors_of(self.enforced)
        self._known: dict[str, set[tuple[str, str, bool]]] = {}
        for k in (*(facts.mappings or ()), *more):
            told = (k.name, k.source, k.state == "zombie")
            self._known.setdefault(k.address, set()).add(told)
        self._cluster = {address: _inside(labels) for address, labels in facts.peers}
        if self._lab:
            self._cluster.update(dict.fromkeys(RESOLVER_ADDRESSES, RESOLVER))
        for endpoint in facts.endpoints:
            identity = _inside(endpoint.labels)
            self._cluster.update(dict.fromkeys(endpoint.addresses, identity))
        # asked again for each port: thousands of packets are judged at once
        self._compiled: dict[tuple[tuple[str, str], ...], Compiled | None] = {}
        self._identities: dict[tuple[str, bool], Identity] = {}
        self._own: dict[str, bool] = {}
        self._entries: dict[Any, tuple[dict[PortKey, Entry], dict[PortKey, Entry]]] = {}

    def compiled(self, who: Workload) -> Compiled | None:
        """What selects an endpoint; None: nothing does."""
        if who.labels not in self._compiled:
            self._compiled[who.labels] = compile_specs(self.enforced, dict(who.labels))
        return self._compiled[who.labels]

    def identity(self, address: str, established: bool = False) -> Identity:
        """What an address is to new flows, or to those that were there before."""
        key = (address, established)
        if key not in self._identities:
            self._identities[key] = self._identity(address, established)
        return self._identities[key]

    def _identity(self, address: str, established: bool) -> Identity:
        if address in self._cluster:
            return self._cluster[address]
        ip = ipaddress.ip_address(address)
        if self._lab and self.internal(address):
            return Identity("host", (("reserved:host", ""),))
        selectors: set[FQDNSelector] = set()
        for name, source, zombie in self._known.get(address, ()):
            if established or not zombie:
                selectors.update(self.selectors(name, source))
        covering = frozenset(n for n in self._networks if n.version == ip.version and ip in n)
        base = world(ip.version)
        return Identity("net", base.labels, base.family, frozenset(selectors), covering)

    def internal(self, address: str) -> bool:
        """Whether it is the node's own, to which no endpoint may talk (labs alone)."""
        if address not in self._own:
            ip = ipaddress.ip_address(address)
            here = any(n.version == ip.version and ip in n for n in self._internal)
            self._own[address] = self._lab and here
        return self._own[address]

    def selectors(self, name: str, source: str = "lookup") -> set[FQDNSelector]:
        """``toFQDNs`` selectors that select a name."""
        if self._lab and source == "connection":  # the agent's: a pattern read from the kernel
            return {s for s in self._selectors if s.pattern == name}
        return {s for s in self._selectors if fqdn_matcher(s)(name)}

    def judge(self, who: Workload, address: str, proto: int, port: int) -> Decision:
        """Ways 3.4 and 3.5, from policies and mappings."""
        identity = self.identity(address)
        if self.internal(address):
            return Decision(DENY, INTERNAL_ADDRESS, None, identity)
        compiled = self.compiled(who)
        if compiled is None:
            return Decision(ALLOW, 0, None, identity)
        best = self._find(who, compiled, identity, proto, port)
        if best is not None:
            reason = POLICY_DENY if best.verdict == DENY else 0
            return Decision(best.verdict, reason, best.rule, identity)
        reason = POLICY_DENIED
        was = self.identity(address, established=True)
        if was != identity:
            before = self._find(who, compiled, was, proto, port)
            if before is not None and before.verdict in (ALLOW, REDIRECT):
                reason = ZOMBIE_NEW_FLOW
        return Decision(DENY, reason, None, identity)

    def _find(
        self, who: Workload, compiled: Compiled, identity: Identity, proto: int, port: int
    ) -> Entry | None:
        """The entry that decides, found as the kernel finds it in its map."""
        key = (who.labels, identity)
        if key not in self._entries:
            self._entries[key] = entries_for(compiled, identity), wildcard_entries(compiled)
        own, wild = self._entries[key]
        one, any_ = longest(own, proto, port), longest(wild, proto, port)
        return stronger(own[one] if one else None, wild[any_] if any_ else None)

    def ask(
        self, who: Workload, server: str, name: str, proto: int = 17, port: int = 53
    ) -> Question:
        """Ways 2.2 and 2.4 for a question to `server`."""
        packet = self.judge(who, server, proto, port)
        if packet.verdict == DENY:
            return Question("dropped", packet.rule)
        if packet.verdict == ALLOW:
            return Question("unproxied", packet.rule)
        compiled = self.compiled(who)
        assert compiled is not None
        patterns = dns_patterns(compiled, packet.identity, port, proto)
        rule = _allowing(patterns, normalise(name))
        return Question("allowed" if rule else "refused", rule)


def _inside(labels: tuple[tuple[str, str], ...]) -> Identity:
    return Identity("host" if ("reserved:host", "") in labels else "endpoint", labels)


def resolves(facts: Facts, mind: Mind, case: Case) -> bool:
    """Whether the endpoint gets the address that it sends to: by a look-up, if it needs one."""
    if not case.look_up:
        return True
    outcome = mind.ask(case.who, facts.server, case.name).outcome
    return outcome in ("allowed", "unproxied")


def _allowing(patterns: tuple[tuple[str, RuleRef], ...], name: str) -> RuleRef | None:
    """The rule that lets a question pass: exact names first, then patterns, then everything."""
    open_ = [ref for text, ref in patterns if matches_everything(text)]
    exact = [ref for text, ref in patterns if "*" not in text and normalise(text) == name]
    rest = [
        ref
        for text, ref in patterns
        if "*" in text and not matches_everything(text) and dns_matcher(text)(name)
    ]
    return next(iter((*exact, *rest, *open_)), None)
