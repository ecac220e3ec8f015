"""Names and their addresses, as endpoints learned them: pure, times in ns of CLOCK_BOOTTIME.

Life of a mapping: *enforced* until a collection pass finds it expired; then a *zombie* as long as
a flow that was there before lives (open to that flow only), then gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, KeysView
from dataclasses import dataclass

__all__ = ["Collected", "Mapping", "MappingTable"]


@dataclass(slots=True)
class Mapping:
    """One address of one name, learned by one endpoint.

    Attributes
    ----------
    endpoint : int
        0: nobody's (restored from the kernel, or cached beforehand).
    name : str
        Lower case, with its final dot.
    address : bytes
        16 octets.
    ttl : int
        Lab seconds, as the client was told.
    learned, expires : int
        When.
    zombie : bool
    idle_since : int
        Of a zombie: since when no flow was seen; 0: one was.
    source : str
        ``lookup``, ``connection`` (restored) or ``pre-cache``.
    """

    endpoint: int
    name: str
    address: bytes
    ttl: int
    learned: int
    expires: int
    zombie: bool = False
    idle_since: int = 0
    source: str = "lookup"


@dataclass
class Collected:
    """What a collection pass did."""

    changed: set[bytes]
    expired: int = 0
    zombies: int = 0
    removed: int = 0


class MappingTable:
    """All mappings of a node, by address and by (endpoint, name)."""

    def __init__(self) -> None:
        self._by_address: dict[bytes, dict[tuple[int, str], Mapping]] = {}
        self._by_name: dict[tuple[int, str], dict[bytes, Mapping]] = {}
        self._of_endpoint: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._of_endpoint.total()

    def of_endpoint(self, endpoint: int) -> int:
        """How many mappings an endpoint has."""
        return self._of_endpoint[endpoint]

    def __iter__(self) -> Iterator[Mapping]:
        for found in self._by_name.values():
            yield from found.values()

    def learn(self, fresh: Mapping) -> bool:
        """Take in a mapping; True if its address may have become something else by it."""
        key = (fresh.endpoint, fresh.name)
        owners = self._by_address.setdefault(fresh.address, {})
        known = owners.get(key)
        if known is None:
            owners[key] = fresh
            self._by_name.setdefault(key, {})[fresh.address] = fresh
            self._of_endpoint[fresh.endpoint] += 1
            return True
        revived = known.zombie
        known.zombie, known.idle_since = False, 0
        if fresh.expires > known.expires:  # never shorter: that was promised
            known.expires, known.ttl, known.learned = fresh.expires, fresh.ttl, fresh.learned
        return revived

    def find(self, endpoint: int, name: str, address: bytes) -> Mapping | None:
        """That mapping, if it is there."""
        return self._by_name.get((endpoint, name), {}).get(address)

    def forget(self, endpoint: int, name: str, address: bytes) -> None:
        """Remove one mapping, if it is there."""
        found = self.find(endpoint, name, address)
        if found is not None:
            self._remove(found)

    def expires(self, endpoint: int, name: str, address: bytes) -> int:
        """When it expires; 0 if it is not there."""
        found = self.find(endpoint, name, address)
        return found.expires if found else 0

    def addresses(self) -> KeysView[bytes]:
        """Every address that has a name."""
        return self._by_address.keys()

    def names(self, address: bytes) -> tuple[set[str], set[str]]:
        """Names of an address: those open to new flows, those open to established ones."""
        fresh: set[str] = set()
        every: set[str] = set()
        for mapping in self._by_address.get(address, {}).values():
            every.add(mapping.name)
            if not mapping.zombie:
                fresh.add(mapping.name)
        return fresh, every

    def forget_endpoint(self, endpoint: int) -> set[bytes]:
        """Remove an endpoint's mappings; return their addresses."""
        gone = [m for m in self if m.endpoint == endpoint]
        for mapping in gone:
            self._remove(mapping)
        return {m.address for m in gone}

    def collect(
        self, now: int, live: Collection[bytes], max_per_name: int, max_zombies: int, grace: int
    ) -> Collected:
        """One pass (Cilium's fqdn garbage collection; ``zombies: strict``).

        Parameters
        ----------
        now : int
        live : collection of bytes
            Addresses to which some endpoint has a flow.
        max_per_name : int
            ``tofqdns-endpoint-max-ip-per-hostname``: the earliest to expire go.
        max_zombies : int
            ``tofqdns-max-deferred-connection-deletes``, for each endpoint.
        grace : int
            ``tofqdns-idle-connection-grace-period``, ns.
        """
        done = Collected(set())
        for mapping in [*self._due(now, max_per_name)]:
            mapping.zombie, mapping.idle_since = True, 0
            done.changed.add(mapping.address)
            done.expired += 1
        self._bury(now, live, grace, done)
        self._cap_zombies(max_zombies, done)
        done.zombies = sum(1 for m in self if m.zombie)
        return done

    def _due(self, now: int, max_per_name: int) -> Iterator[Mapping]:
        for found in self._by_name.values():
            living = [m for m in found.values() if not m.zombie]
            due = [m for m in living if m.expires <= now]
            yield from due
            over = len(living) - len(due) - max_per_name
            if over > 0:
                rest = sorted((m for m in living if m.expires > now), key=lambda m: m.expires)
                yield from rest[:over]

    def _bury(self, now: int, live: Collection[bytes], grace: int, done: Collected) -> None:
        for mapping in [m for m in self if m.zombie]:
            if mapping.address in live:
                mapping.idle_since = 0
                continue
            mapping.idle_since = mapping.idle_since or now
            if now - mapping.idle_since >= grace:
                self._remove(mapping)
                done.changed.add(mapping.address)
                done.removed += 1

    def _cap_zombies(self, most: int, done: Collected) -> None:
        by_endpoint: dict[int, list[Mapping]] = {}
        for mapping in self:
            if mapping.zombie:
                by_endpoint.setdefault(mapping.endpoint, []).append(mapping)
        for zombies in by_endpoint.values():
            zombies.sort(key=lambda m: m.expires)
            for mapping in zombies[: max(0, len(zombies) - most)]:
                self._remove(mapping)
                done.changed.add(mapping.address)
                done.removed += 1

    def _remove(self, mapping: Mapping) -> None:
        key, address = (mapping.endpoint, mapping.name), mapping.address
        owners = self._by_address.get(address, {})
        owners.pop(key, None)
        if not owners:
            self._by_address.pop(address, None)
        found = self._by_name.get(key, {})
        if found.pop(address, None) is not None:
            self._of_endpoint[mapping.endpoint] -= 1
        if not found:
            self._by_name.pop(key, None)
