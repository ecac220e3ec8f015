"""What the state wants the kernel to hold, and the steps from one content to another (way 1.5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

__all__ = ["Content", "Operation", "Table", "difference", "removals_first"]

Table = Literal["policy", "ipcache", "cidr", "endpoint"]
#: Additions: what is pointed to before what points to it; removals the other way round.
ORDER: tuple[Table, ...] = ("policy", "cidr", "ipcache", "endpoint")


class Operation(NamedTuple):
    """One write to one map; an empty value removes the key.

    ``epoch`` has neither: verdicts cached in conntrack are judged again.
    """

    table: Table | Literal["epoch"]
    key: bytes = b""
    value: bytes = b""


@dataclass
class Content:
    """Keys and values of each map, as octets."""

    policy: dict[bytes, bytes] = field(default_factory=dict)
    ipcache: dict[bytes, bytes] = field(default_factory=dict)
    cidr: dict[bytes, bytes] = field(default_factory=dict)
    endpoint: dict[bytes, bytes] = field(default_factory=dict)

    def of(self, table: Table) -> dict[bytes, bytes]:
        """The map called `table`."""
        found: dict[bytes, bytes] = getattr(self, table)
        return found

    def note(self, operations: Iterable[Operation]) -> None:
        """Take over what `operations` did."""
        for table, key, value in operations:
            if table == "epoch":
                continue
            if value:
                self.of(table)[key] = value
            else:
                self.of(table).pop(key, None)


def difference(have: Content, want: Content) -> list[Operation]:
    """Operations from `have` to `want`: additions, a new epoch, then removals."""
    puts = [
        Operation(table, key, value)
        for table in ORDER
        for key, value in want.of(table).items()
        if have.of(table).get(key) != value
    ]
    gone = [
        Operation(table, key)
        for table in reversed(ORDER)
        for key in have.of(table).keys() - want.of(table).keys()
    ]
    if not puts and not gone:
        return []
    return [*puts, *gone, Operation("epoch")]


def removals_first(operations: Iterable[Operation]) -> list[Operation]:
    """The same, in the order that needs the least room in the maps."""
    place = {"epoch": 2}
    return sorted(operations, key=lambda o: place.get(o.table, 1 if o.value else 0))
