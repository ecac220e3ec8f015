"""Numbers for identities, rules and compiled policies: given once, kept over restarts."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from fqdnlab.model.mapstate import HOST, WORLD_IPV4, WORLD_IPV6, Compiled, Identity, Network
from fqdnlab.model.policy import FQDNSelector

__all__ = [
    "LOCAL",
    "Identities",
    "Numbers",
    "net_identity",
    "network_order",
    "policy_digest",
    "world",
]

K = TypeVar("K", bound=Hashable)

#: First number of identities of the cluster, and of those of one node (Cilium's scopes).
CLUSTER, LOCAL = 256, 1 << 24


class Numbers(Generic[K]):
    """Numbers for keys: the lowest never given first, so that one is reused as late as can be.

    Parameters
    ----------
    first, last : int
        Bounds of what may be given.
    """

    def __init__(self, first: int, last: int) -> None:
        self._next, self._last = first, last
        self._of: dict[K, int] = {}
        self._key: dict[int, K] = {}
        self._free: list[int] = []

    def __contains__(self, key: object) -> bool:
        return key in self._of

    def __len__(self) -> int:
        return len(self._of)

    def items(self) -> Iterator[tuple[K, int]]:
        """(key, number) of all that have one."""
        return iter(self._of.items())

    def find(self, key: K) -> int | None:
        """The number of `key`, if it has one."""
        return self._of.get(key)

    def get(self, key: K) -> int:
        """The number of `key`; a new one, if it has none.

        Raises
        ------
        OverflowError
            If all are given.
        """
        if key not in self._of:
            self.set(key, self._fresh())
        return self._of[key]

    def set(self, key: K, number: int) -> None:
        """Give `key` this `number` (as it was before a restart)."""
        self._of[key], self._key[number] = number, key
        self._next = max(self._next, number + 1)

    def avoid(self, number: int) -> None:
        """Never give `number` or a lower one that was not given yet: the kernel has it in use."""
        self._next = max(self._next, number + 1)

    def key(self, number: int) -> K | None:
        """Whose `number` it is."""
        return self._key.get(number)

    @property
    def following(self) -> int:
        """The lowest number that was never given."""
        return self._next

    def copy(self) -> Numbers[K]:
        """Another one that has given the same."""
        made: Numbers[K] = Numbers(self._next, self._last)
        made._of, made._key, made._free = dict(self._of), dict(self._key), list(self._free)
        return made

    def retain(self, keys: Collection[K]) -> None:
        """Take back the numbers of all but `keys`."""
        for key in [k for k in self._of if k not in keys]:
            self.release(key)

    def release(self, key: K) -> int:
        """Take the number of `key` back; return it."""
        number = self._of.pop(key)
        del self._key[number]
        self._free.append(number)
        return number

    def _fresh(self) -> int:
        if self._next <= self._last:
            return self._next
        if not self._free:
            raise OverflowError(f"all numbers up to {self._last} are in use")
        return self._free.pop(0)


def world(family: int) -> Identity:
    """The identity of an address that nothing else is known of."""
    label = f"reserved:world-ipv{family}"
    return Identity("net", ((label, ""),), 4 if family == 4 else 6)


def net_identity(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
    selectors: frozenset[FQDNSelector],
    networks: Iterable[Network],
    network: Network | None = None,
) -> Identity:
    """The identity of an outside address, or of all of `network` that nothing else is known of.

    Parameters
    ----------
    ip : address
    selectors : frozenset of FQDNSelector
        Of its names.
    networks : iterable of network
        All that policies name.
    network : network, optional
    """
    covering = frozenset(
        n
        for n in networks
        if n.version == ip.version and (ip in n if network is None else network.subnet_of(n))  # type: ignore[arg-type]
    )
    return replace(world(ip.version), selectors=selectors, networks=covering)


def network_order(network: Network) -> tuple[int, int, int]:
    """Key for sorting: numbers must not depend on the order of a set."""
    return network.version, int(network.network_address), network.prefixlen


class Identities:
    """All identities of a node, by number and by what they are."""

    def __init__(self) -> None:
        self._cluster: Numbers[Identity] = Numbers(CLUSTER, LOCAL - 1)
        self._local: Numbers[Identity] = Numbers(LOCAL + 1, (1 << 25) - 1)
        self._reserved = {
            Identity("host", (("reserved:host", ""),)): HOST,
            world(4): WORLD_IPV4,
            world(6): WORLD_IPV6,
        }
        self._news: list[tuple[Identity, int]] = []

    def __contains__(self, identity: Identity) -> bool:
        return any(identity in s for s in (self._reserved, self._cluster, self._local))

    def number(self, identity: Identity) -> int:
        """Its number, given now if it has none."""
        if identity in self._reserved:
            return self._reserved[identity]
        numbers = self._local if identity.kind == "net" else self._cluster
        number = numbers.find(identity)
        if number is None:
            number = numbers.get(identity)
            self._news.append((identity, number))
        return number

    def news(self) -> list[tuple[Identity, int]]:
        """Those that got their number since this was last asked."""
        found, self._news = self._news, []
        return found

    def items(self) -> Iterator[tuple[Identity, int]]:
        """Every identity that has a number."""
        yield from self._reserved.items()
        yield from self._cluster.items()
        yield from self._local.items()

    def restore(self, identity: Identity, number: int) -> None:
        """Give back a number from before a restart."""
        if identity not in self._reserved:
            (self._local if identity.kind == "net" else self._cluster).set(identity, number)

    def avoid(self, number: int) -> None:
        """The kernel has `number` in use for something unknown."""
        if number > LOCAL:
            self._local.avoid(number)
        elif number >= CLUSTER:
            self._cluster.avoid(number)

    def copy(self) -> Identities:
        """Another one that has given the same."""
        made = Identities()
        made._cluster, made._local = self._cluster.copy(), self._local.copy()
        made._news = list(self._news)
        return made

    def following(self) -> list[int]:
        """The lowest numbers that were never given."""
        return [self._cluster.following, self._local.following]

    def skip_to(self, cluster: int, local: int) -> None:
        """Give no lower numbers (as `following` was before a restart)."""
        self._cluster.avoid(cluster - 1)
        self._local.avoid(local - 1)

    def retain(self, identities: Collection[Identity]) -> None:
        """Nothing refers to any but those any more."""
        self._cluster.retain(identities)
        self._local.retain(identities)

    def release(self, identity: Identity) -> None:
        """Nothing refers to it any more."""
        (self._local if identity.kind == "net" else self._cluster).release(identity)


def policy_digest(compiled: Compiled) -> str:
    """Equal for equal contents only: a changed policy gets another policy_id, switched at once."""
    text = repr([(p.key, s.digest) for p, s in compiled.specs])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
