"""What the world says: one zone for all servers, and what single servers say otherwise.

Changes come as a list and are done all or none.  Belongs to the process's event loop.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from fqdnlab.dns.dnslib_codec import CodecError, rdata_from_text, type_number
from fqdnlab.errors import UsageError
from fqdnlab.world.wire import AAAA, ANY, CNAME, OPT, A, name_wire
from fqdnlab.world.zone import Found, Node, RecordSet, Zone

__all__ = ["DEFAULT_TTL", "Edit", "Store", "packed_address"]

DEFAULT_TTL = 60  # s
_MAX_TTL = (1 << 31) - 1  # RFC 2181, 8
_ADDRESSES = (A, AAAA)
_Undo = list[tuple[Zone, bytes, Node | None]]


def packed_address(text: str) -> bytes:
    """Octets of an IP address: 4, or 16 (an IPv4 address in IPv6 becomes IPv4).

    Raises
    ------
    UsageError
        If it is none.
    """
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is no IP address", "expected one like 198.51.100.7") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise UsageError(f"{text!r} has a zone", "expected an address without %…")
        if address.ipv4_mapped:
            return address.ipv4_mapped.packed
    return address.packed


@dataclass(frozen=True)
class Edit:
    """One change; `verb` is one of `Store.VERBS`."""

    verb: str
    name: str = ""
    type: str = ""
    values: tuple[str, ...] = ()
    ttl: int | None = None
    steps: int = 1
    server: str = ""


@dataclass
class _Place:
    """Where an edit happens."""

    zone: Zone
    name: bytes
    edit: Edit
    undo: _Undo = field(default_factory=list)

    def node(self, must: bool = False) -> Node:
        """A copy of the name's records, to be put back changed."""
        node = self.zone.node(self.name)
        if node is None and must:
            raise UsageError(f"the world has no name {self.edit.name!r}", "set it first")
        return {kind: records.copy() for kind, records in (node or {}).items()}

    def put(self, node: Node | None) -> None:
        self.undo.append((self.zone, self.name, self.zone.node(self.name)))
        self.zone.put_node(self.name, node)

    def ttl(self, *sets: RecordSet | None) -> int:
        """The TTL given, else that of the records there are, else the default."""
        if self.edit.ttl is not None:
            return self.edit.ttl
        return next((records.ttl for records in sets if records), DEFAULT_TTL)


class Store:
    """All zones of a world."""

    def __init__(self) -> None:
        self.everywhere = Zone()
        self.servers: dict[bytes, Zone] = {}
        self.revision = 0

    # ------------------------------------------------------------ reading

    def find(self, server: bytes, name: bytes, qtype: int) -> Found:
        """What the server at `server` knows; its own zone comes before everybody's."""
        own = self.servers.get(server)
        return (own if own and name in own else self.everywhere).find(name, qtype)

    def sets(self, name: str = "", server: str = "") -> Iterator[tuple[str, bytes, Node]]:
        """(server or "", name, its records) of one name or of all."""
        wanted = name_wire(name) if name else None
        places = [("", self.everywhere)]
        places += [(str(ipaddress.ip_address(a)), zone) for a, zone in self.servers.items()]
        if server:
            only = str(ipaddress.ip_address(packed_address(server)))
            places = [place for place in places if place[0] == only]
        for where, zone in places:
            for one, node in zone.names():
                if wanted is None or one == wanted:
                    yield where, one, node

    # ------------------------------------------------------------ changing

    def apply(self, edits: Iterable[Edit]) -> int:
        """Do all edits, or none; return the revision.

        Raises
        ------
        UsageError
            If one of them cannot be: a bad name, address, type or TTL, an unknown name.
        """
        undo: _Undo = []
        try:
            for edit in edits:
                self._do(edit, undo)
        except UsageError:
            for zone, name, node in reversed(undo):
                zone.put_node(name, node)
            raise
        finally:
            self.servers = {a: zone for a, zone in self.servers.items() if len(zone)}
        self.revision += 1
        return self.revision

    def rotate(self, server: bytes, name: bytes) -> None:
        """Rotate the addresses of a name by one, as an answer's own doing."""
        own = self.servers.get(server)
        zone = own if own and name in own else self.everywhere
        for kind in _ADDRESSES:
            records = (zone.node(name) or {}).get(kind)
            if records:
                records.rdata.append(records.rdata.pop(0))

    def _do(self, edit: Edit, undo: _Undo) -> None:
        verb = self.VERBS.get(edit.verb)
        if verb is None:
            raise UsageError(f"{edit.verb!r} is no change", f"one of {', '.join(self.VERBS)}")
        if edit.ttl is not None and not 0 <= edit.ttl <= _MAX_TTL:
            raise UsageError(f"a TTL of {edit.ttl} s cannot be", f"expected 0 to {_MAX_TTL}")
        zone = self.everywhere
        if edit.server:
            zone = self.servers.setdefault(packed_address(edit.server), Zone())
        if edit.verb == "clear":
            for name, node in zone.names():
                undo.append((zone, name, node))
                zone.put_node(name, None)
            return
        if not edit.name:
            raise UsageError("a change without a name", 'the root is written "."')
        verb(_Place(zone, name_wire(edit.name), edit, undo))

    @staticmethod
    def _set(at: _Place) -> None:
        node = at.node()
        ttl = at.ttl(node.get(A), node.get(AAAA))
        for kind in (*_ADDRESSES, CNAME):
            node.pop(kind, None)
        for kind, rdata in _by_kind(at.edit.values).items():
            node[kind] = RecordSet(ttl, rdata)
        at.put(node)

    @staticmethod
    def _add(at: _Place) -> None:
        node = at.node()
        ttl = at.ttl(node.get(A), node.get(AAAA))
        node.pop(CNAME, None)
        for kind, rdata in _by_kind(at.edit.values).items():
            records = node.setdefault(kind, RecordSet(ttl, []))
            records.ttl = ttl
            records.rdata += [one for one in rdata if one not in records.rdata]
        at.put(node)

    @staticmethod
    def _remove(at: _Place) -> None:
        node = at.node(must=True)
        for kind, rdata in _by_kind(at.edit.values).items():
            records = node.get(kind, RecordSet(0, []))
            for one in rdata:
                if one not in records.rdata:
                    raise UsageError(
                        f"{at.edit.name} has no address {ipaddress.ip_address(one)}",
                        "look at what it has",
                    )
                records.rdata.remove(one)
            if not records.rdata:
                node.pop(kind, None)
        at.put(node)

    @staticmethod
    def _rotate(at: _Place) -> None:
        node = at.node(must=True)
        for kind in _ADDRESSES:
            if kind in node:
                rdata = node[kind].rdata
                by = at.edit.steps % len(rdata)
                node[kind].rdata = rdata[by:] + rdata[:by]
        at.put(node)

    @staticmethod
    def _set_ttl(at: _Place) -> None:
        if at.edit.ttl is None:
            raise UsageError("no TTL given", "expected a number of seconds")
        node = at.node(must=True)
        for records in node.values():
            records.ttl = at.edit.ttl
        at.put(node)

    @staticmethod
    def _put(at: _Place) -> None:
        kind = _kind(at.edit.type)
        node = at.node()
        ttl = at.ttl(node.get(kind))
        if not at.edit.values:
            node.pop(kind, None)
        else:
            if kind == CNAME:
                node.clear()  # a CNAME stands alone (RFC 1034, 3.6.2)
                if len(at.edit.values) != 1:
                    raise UsageError(f"{at.edit.name}: a CNAME has one target", "give one name")
            else:
                node.pop(CNAME, None)
            node[kind] = RecordSet(ttl, [_rdata(kind, value) for value in at.edit.values])
        at.put(node)

    @staticmethod
    def _delete(at: _Place) -> None:
        node = at.node(must=True)
        if not at.edit.type:
            at.put(None)
            return
        if node.pop(_kind(at.edit.type), None) is None:
            raise UsageError(f"{at.edit.name} has no {at.edit.type} records", "look at what it has")
        at.put(node or None)

    VERBS: ClassVar[dict[str, Callable[[_Place], None]]] = {
        "set": _set,
        "add": _add,
        "remove": _remove,
        "rotate": _rotate,
        "set_ttl": _set_ttl,
        "put": _put,
        "delete": _delete,
        "clear": _delete,  # never called: `_do` clears the zone
    }


def _by_kind(values: Iterable[str]) -> dict[int, list[bytes]]:
    """Octets of the addresses by record type, each once, in their order."""
    kinds: dict[int, list[bytes]] = {}
    for text in values:
        try:
            address = ipaddress.ip_address(text.strip())
        except ValueError:
            raise UsageError(
                f"{text!r} is no IP address", "expected one like 198.51.100.7"
            ) from None
        kind = A if address.version == 4 else AAAA
        rdata = rdata_from_text(kind, str(address)) if "%" not in text else None
        if rdata is None:
            raise UsageError(f"{text!r} has a zone", "expected an address without %…")
        if rdata not in kinds.setdefault(kind, []):
            kinds[kind].append(rdata)
    return kinds


def _kind(word: str) -> int:
    try:
        kind = type_number(word)
    except CodecError as error:
        raise UsageError(str(error)) from None
    if kind in (0, OPT) or 249 <= kind <= ANY:
        raise UsageError(f"no name has {word} records", "expected A, AAAA, CNAME, TXT, MX, …")
    return kind


def _rdata(kind: int, text: str) -> bytes:
    if kind == CNAME:
        return name_wire(text)
    try:
        return rdata_from_text(kind, text)
    except CodecError as error:
        raise UsageError(str(error), "write it as in a zone file") from None
