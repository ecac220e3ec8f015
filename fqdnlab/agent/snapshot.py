"""Way 1.7: what the proxy must know, as Cilium's PolicyState (semantics: FQDNData).  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fqdnlab.agent.cluster import RESOLVER, RESOLVER_ADDRESSES
from fqdnlab.agent.state import AgentState
from fqdnlab.datapath import abi
from fqdnlab.model.mapstate import (
    WORLD_IPV4,
    WORLD_IPV6,
    Compiled,
    Identity,
    IdentityIndex,
    dns_patterns,
    dns_ports,
    is_wild,
)
from fqdnlab.model.policy import FQDNSelector
from fqdnlab.pb import fqdndata_pb2 as pb

__all__ = ["policy_state"]

_WORLD = ((WORLD_IPV4, bytes(4) + b"\0"), (WORLD_IPV6, bytes(16) + b"\0"))


def policy_state(state: AgentState) -> pb.PolicyState:
    """The whole snapshot, without request id and revision; it replaces all that went before."""
    snapshot = pb.PolicyState(fqdnlab_time_scale=state.clock.scale)
    by_policy: dict[int, list[pb.DNSPolicy]] = {}
    numbers = dict(sorted(state.known_identities(), key=lambda pair: pair[1]))
    index = IdentityIndex(numbers)
    for endpoint_id in sorted(state.endpoints):
        compiled = state.compiled_for(endpoint_id)
        if compiled is None:
            continue
        rules = by_policy.get(id(compiled))
        if rules is None:
            rules = by_policy[id(compiled)] = list(_dns_policies(state, compiled, index, numbers))
        for rule in rules:
            mine = snapshot.egress_l7_dns_policy.add()
            mine.CopyFrom(rule)
            mine.source_endpoint_id = endpoint_id
    _endpoints(state, snapshot)
    _prefixes(state, snapshot)
    return snapshot


def _dns_policies(
    state: AgentState, compiled: Compiled, index: IdentityIndex, numbers: Mapping[Identity, int]
) -> Iterable[pb.DNSPolicy]:
    """One for each set of patterns, with all servers for which it holds."""
    groups: dict[tuple[tuple[str, int], ...], list[pb.DNSServer]] = {}
    asked = [rule.peers for _, rule in compiled.rules if any(p.dns for p in rule.ports or ())]
    some = {i for peers in asked for p in peers or () for i in index.selected_by(p)}
    everyone = any(is_wild(peers) for peers in asked)
    servers = [(i, n) for i, n in numbers.items() if everyone or i in some]
    for port, proto in sorted(dns_ports(compiled)):
        for identity, number in servers:
            patterns = dns_patterns(compiled, identity, port, proto)
            if not patterns:
                continue
            key = tuple((text, state.rules.get(ref)) for text, ref in patterns)
            server = pb.DNSServer(
                dns_server_identity=number, dns_server_port=port, dns_server_proto=proto
            )
            groups.setdefault(key, []).append(server)
    for key, holds in groups.items():
        yield pb.DNSPolicy(
            dns_pattern=[text for text, _ in key],
            fqdnlab_rule=[rule for _, rule in key],
            dns_servers=holds,
        )


def _endpoints(state: AgentState, snapshot: pb.PolicyState) -> None:
    by_identity: dict[int, pb.IdentityToEndpointMapping] = {}

    def add(identity: int, number: int, addresses: Iterable[str]) -> None:
        entry = by_identity.get(identity)
        if entry is None:
            entry = by_identity[identity] = snapshot.identity_to_endpoint_mapping.add()
            entry.identity = identity
        # One info an address: Cilium's Standalone DNS Proxy finds an endpoint by its first only.
        for address in addresses:
            entry.endpoint_info.add(id=number, ip=[abi.ip_object(abi.ip16(address)).packed])

    for endpoint in state.endpoints.values():
        addresses = [a for a in (endpoint.ip4, endpoint.ip6) if a]
        add(state.identities.number(endpoint.identity), endpoint.id, addresses)
    add(state.identities.number(RESOLVER), 0, RESOLVER_ADDRESSES)


def _prefixes(state: AgentState, snapshot: pb.PolicyState) -> None:
    """Networks of policies, addresses of names, and the world for all the rest."""
    by_identity: dict[int, list[bytes]] = {number: [prefix] for number, prefix in _WORLD}
    for key, value in state.content.cidr.items():
        bits, address = abi.CIDR_KEY.unpack(key)
        identity, _, flags, _ = abi.IPCACHE_VALUE.unpack(value)
        packed = abi.ip_object(address).packed
        if not flags & abi.IPCACHE_INTERNAL:
            length = bits - 96 if len(packed) == 4 else bits
            by_identity.setdefault(identity, []).append(packed + bytes([length]))
    if _servers_by_name(state):
        for address in state.mappings.addresses():
            value = state.content.ipcache.get(address, b"")
            if value:
                packed = abi.ip_object(address).packed
                identity = abi.IPCACHE_VALUE.unpack(value)[0]
                by_identity.setdefault(identity, []).append(packed + bytes([len(packed) * 8]))
    for identity, prefixes in by_identity.items():
        snapshot.identity_to_prefix_mapping.add(identity=identity, prefix=prefixes)


def _servers_by_name(state: AgentState) -> bool:
    """Whether some rule has its DNS servers by name: only then are learned addresses told."""
    return any(
        rule.ports is not None and any(p.dns for p in rule.ports) and _has_names(rule.peers)
        for compiled in state.compiled.values()
        for _, rule in compiled.rules
    )


def _has_names(peers: object) -> bool:
    return isinstance(peers, tuple) and any(isinstance(p, FQDNSelector) for p in peers)
