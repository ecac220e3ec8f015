"""Entries of the kernel's maps as text, and read back: what ``lab.maps()`` shows is what explains.

Pure, and free of the ABI: octets are made and taken apart in `fqdnlab.datapath`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fqdnlab.model.ports import PortKey

__all__ = [
    "CacheEntry",
    "EndpointEntry",
    "PolicyEntry",
    "PolicyKey",
    "read_cache",
    "read_endpoint",
    "read_policy",
    "read_policy_key",
]

_WORDS = {1: "allow", 2: "redirect", 3: "deny"}
_NUMBERS = {word: number for number, word in _WORDS.items()}


class PolicyKey(NamedTuple):
    """Key of the policy map: endpoint policy × identity × protocol and port."""

    policy: int
    identity: int
    ports: PortKey

    @property
    def text(self) -> str:
        """``policy 1 identity 16777217 proto 6 port 443/24`` (fixed bits of both)."""
        proto, port, bits = self.ports
        return f"policy {self.policy} identity {self.identity} proto {proto} port {port}/{bits}"


class PolicyEntry(NamedTuple):
    """Value of the policy map; `bits`: how many the deciding rule fixes."""

    verdict: int
    proxy_port: int
    rule: int
    bits: int

    @property
    def text(self) -> str:
        """``allow rule 12 bits 24``."""
        word = _WORDS.get(self.verdict, str(self.verdict))
        port = f" {self.proxy_port}" if self.verdict == _NUMBERS["redirect"] else ""
        return f"{word}{port} rule {self.rule} bits {self.bits}"


class CacheEntry(NamedTuple):
    """Value of the ipcache: identity for new flows, and for those that were there before."""

    identity: int
    established: int
    internal: bool

    @property
    def text(self) -> str:
        """``identity 16777217 established 16777217``."""
        internal = " internal" if self.internal else ""
        return f"identity {self.identity} established {self.established}{internal}"


class EndpointEntry(NamedTuple):
    """Value of the endpoints map."""

    id: int
    policy: int
    identity: int
    enforced: bool
    ip4: str
    ip6: str

    @property
    def text(self) -> str:
        """``endpoint 1 policy 3 identity 257 enforced 1 10.10.0.1 fd10::1``."""
        return (
            f"endpoint {self.id} policy {self.policy} identity {self.identity} "
            f"enforced {int(self.enforced)} {self.ip4} {self.ip6}"
        )


_POLICY_KEY = re.compile(r"policy (\d+) identity (\d+) proto (\d+) port (\d+)/(\d+)")
_POLICY = re.compile(r"(allow|redirect (\d+)|deny) rule (\d+) bits (\d+)")
_CACHE = re.compile(r"identity (\d+) established (\d+)( internal)?")
_ENDPOINT = re.compile(
    r"endpoint (\d+) policy (\d+) identity (\d+) enforced ([01]) ([0-9a-f.:]+) ([0-9a-f.:]+)"
)


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError(f"no entry of a map: {text!r}")
    return found


def read_policy_key(text: str) -> PolicyKey:
    """The key whose `text` this is; ValueError if it is none.  So for the others."""
    policy, identity, *ports = (int(g) for g in _match(_POLICY_KEY, text).groups())
    return PolicyKey(policy, identity, PortKey(*ports))


def read_policy(text: str) -> PolicyEntry:
    """A value of the policy map."""
    word, port, rule, bits = _match(_POLICY, text).groups()
    return PolicyEntry(_NUMBERS[word.split()[0]], int(port or 0), int(rule), int(bits))


def read_cache(text: str) -> CacheEntry:
    """A value of the ipcache."""
    identity, established, internal = _match(_CACHE, text).groups()
    return CacheEntry(int(identity), int(established), bool(internal))


def read_endpoint(text: str) -> EndpointEntry:
    """A value of the endpoints map."""
    number, policy, identity, enforced, ip4, ip6 = _match(_ENDPOINT, text).groups()
    return EndpointEntry(int(number), int(policy), int(identity), enforced == "1", ip4, ip6)
