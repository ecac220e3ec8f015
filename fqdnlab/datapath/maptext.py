"""Octets of the kernel's maps as text (`fqdnlab.model.maptext`): for ``ListMaps`` and evidence."""

from __future__ import annotations

from collections.abc import Callable

from fqdnlab.datapath import abi
from fqdnlab.model.maptext import CacheEntry, EndpointEntry, PolicyEntry, PolicyKey
from fqdnlab.model.ports import PortKey

__all__ = ["KEYS", "VALUES"]


def _ifindex(key: bytes) -> str:
    return f"ifindex {int.from_bytes(key, 'little')}"


def _cidr(key: bytes) -> str:
    bits, address = abi.CIDR_KEY.unpack(key)
    ip = abi.ip_object(address)
    return f"{ip}/{bits - 96 if ip.version == 4 else bits}"


def _policy_key(key: bytes) -> str:
    bits, policy, identity, proto, port = abi.POLICY_KEY.unpack(key)
    ports = PortKey(proto, int.from_bytes(port, "big"), bits - abi.POLICY_EXACT_BITS)
    return PolicyKey(int.from_bytes(policy, "big"), int.from_bytes(identity, "big"), ports).text


def _policy(value: bytes) -> str:
    rule, proxy_port, verdict, bits = abi.POLICY_VALUE.unpack(value)
    return PolicyEntry(verdict, proxy_port, rule, bits).text


def _cache(value: bytes) -> str:
    identity, established, flags, _ = abi.IPCACHE_VALUE.unpack(value)
    return CacheEntry(identity, established, bool(flags & abi.IPCACHE_INTERNAL)).text


def _endpoint(value: bytes) -> str:
    number, policy, identity, flags, ip4, ip6 = abi.ENDPOINT.unpack(value)
    enforced = bool(flags & abi.ENDPOINT_ENFORCED)
    return EndpointEntry(
        number, policy, identity, enforced, abi.ip_text(ip4), abi.ip_text(ip6)
    ).text


#: Name of a map → its key, its value in words.
KEYS: dict[str, Callable[[bytes], str]] = {
    "endpoints": _ifindex,
    "ipcache_host": abi.ip_text,
    "ipcache_cidr": _cidr,
    "policy": _policy_key,
}
VALUES: dict[str, Callable[[bytes], str]] = {
    "endpoints": _endpoint,
    "ipcache_host": _cache,
    "ipcache_cidr": _cache,
    "policy": _policy,
}
