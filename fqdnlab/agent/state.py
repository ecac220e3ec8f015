"""The agent's mind: events and times in, operations on the kernel's maps out.  Pure.

An address is what its names say: the selectors of all names that it was learned for, plus the
networks of policies that cover it, plus world (semantics: Cilium's identities).  Two identities
stand in the ipcache: one for new flows (names alive), one for flows that were there before (names
that are zombies too).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from fqdnlab.agent.addresses import RESTORED, Addresses, Networks
from fqdnlab.agent.cluster import (
    RESOLVER,
    RESOLVER_ADDRESSES,
    Endpoint,
    Learned,
    internal_networks,
)
from fqdnlab.agent.held import held_content
from fqdnlab.agent.identities import Identities, Numbers, policy_digest
from fqdnlab.agent.mappings import Collected, Mapping, MappingTable, limits
from fqdnlab.agent.operations import Content, Operation, difference
from fqdnlab.agent.rows import cidr_key, endpoint_value, identities_used, policy_rows
from fqdnlab.datapath import abi
from fqdnlab.errors import StateError
from fqdnlab.model.labtime import LabClock
from fqdnlab.model.mapstate import (
    ANY_IDENTITY,
    HOST,
    Compiled,
    Entry,
    Identity,
    IdentityIndex,
    RuleRef,
    compile_specs,
    entries_of,
    networks_of,
    selectors_of,
    selectors_of_servers,
    wildcard_entries,
)
from fqdnlab.model.policy import FQDNSelector, Policy
from fqdnlab.model.ports import PortKey
from fqdnlab.model.settings import LabSettings

__all__ = ["RESTORED", "AgentState"]


@dataclass
class AgentState:
    """Everything the agent knows; its methods return what is to be written.

    The caller writes the operations and then calls `content.note` with them: what was not
    written is not taken for written.
    """

    settings: LabSettings
    index: int = 1  # of the node: its own addresses follow from it
    content: Content = field(default_factory=Content)
    policies: dict[tuple[str, str, str], Policy] = field(default_factory=dict)
    endpoints: dict[int, Endpoint] = field(default_factory=dict)
    mappings: MappingTable = field(default_factory=MappingTable)
    identities: Identities = field(default_factory=Identities)
    rules: Numbers[RuleRef] = field(default_factory=lambda: Numbers(1, 1 << 31))
    policy_ids: Numbers[str] = field(default_factory=lambda: Numbers(1, 1 << 31))
    revision: int = 0
    held: bool = False  # the policies are lost: what the kernel enforces stays till there are new

    def __post_init__(self) -> None:
        self.clock = LabClock(self.settings.time_scale)
        self.compiled: dict[int, Compiled] = {}
        self._policy_of: dict[int, int] = {}
        self._addresses = Addresses()
        self._steering: frozenset[FQDNSelector] = frozenset()
        self._wild: dict[int, dict[PortKey, Entry]] = {}
        self._in_use: set[Identity] = set()
        self._values: dict[tuple[Identity, Identity], bytes] = {}
        self._internal_addresses: set[bytes] = set()
        self._internal = Networks(internal_networks(self.index))
        self._recompile()

    # ------------------------------------------------------------ events

    def set_policies(self, policies: Iterable[Policy]) -> list[Operation]:
        """Way 1.3: add these, each in place of one of the same kind, namespace and name."""
        for policy in policies:
            self.policies[policy.key] = policy
        self.revision += 1
        self.held = False
        return self.rebuild()

    def delete_policy(self, key: tuple[str, str, str]) -> list[Operation]:
        """Forget a policy; KeyError if it is not there."""
        del self.policies[key]
        self.revision += 1
        return self.rebuild()

    def set_endpoints(self, endpoints: Iterable[Endpoint]) -> list[Operation]:
        """The whole truth about endpoints, from the node service."""
        self.endpoints = {e.id: e for e in endpoints}
        for gone in {m.endpoint for m in self.mappings} - self.endpoints.keys() - {0}:
            self.mappings.forget_endpoint(gone)
        return self.rebuild()

    def put_endpoint(self, endpoint: Endpoint) -> list[Operation]:
        """One more, or one that has changed."""
        self.endpoints[endpoint.id] = endpoint
        return self.rebuild()

    def remove_endpoint(self, endpoint_id: int) -> list[Operation]:
        """One less."""
        self.endpoints.pop(endpoint_id, None)
        self.mappings.forget_endpoint(endpoint_id)
        return self.rebuild()

    def learn(self, learned: Learned, now: int) -> list[Operation]:
        """Way 2.8: an answer's addresses; usually one ipcache write each, or none.

        Parameters
        ----------
        learned : Learned
            One that was kept while the agent was dead lives its whole TTL from now.
        now : int
            CLOCK_BOOTTIME, ns.

        Raises
        ------
        StateError
            If the endpoint has as many mappings as it may have: names are its own choice.
        """
        self._check_room(learned)
        start = now if learned.kept else learned.seen_ns
        lives = max(learned.ttl, self.settings.min_ttl) / self.clock.scale
        # The client counts from the release, which is at the hold deadline at the latest.
        expires = start + int((self.settings.hold + lives) * 1e9)
        operations: list[Operation] = []
        for raw in learned.addresses:
            address = abi.ip16_packed(raw)
            fresh = Mapping(learned.endpoint, learned.name, address, learned.ttl, start, expires)
            fresh.source = learned.source
            if self.mappings.learn(fresh):
                operations += self._address(address)
        return operations

    def _check_room(self, learned: Learned) -> None:
        most = self.settings.max_mappings
        if self.mappings.of_endpoint(learned.endpoint) + len(learned.addresses) > most:
            packed = [abi.ip16_packed(raw) for raw in learned.addresses]
            known = (self.mappings.find(learned.endpoint, learned.name, a) for a in packed)
            if not all(known):
                raise StateError(f"an endpoint may have {most} mappings", "raise max_mappings")

    def unlearn(self, learned: Learned) -> None:
        """The kernel has no room for it: what is not there is not known either."""
        for raw in learned.addresses:
            address = abi.ip16_packed(raw)
            if address not in self.content.ipcache:
                self.mappings.forget(learned.endpoint, learned.name, address)

    def collect(self, now: int, live: Collection[bytes]) -> tuple[Collected, list[Operation]]:
        """A collection pass; `live` are the addresses that flows of endpoints go to."""
        done = self.mappings.collect(now, live, limits(self.settings, self.clock))
        operations = [o for address in sorted(done.changed) for o in self._address(address)]
        changed = bool(operations)
        operations += self._release_identities(operations)
        if changed:
            operations.append(Operation("epoch"))
        return done, operations

    def set_time_scale(self, scale: float, now: int) -> list[Operation]:
        """Lab time goes at another speed from `now` on; what was to expire does so then."""
        self.mappings.retime(self.clock, scale, now, int(self.settings.hold * 1e9))
        self.clock = self.clock.changed(scale, now)
        return []

    # ------------------------------------------------------------ questions

    def enforced_policies(self) -> list[Policy]:
        """Those that have an effect under the lab's profile."""
        return [p for p in self.policies.values() if not p.obstacles(self.settings.profile)]

    def compiled_for(self, endpoint_id: int) -> Compiled | None:
        """What selects an endpoint; None: nothing, it is not policed."""
        return self.compiled.get(self._policy_of.get(endpoint_id, 0))

    def identity_of(self, address: bytes, established: bool = False) -> Identity:
        """What an outside address is to new flows, or to those that were there before."""
        fresh, every = self.mappings.names(address)
        return self._addresses.identity(address, every if established else fresh)

    def known_identities(self) -> Iterable[tuple[Identity, int]]:
        """Identities that the policy map has entries for, with their numbers."""
        return [(i, self.identities.number(i)) for i in self._in_use]

    # ------------------------------------------------------------ what should be

    def _recompile(self) -> None:
        enforced = self.enforced_policies()
        self._addresses = Addresses(selectors_of(enforced), networks_of(enforced))
        self._steering = selectors_of_servers(enforced)
        for ref in (RuleRef(p.key, r.path) for p in enforced for r in p.rules()):
            self.rules.get(ref)  # now, so that a look-up never makes a number of a rule
        self.compiled, self._policy_of = {}, {}
        digests: set[str] = set()
        for endpoint in self.endpoints.values():
            labels = dict(endpoint.identity.labels)
            compiled = compile_specs(enforced, labels)
            if compiled is None:
                continue
            digest = policy_digest(compiled)
            digests.add(digest)
            number = self.policy_ids.get(digest)
            self.compiled[number] = compiled
            self._policy_of[endpoint.id] = number
        self.policy_ids.retain(digests)
        self._wild = {n: wildcard_entries(c) for n, c in self.compiled.items()}

    def rebuild(self) -> list[Operation]:
        """Compile all anew and say what differs (ways 1.4, 1.5)."""
        self._recompile()
        if self.held:
            # Nothing is known of what is there: only endpoints are added or removed.
            values = {e.ifindex: self._endpoint_value(e) for e in self.endpoints.values()}
            return difference(self.content, held_content(self.content, values))
        want = Content()
        self._values.clear()
        self._in_use = {Identity("host", (("reserved:host", ""),)), RESOLVER}
        self._in_use |= {self._addresses.identity(abi.ip16(a)) for a in ("0.0.0.0", "::")}
        self._cluster_addresses(want)
        self._cidrs(want)
        for address in self.mappings.addresses():
            pair = self._pair(address)
            if pair and address not in want.ipcache:
                want.ipcache[address] = self._value(pair)
        for endpoint in self.endpoints.values():
            key = endpoint.ifindex.to_bytes(4, "little")
            want.endpoint[key] = self._endpoint_value(endpoint)
        for policy_id in self.compiled:
            wild = policy_rows(policy_id, ANY_IDENTITY, self._wild[policy_id], self._rule)
            want.policy.update(wild)
        want.policy.update(self._rows(self._in_use))
        self.identities.retain(self._in_use)
        return difference(self.content, want)

    def _cluster_addresses(self, want: Content) -> None:
        for address in RESOLVER_ADDRESSES:
            number = self.identities.number(RESOLVER)
            want.ipcache[abi.ip16(address)] = abi.IPCACHE_VALUE.pack(number, number, 0, 0)
        for endpoint in self.endpoints.values():
            self._in_use.add(endpoint.identity)
            number = self.identities.number(endpoint.identity)
            for address in filter(None, (endpoint.ip4, endpoint.ip6)):
                want.ipcache[abi.ip16(address)] = abi.IPCACHE_VALUE.pack(number, number, 0, 0)
        self._internal_addresses = set(want.ipcache)

    def _cidrs(self, want: Content) -> None:
        for network in self._addresses.networks.all:
            identity = self._addresses.of_network(network)
            number = self.identities.number(identity)
            self._in_use.add(identity)
            want.cidr[cidr_key(network)] = abi.IPCACHE_VALUE.pack(number, number, 0, 0)
        for network in self._internal.all:
            flags = abi.IPCACHE_INTERNAL
            want.cidr[cidr_key(network)] = abi.IPCACHE_VALUE.pack(HOST, HOST, flags, 0)

    def _endpoint_value(self, endpoint: Endpoint) -> bytes:
        number = self.identities.number(endpoint.identity)
        return endpoint_value(endpoint, self._policy_of.get(endpoint.id, 0), number)

    # ------------------------------------------------------------ one address

    def _pair(self, address: bytes) -> tuple[Identity, Identity] | None:
        """What it is to new flows and to established ones; None where the networks that cover it
        say it all."""
        fresh, every = self.mappings.names(address)
        old = self._addresses.identity(address, every)
        if not old.selectors or self._is_internal(address):
            return None
        return (old if fresh == every else self._addresses.identity(address, fresh)), old

    def _value(self, pair: tuple[Identity, Identity]) -> bytes:
        """The ipcache entry for it, one object for all alike."""
        found = self._values.get(pair)
        if found is None:
            self._in_use.update(pair)
            found = abi.IPCACHE_VALUE.pack(*map(self.identities.number, pair), 0, 0)
            self._values[pair] = found
        return found

    def _is_internal(self, address: bytes) -> bool:
        """A name that resolves into the cluster or to the node opens nothing."""
        return address in self._internal_addresses or bool(self._internal.covering(address))

    def _address(self, address: bytes) -> list[Operation]:
        """Entries of a new identity first, then the ipcache points to it (way 2.8)."""
        if address in self._internal_addresses or self.held:
            return []
        pair = self._pair(address)
        had = self.content.ipcache.get(address, b"")
        if pair is None:
            return [Operation("ipcache", address)] if had else []
        fresh = {i for i in pair if i not in self._in_use}
        value = self._value(pair)
        if value == had:
            return []
        operations = [Operation("policy", k, v) for k, v in self._rows(fresh).items()]
        operations.append(Operation("ipcache", address, value))
        if had or self._redirects(address):  # flows to it may be judged otherwise now
            operations.append(Operation("epoch"))
        return operations

    def _redirects(self, address: bytes) -> bool:
        """Whether its names make it a server asked through the proxy: else they only allow more."""
        return not self._steering.isdisjoint(self.identity_of(address).selectors)

    def _release_identities(self, pending: list[Operation]) -> list[Operation]:
        """Policy entries of identities that no address has any more, to be removed last."""
        used = identities_used(self.content, pending)
        gone = {
            i: self.identities.number(i)
            for i in self._in_use
            if i.selectors and self.identities.number(i) not in used
        }
        if gone:
            self._values.clear()
        for identity in gone:
            self._in_use.discard(identity)
            self.identities.release(identity)
        numbers = {n.to_bytes(4, "big") for n in gone.values()}
        return [Operation("policy", k) for k in self.content.policy if k[8:12] in numbers]

    def _rows(self, identities: Collection[Identity]) -> dict[bytes, bytes]:
        """Rows of the policy map for these identities, of every policy."""
        rows: dict[bytes, bytes] = {}
        index = IdentityIndex(identities)
        for policy_id, compiled in self.compiled.items() if identities else ():
            for identity, rules in compiled.selected(index).items():
                number = self.identities.number(identity)
                rows.update(policy_rows(policy_id, number, entries_of(rules), self._rule))
        return rows

    def _rule(self, ref: RuleRef | None) -> int:
        return self.rules.get(ref) if ref else 0
