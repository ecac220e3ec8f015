"""What changed in the world between two looks at it, in words.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from fqdnlab.notebook.seen import Change, WorldName

__all__ = ["changes"]


def changes(before: Sequence[WorldName], after: Sequence[WorldName], now: float) -> list[Change]:
    """A change for each name that is new, gone or other; none for the first look at all."""
    if not before:
        return []
    old = {w.name: w for w in before}
    new = {w.name: w for w in after}
    found = [Change(now, name, f"{name} is gone") for name in old if name not in new]
    for name, one in new.items():
        known = old.get(name)
        if known is None:
            found.append(Change(now, name, f"{name} is new"))
        elif known.addresses != one.addresses:
            found.append(Change(now, name, f"{_short(name)} {_moved(known, one)}"))
        elif known.ttl != one.ttl:
            found.append(Change(now, name, f"{_short(name)}: TTL {one.ttl} s"))
    return found


def _short(name: str) -> str:
    return name.split(".")[0]


def _moved(old: WorldName, new: WorldName) -> str:
    fresh = [a for a in new.addresses if a not in old.addresses]
    if not new.addresses:
        return "has no address"
    if fresh and len(new.addresses) == len(old.addresses):
        return f"moved to {_ending(fresh[0], old.addresses)}"
    if fresh:
        return f"gained {_ending(fresh[0], old.addresses)}" + _more(len(fresh) - 1)
    if len(new.addresses) < len(old.addresses):
        return f"lost {len(old.addresses) - len(new.addresses)}"
    return "rotated"


def _more(count: int) -> str:
    return f" +{count}" if count else ""


def _ending(address: str, others: Sequence[str]) -> str:
    """The address without what it shares with those before it: ``.9``."""
    if not others or ":" in address:
        return address
    parts, known = address.split("."), others[0].split(".")
    same = list(takewhile(lambda pair: pair[0] == pair[1], zip(parts, known, strict=False)))
    return "." + ".".join(parts[len(same) :]) if same else address
