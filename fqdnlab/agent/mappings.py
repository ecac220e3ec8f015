"""Names and their addresses, as endpoints learned them: pure, times in ns of CLOCK_BOOTTIME.

Life of a mapping: *enforced* until a collection pass finds it expired; then a *zombie* as long as
a flow that was there before lives (open to that flow only), then gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, KeysView
from dataclasses import dataclass

from fqdnlab.model.labtime import LabClock
from fqdnlab.model.settings import LabSettings

__all__ = ["Collected", "Limits", "Mapping", "MappingTable", "limits"]


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


@dataclass(frozen=True)
class Limits:
    """What a collection pass goes by.

    Attributes
    ----------
    per_name : int
        ``tofqdns-endpoint-max-ip-per-hostname``: the earliest to expire go.
    zombies : int
        ``tofqdns-max-deferred-connection-deletes``, for each endpoint.
    grace : int
        ``tofqdns-idle-connection-grace-period``, ns.
    before, longer : int
        What was learned before that instant stays so much longer (ns) than it says: the passes
        that proxies were promised for it are at other times now.
    """

    per_name: int
    zombies: int
    grace: int
    before: int = 0
    longer: int = 0

    def spared(self, mapping: Mapping) -> int:
        """How much longer a mapping stays."""
        return self.longer if mapping.learned < self.before else 0


def limits(settings: LabSettings, clock: LabClock) -> Limits:
    """Those of a lab whose time goes by `clock`."""
    second = 1e9 / clock.scale
    return Limits(
        settings.max_ips_per_name,
        settings.max_zombies,
        int(settings.idle_grace * second),
        clock.boot_ns,
        int(settings.collection_interval * second),
    )


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

    def retime(self, clock: LabClock, scale: float, now: int, hold: int) -> None:
        """Lab time goes at `scale` from `now` on, not as `clock` says; `hold` (ns) is not in it.

        Expiries that have passed are as long ago as they were, in lab time: see `Limits.spared`.
        """
        for m in self:
            m.expires = clock.moved(m.expires, scale, max(now, m.learned + hold))
            if m.idle_since:
                m.idle_since = clock.moved(m.idle_since, scale, now)

    def collect(self, now: int, live: Collection[bytes], limits: Limits) -> Collected:
        """One pass (Cilium's fqdn garbage collection; ``zombies: strict``).

        Parameters
        ----------
        now : int
        live : collection of bytes
            Addresses to which some endpoint has a flow.
        limits : Limits
        """
        done = Collected(set())
        for mapping in [*self._due(now, limits)]:
            mapping.zombie, mapping.idle_since = True, 0
            done.changed.add(mapping.address)
            done.expired += 1
        self._bury(now, live, limits.grace, done)
        self._cap_zombies(limits.zombies, done)
        done.zombies = sum(1 for m in self if m.zombie)
        return done

    def _due(self, now: int, limits: Limits) -> Iterator[Mapping]:
        for found in self._by_name.values():
            living = [m for m in found.values() if not m.zombie]
            rest = [m for m in living if m.expires > now - limits.spared(m)]
            if len(rest) < len(living):
                yield from (m for m in living if m.expires <= now - limits.spared(m))
            over = len(rest) - limits.per_name
            if over > 0:
                yield from sorted(rest, key=lambda m: m.expires)[:over]

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
