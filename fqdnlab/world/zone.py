"""The names of the simulated internet, and what is found for one.  Pure.

One `Zone` is a tree of names from the root; there are no delegations, so every server knows it
whole.  Keys are lower-case wire names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fqdnlab.world.wire import ANY, CNAME, SOA, Record, name_wire

__all__ = ["Found", "RecordSet", "Zone", "parents"]

_CHAIN = 16  # CNAMEs followed
_NXDOMAIN = 3
#: Whoever has no SOA of their own gets this one, the root's; a negative answer lives 5 s.
_ROOT_SOA = Record(
    b"\0",
    SOA,
    5,
    name_wire("ns.world")
    + name_wire("hostmaster.world")
    + b"".join(n.to_bytes(4, "big") for n in (1, 3600, 600, 86400, 5)),
)


@dataclass
class RecordSet:
    """Data of one type at one name, in the order in which they are answered."""

    ttl: int
    rdata: list[bytes]

    def copy(self) -> RecordSet:
        return RecordSet(self.ttl, list(self.rdata))


Node = dict[int, RecordSet]


@dataclass
class Found:
    """What there is for a question."""

    rcode: int = 0
    answer: list[Record] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)  # whose records those are


def parents(name: bytes) -> Iterator[bytes]:
    """The names above `name`, nearest first; the root is the last."""
    while name != b"\0":
        name = name[name[0] + 1 :]
        yield name


class Zone:
    """Names and their records."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, Node] = {}
        self._below: Counter[bytes] = Counter()  # how many names are under this one

    def __contains__(self, name: bytes) -> bool:
        """Whether a question for `name` finds anything here, a wildcard or names below counted."""
        return self._node(name) is not None or name in self._below

    def __len__(self) -> int:
        return len(self._nodes)

    def names(self) -> Iterator[tuple[bytes, Node]]:
        """Every name with its records, in the order in which they came."""
        return iter(list(self._nodes.items()))

    def node(self, name: bytes) -> Node | None:
        """The records of `name` itself; no wildcards."""
        return self._nodes.get(name)

    def put_node(self, name: bytes, node: Node | None) -> None:
        """Set all records of a name; None takes the name away."""
        there = name in self._nodes
        if node is None:
            if there:
                del self._nodes[name]
                self._count(name, -1)
            return
        self._nodes[name] = node
        if not there:
            self._count(name, 1)

    def _count(self, name: bytes, by: int) -> None:
        for parent in parents(name):
            self._below[parent] += by
            if not self._below[parent]:
                del self._below[parent]

    # ------------------------------------------------------------ looking up

    def _node(self, name: bytes) -> tuple[bytes, Node] | None:
        """The name or the wildcard that stands for it (RFC 4592), with its records."""
        node = self._nodes.get(name)
        if node is not None:
            return name, node
        if name in self._below:
            return None
        for parent in parents(name):
            star = b"\x01*" + parent
            if star in self._nodes:
                return star, self._nodes[star]
            if parent in self._nodes or parent in self._below:
                return None  # the closest name that exists has no wildcard
        return None

    def find(self, name: bytes, qtype: int) -> Found:
        """Answer a question: chains of CNAME followed, NXDOMAIN and no data with a SOA."""
        found = Found()
        seen: set[bytes] = set()
        while len(seen) < _CHAIN and name not in seen:
            seen.add(name)
            here = self._node(name)
            if here is None:
                found.rcode = 0 if name in self._below else _NXDOMAIN
                break
            source, node = here
            found.names.append(source)
            if self._take(found.answer, name, node, qtype):
                return found
            alias = node.get(CNAME)
            if alias is None or qtype == CNAME:
                break
            found.answer.append(Record(name, CNAME, alias.ttl, alias.rdata[0]))
            name = alias.rdata[0].lower()
        else:
            return found  # a loop: what there is of it
        found.authority.append(self._soa(name))
        return found

    @staticmethod
    def _take(into: list[Record], name: bytes, node: Node, qtype: int) -> bool:
        sets = node.items() if qtype == ANY else [(qtype, node[qtype])] if qtype in node else []
        before = len(into)
        for kind, records in sets:
            into.extend(Record(name, kind, records.ttl, rdata) for rdata in records.rdata)
        return len(into) > before

    def _soa(self, name: bytes) -> Record:
        for at in (name, *parents(name)):
            records = self._nodes.get(at, {}).get(SOA)
            if records:
                # RFC 2308: a negative answer lives as long as the lesser of the two says.
                least = min(records.ttl, int.from_bytes(records.rdata[0][-4:], "big"))
                return Record(at, SOA, least, records.rdata[0])
        return _ROOT_SOA
