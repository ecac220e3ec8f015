"""What explains a verdict whoever is dead: the pinned maps, and what agent and proxy saved last."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from fqdnlab.agent.mappings import Mapping, MappingTable
from fqdnlab.agent.store import Saved, read_saved
from fqdnlab.datapath import abi
from fqdnlab.datapath.maptext import KEYS, VALUES
from fqdnlab.dns.proxy.journal import Kept, peek
from fqdnlab.errors import FqdnlabError
from fqdnlab.paths import LabPaths
from fqdnlab.pb import control_pb2 as pb

__all__ = ["read_evidence"]

T = TypeVar("T")
_STEP = 500_000_000  # ns: the wall clock was set, and did not just drift
_RESTORED = "\0"  # agent.state.RESTORED: begins a mapping that was read back from the kernel


class WallClock:
    """Wall time of CLOCK_BOOTTIME, the same for the same instant whenever it is asked."""

    def __init__(self) -> None:
        self._offset = self._measure()

    @staticmethod
    def _measure() -> int:
        return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def seconds(self, boottime: int) -> float:
        """Unix seconds."""
        now = self._measure()
        if abs(now - self._offset) > _STEP:
            self._offset = now
        return (boottime + self._offset) / 1e9


_clock = WallClock()


def read_evidence(
    paths: LabPaths, endpoints: Iterable[pb.Endpoint], processes: Collection[str]
) -> pb.EvidenceReply:
    """Everything that can be read; what cannot is named in `missing`.

    Parameters
    ----------
    paths : LabPaths
    endpoints : iterable of Endpoint
    processes : collection of str
        Those that a lab has here: without an agent, nothing but the time.
    """
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    reply = pb.EvidenceReply(time=_clock.seconds(now), boottime_ns=now)
    if "agent" not in processes:
        return reply
    names = {e.id: e.name for e in endpoints}
    _try(reply, "the kernel's maps", lambda: _maps(reply, paths))
    reply.rules = _try(reply, "rules.json", lambda: paths.rules_file.read_text("utf-8")) or ""
    saved = _try(reply, "the agent's saved state", lambda: read_saved(paths.state("agent")))
    if saved is not None:
        _saved(reply, saved, names)
    if paths.proxy_state.exists():
        kept = _try(reply, "the proxy's kept answers", lambda: peek(paths.proxy_state)) or []
        reply.kept.extend(_kept(k, a, names) for k in kept for a in k.addresses)
    return reply


def _try(reply: pb.EvidenceReply, what: str, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (OSError, ValueError, LookupError, TypeError, FqdnlabError) as error:
        reply.missing.append(f"{what}: {error}")
        return None


def _maps(reply: pb.EvidenceReply, paths: LabPaths) -> None:
    from fqdnlab.datapath.maps import Maps  # libbpf: only where it is asked for

    with Maps(paths.bpf) as maps:
        for name, source in (
            ("endpoints", maps.endpoints),
            ("ipcache_host", maps.ipcache),
            ("ipcache_cidr", maps.cidrs),
            ("policy", maps.policy),
        ):
            for key, value in source.items():
                reply.entry.add(map=name, key=KEYS[name](key), value=VALUES[name](value))


def _saved(reply: pb.EvidenceReply, saved: Saved, names: dict[int, str]) -> None:
    reply.policy.extend(pb.SavedPolicy(**p._asdict()) for p in saved.policies)
    for mapping in saved.mappings:
        reply.mapping.append(_mapping(mapping, saved.mappings, names, reply))


def _mapping(
    m: Mapping, table: MappingTable, names: dict[int, str], reply: pb.EvidenceReply
) -> pb.MappingRecord:
    shared = table.names(m.address)[1] - {m.name}
    expired = "expired" if m.expires <= reply.boottime_ns else "enforced"

    return pb.MappingRecord(
        endpoint_id=m.endpoint,
        endpoint=names.get(m.endpoint, ""),
        fqdn=m.name.lstrip(_RESTORED),
        ip=abi.ip_text(m.address),
        ttl=m.ttl,
        lookup_time=_clock.seconds(m.learned),
        expiration_time=_clock.seconds(m.expires),
        state="zombie" if m.zombie else expired,
        source=m.source,
        shared_with=sorted(n.lstrip(_RESTORED) for n in shared),
    )


def _kept(kept: Kept, address: bytes, names: dict[int, str]) -> pb.MappingRecord:
    return pb.MappingRecord(
        endpoint_id=kept.endpoint,
        endpoint=names.get(kept.endpoint, ""),
        fqdn=kept.name,
        ip=abi.ip_text(abi.ip16_packed(address)),
        ttl=kept.ttl,
        state="waits",
        source="lookup",
    )
