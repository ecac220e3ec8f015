"""Whether two rules' peers may be the same: as good as can be said without a cluster."""

from __future__ import annotations

from fqdnlab.model.policy import CIDRPeer, Entity, FQDNSelector, LabelSelector, Peer

__all__ = ["may_overlap"]

_WORLD = ("world", "world-ipv4", "world-ipv6")
_CLUSTER = ("cluster", "cluster-mesh")

Peers = tuple[Peer, ...] | None


def may_overlap(one: Peers, other: Peers) -> bool:
    """Whether a rule's peers may be peers of another rule, entry by entry.

    A rule for all peers has an entry of its own, which no other rule's entry meets.
    """
    if _is_all(one) or _is_all(other):
        return _is_all(one) and _is_all(other)
    return any(_meet(a, b) for a in one or () for b in other or ())


def _is_all(peers: Peers) -> bool:
    return peers is None or any(isinstance(p, Entity) and p.name == "all" for p in peers)


def _meet(one: Peer, other: Peer) -> bool:
    if isinstance(other, Entity) and not isinstance(one, Entity):
        one, other = other, one
    if isinstance(one, Entity):
        return _entity_meets(one, other)
    if isinstance(one, LabelSelector) and isinstance(other, LabelSelector):
        return not _disjoint(one, other)
    if isinstance(one, CIDRPeer) and isinstance(other, CIDRPeer):
        return one.network.version == other.network.version and one.network.overlaps(other.network)
    return isinstance(one, FQDNSelector) and one == other


def _entity_meets(entity: Entity, other: Peer) -> bool:
    if isinstance(other, Entity):
        worlds = entity.name in _WORLD and other.name in _WORLD
        return entity.name == other.name or (worlds and "world" in (entity.name, other.name))
    if isinstance(other, LabelSelector):
        return entity.name in _CLUSTER
    return entity.name in _WORLD


def _disjoint(one: LabelSelector, other: LabelSelector) -> bool:
    """Whether one label would need two values."""
    wanted = {r.key: set(r.values) for r in one.requirements if r.operator == "In"}
    return any(
        r.operator == "In" and r.key in wanted and not wanted[r.key] & set(r.values)
        for r in other.requirements
    )
