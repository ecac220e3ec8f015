"""The agent's metrics: Cilium's names, and ours with their prefix."""

from __future__ import annotations

from fqdnlab.agent.service import Core
from fqdnlab.metrics import Family

__all__ = ["families"]


def families(core: Core) -> list[Family]:
    """All, as they are now."""
    with core.lock:
        state = core.state
        living = [m for m in state.mappings if not m.zombie]
        zombies = sum(1 for m in state.mappings if m.zombie)
        selectors = {s for i, _ in state.known_identities() for s in i.selectors}
        entries = {
            "policy": len(state.content.policy),
            "ipcache_host": len(state.content.ipcache),
            "ipcache_cidr": len(state.content.cidr),
        }
        removed = core.collected.removed
        writes = dict(core.kernel.writes)

    def one(name: str, kind: str, text: str, value: float) -> Family:
        return Family(name, kind, text, [({}, value)])

    return [
        one("cilium_fqdn_gc_deletions_total", "counter", "Mappings removed", removed),
        one("cilium_fqdn_selectors", "gauge", "Selectors with an identity", len(selectors)),
        one("cilium_fqdn_active_names", "gauge", "Names", len({m.name for m in living})),
        one("cilium_fqdn_active_ips", "gauge", "Addresses", len({m.address for m in living})),
        one("cilium_fqdn_alive_zombie_connections", "gauge", "Zombie mappings", zombies),
        one("fqdnlab_policy_revision", "gauge", "Revision of the policies", state.revision),
        Family(
            "fqdnlab_map_entries",
            "gauge",
            "Entries of the kernel's maps",
            [({"map": name}, count) for name, count in entries.items()],
        ),
        Family(
            "fqdnlab_map_writes_total",
            "counter",
            "Entries written to or removed from the kernel's maps",
            [({"map": name}, count) for name, count in writes.items()],
        ),
    ]
