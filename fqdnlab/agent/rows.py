"""Keys and values of the kernel's maps, as octets (the ABI of bpf/abi.h).  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from fqdnlab.agent.cluster import Endpoint
from fqdnlab.agent.operations import Content, Operation
from fqdnlab.datapath import abi
from fqdnlab.model.mapstate import Entry, Network, RuleRef
from fqdnlab.model.ports import PortKey

__all__ = ["cidr_key", "endpoint_value", "identities_used", "policy_rows"]


def policy_rows(
    policy_id: int,
    identity: int,
    entries: Mapping[PortKey, Entry],
    rule_number: Callable[[RuleRef | None], int],
) -> dict[bytes, bytes]:
    """Rows of the policy map for one (policy, identity)."""
    rows: dict[bytes, bytes] = {}
    for key, entry in entries.items():
        octets = abi.POLICY_KEY.pack(
            abi.POLICY_EXACT_BITS + key.bits,
            policy_id.to_bytes(4, "big"),
            identity.to_bytes(4, "big"),
            key.proto,
            key.port.to_bytes(2, "big"),
        )
        rule = rule_number(entry.rule)
        rows[octets] = abi.POLICY_VALUE.pack(rule, entry.proxy_port, entry.verdict, entry.bits)
    return rows


def endpoint_value(endpoint: Endpoint, policy_id: int, identity: int) -> bytes:
    """Row of an endpoint; it is policed if `policy_id` is not 0."""
    return abi.ENDPOINT.pack(
        endpoint.id,
        policy_id,
        identity,
        abi.ENDPOINT_ENFORCED if policy_id else 0,
        abi.ip16(endpoint.ip4) if endpoint.ip4 else bytes(16),
        abi.ip16(endpoint.ip6) if endpoint.ip6 else bytes(16),
    )


def cidr_key(network: Network) -> bytes:
    """Key of a network in the ipcache's LPM trie."""
    bits = network.prefixlen + (96 if network.version == 4 else 0)
    return abi.CIDR_KEY.pack(bits, abi.ip16(str(network.network_address)))


def identities_used(content: Content, pending: Iterable[Operation]) -> set[int]:
    """Numbers that the ipcache will refer to once `pending` is done."""
    after = dict(content.ipcache)
    for table, key, value in pending:
        if table == "ipcache":
            after[key] = value
    used = {n for v in after.values() if v for n in abi.IPCACHE_VALUE.unpack(v)[:2]}
    return used | {abi.IPCACHE_VALUE.unpack(v)[0] for v in content.cidr.values()}
