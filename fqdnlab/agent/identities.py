"""Numbers for identities, rules and compiled policies: given once, kept over restarts."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from fqdnlab.model.mapstate import HOST, WORLD_IPV4, WORLD_IPV6, Compiled, Identity

__all__ = ["LOCAL", "Identities", "Numbers", "policy_digest", "world"]

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

    def __contains__(self, identity: Identity) -> bool:
        return any(identity in s for s in (self._reserved, self._cluster, self._local))

    def number(self, identity: Identity) -> int:
        """Its number, given now if it has none."""
        if identity in self._reserved:
            return self._reserved[identity]
        return (self._local if identity.kind == "net" else self._cluster).get(identity)

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

    def release(self, identity: Identity) -> None:
        """Nothing refers to it any more."""
        (self._local if identity.kind == "net" else self._cluster).release(identity)


def policy_digest(compiled: Compiled) -> str:
    """Equal for equal contents only: a changed policy gets another policy_id, switched at once."""
    text = repr([(p.key, s) for p, s in compiled.specs])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
