"""Keys and values of the kernel's maps, as octets (the ABI of bpf/abi.h).  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fqdnlab.datapath import abi
from fqdnlab.model.mapstate import Entry, Network, RuleRef
from fqdnlab.model.ports import PortKey

__all__ = ["cidr_key", "policy_rows"]


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


def cidr_key(network: Network) -> bytes:
    """Key of a network in the ipcache's LPM trie."""
    bits = network.prefixlen + (96 if network.version == 4 else 0)
    return abi.CIDR_KEY.pack(bits, abi.ip16(str(network.network_address)))
