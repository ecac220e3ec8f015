"""Ways 3.4 and 3.5 over the entries of the kernel's maps: what bpf/verdict.h would say.  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol, TypeVar

from fqdnlab.model.mapstate import (
    ALLOW,
    ANY_IDENTITY,
    DENY,
    REDIRECT,
    WORLD_IPV4,
    WORLD_IPV6,
)
from fqdnlab.model.maptext import (
    CacheEntry,
    EndpointEntry,
    PolicyEntry,
    PolicyKey,
    read_cache,
    read_endpoint,
    read_policy,
    read_policy_key,
)
from fqdnlab.model.ports import PortKey
from fqdnlab.model.reasons import POLICY_DENIED, POLICY_DENY, ZOMBIE_NEW_FLOW

__all__ = ["INTERNAL_ADDRESS", "Found", "KernelMaps", "longest", "stronger"]

INTERNAL_ADDRESS = 241
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Found(NamedTuple):
    """What the maps say of a packet that opens a flow.

    Attributes
    ----------
    verdict, reason : int
        Numbers of the ABI; the reason is 0 where it passes.
    rule : int
        0: none decided.
    identity : int
    entries : tuple of (str, str, str)
        Map, key and value of all that took part, in the order in which they were looked up.
    """

    verdict: int
    reason: int
    rule: int
    identity: int
    entries: tuple[tuple[str, str, str], ...]


class Ranked(Protocol):
    """What can be stronger than another: an entry of the map, or one that would be."""

    @property
    def verdict(self) -> int: ...
    @property
    def bits(self) -> int: ...


R = TypeVar("R", bound=Ranked)


def longest(entries: Mapping[PortKey, R], proto: int, port: int) -> PortKey | None:
    """The key with the most fixed bits that covers protocol and port."""
    number = proto << 16 | port
    for bits in (*range(24, 7, -1), 0):
        masked = number >> (24 - bits) << (24 - bits)
        key = PortKey(masked >> 16, masked & 0xFFFF, bits)
        if key in entries:
            return key
    return None


def stronger(one: R | None, any_: R | None) -> R | None:
    """Of the entry for the identity and that for any: deny, redirect, allow; then the longer."""
    if one is None or any_ is None:
        return any_ if one is None else one
    if one.verdict != any_.verdict:
        return one if one.verdict > any_.verdict else any_
    return one if one.bits >= any_.bits else any_


class KernelMaps:
    """The maps ``endpoints``, ``ipcache_host``, ``ipcache_cidr`` and ``policy``.

    Parameters
    ----------
    entries : iterable of (str, str, str)
        Map, key, value as ``lab.maps()`` shows them.

    Raises
    ------
    ValueError
        If one is not readable.
    """

    def __init__(self, entries: Iterable[tuple[str, str, str]]) -> None:
        self.endpoints: dict[int, EndpointEntry] = {}
        self._hosts: dict[str, CacheEntry] = {}
        self._networks: dict[_Network, CacheEntry] = {}
        self._policy: dict[tuple[int, int], dict[PortKey, PolicyEntry]] = {}
        for name, key, value in entries:
            if name == "endpoints":
                endpoint = read_endpoint(value)
                self.endpoints[endpoint.id] = endpoint
            elif name == "ipcache_host":
                self._hosts[key] = read_cache(value)
            elif name == "ipcache_cidr":
                self._networks[ipaddress.ip_network(key)] = read_cache(value)
            elif name == "policy":
                policy, identity, ports = read_policy_key(key)
                self._policy.setdefault((policy, identity), {})[ports] = read_policy(value)

    def cache(self, address: str) -> tuple[CacheEntry, tuple[str, str, str] | None]:
        """Way 3.4: what an address is, and the entry that says so (None: none does)."""
        ip = ipaddress.ip_address(address)
        found = self._hosts.get(str(ip))
        if found:
            return found, ("ipcache_host", str(ip), found.text)
        covering = [n for n in self._networks if n.version == ip.version and ip in n]
        if covering:
            network = max(covering, key=lambda n: n.prefixlen)
            found = self._networks[network]
            return found, ("ipcache_cidr", str(network), found.text)
        world = WORLD_IPV4 if ip.version == 4 else WORLD_IPV6
        return CacheEntry(world, world, False), None

    def judge(self, endpoint: int, address: str, proto: int, port: int) -> Found | None:
        """Way 3.5 for a packet that opens a flow; None: the kernel has no such endpoint.

        Parameters
        ----------
        endpoint : int
        address : str
            The remote one.
        proto, port : int
            For ICMP the type is the port.
        """
        who = self.endpoints.get(endpoint)
        if who is None:
            return None
        cached, entry = self.cache(address)
        seen = [("endpoints", f"endpoint {who.id}", who.text)]
        if entry:
            seen.append(entry)
        if cached.internal:
            return Found(DENY, INTERNAL_ADDRESS, 0, cached.identity, tuple(seen))
        if not who.enforced:
            return Found(ALLOW, 0, 0, cached.identity, tuple(seen))
        best, used = self._find(who.policy, cached.identity, proto, port)
        seen += used
        if best is not None:
            reason = POLICY_DENY if best.verdict == DENY else 0
            return Found(best.verdict, reason, best.rule, cached.identity, tuple(seen))
        reason = POLICY_DENIED
        if cached.established != cached.identity:
            was, used = self._find(who.policy, cached.established, proto, port)
            seen += used
            if was is not None and was.verdict in (ALLOW, REDIRECT):
                reason = ZOMBIE_NEW_FLOW
        return Found(DENY, reason, 0, cached.identity, tuple(seen))

    def _find(
        self, policy: int, identity: int, proto: int, port: int
    ) -> tuple[PolicyEntry | None, list[tuple[str, str, str]]]:
        seen: list[tuple[str, str, str]] = []
        found: list[PolicyEntry | None] = []
        for number in (identity, ANY_IDENTITY):
            entries = self._policy.get((policy, number), {})
            key = longest(entries, proto, port)
            found.append(entries[key] if key else None)
            if key:
                seen.append(("policy", PolicyKey(policy, number, key).text, entries[key].text))
        return stronger(found[0], found[1]), seen
