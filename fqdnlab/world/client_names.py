"""The world's names, from a client's side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fqdnlab.pb import world_pb2
from fqdnlab.world.client_call import Caller, texts, unsigned
from fqdnlab.world.zonefile import Records, read_zone

__all__ = ["Names", "RecordsOf"]


@dataclass(frozen=True)
class RecordsOf:
    """The records of one type at one name; `server` is empty where it is for all."""

    name: str
    type: str
    ttl: int
    values: tuple[str, ...]
    server: str = ""


class Names(Caller):
    """Names and their records."""

    def set(
        self,
        name: str,
        addresses: str | Iterable[str],
        ttl: int | None = None,
        *,
        server: str = "",
    ) -> None:
        """Give a name these addresses, IPv4 and IPv6 mixed, in place of those it had.

        Parameters
        ----------
        name : str
            ``"*.x"`` stands for all names below x that are not there themselves.
        addresses : iterable of str
            None at all: the name exists and has no data.
        ttl : int, optional
            Seconds; what it had, or 60, if not given.
        server : str
            Only the DNS server of this address says so.

        Raises
        ------
        UsageError
            For a name, an address or a TTL that cannot be; nothing is changed.
        UnavailableError
            If the world's process is dead.
        """
        self._change("SET", name, values=texts(addresses), ttl=ttl, server=server)

    def add(
        self,
        name: str,
        addresses: str | Iterable[str],
        ttl: int | None = None,
        *,
        server: str = "",
    ) -> None:
        """Add addresses to those of a name; raises as `set`."""
        self._change("ADD", name, values=texts(addresses), ttl=ttl, server=server)

    def remove(self, name: str, addresses: str | Iterable[str], *, server: str = "") -> None:
        """Take addresses from a name; raises as `set`, also for one that it has not."""
        self._change("REMOVE", name, values=texts(addresses), server=server)

    def rotate(self, name: str, steps: int = 1, *, server: str = "") -> None:
        """Put the first address of each family last, `steps` times; raises as `set`."""
        self._change("ROTATE", name, steps=steps, server=server)

    def set_ttl(self, name: str, ttl: int, *, server: str = "") -> None:
        """Set the TTL, in seconds, of all records of a name; raises as `set`."""
        self._change("SET_TTL", name, ttl=ttl, server=server)

    def cname(self, name: str, target: str, ttl: int | None = None, *, server: str = "") -> None:
        """Make a name an alias; its other records go.  Raises as `set`."""
        self._change("PUT", name, type="CNAME", values=[target], ttl=ttl, server=server)

    def put(
        self,
        name: str,
        type: str,  # noqa: A002
        values: str | Iterable[str],
        ttl: int | None = None,
        *,
        server: str = "",
    ) -> None:
        """Give a name records of any type, written as in a zone file; raises as `set`.

        Examples
        --------
        >>> world.put("example.com", "MX", ["10 mail.example.com."])  # doctest: +SKIP
        """
        self._change("PUT", name, type=type, values=texts(values), ttl=ttl, server=server)

    def delete(self, name: str, type: str = "", *, server: str = "") -> None:  # noqa: A002
        """Take a name away, or its records of one type; raises as `set`, also if there are none."""
        self._change("DELETE", name, type=type, server=server)

    def clear(self, *, server: str = "") -> None:
        """Take all names away."""
        self._change("CLEAR", "", server=server)

    def load(self, source: str | Path, *, server: str = "") -> int:
        """Read a zone file, YAML or RFC 1035, and put all its records, or none.

        Parameters
        ----------
        source : path or str
            A path, or (if it has more than one line) the text itself.
        server : str
            Only the DNS server of this address says so.

        Returns
        -------
        int
            How many record sets.

        Raises
        ------
        UsageError
            With the line, if it is no zone file.
        """
        changes = [_put(records, server) for records in read_zone(source)]
        self._call("Change", world_pb2.ChangeRequest(changes=changes))
        return len(changes)

    def __setitem__(self, name: str, addresses: str | Iterable[str]) -> None:
        """Do as `set` does, the TTL kept (60 s at first)."""
        self.set(name, addresses)

    def __getitem__(self, name: str) -> list[str]:
        """The addresses of a name, IPv4 first; a name that is not there is a KeyError."""
        reply = self._list(name)
        if not reply.sets and not reply.empty:
            raise KeyError(name)
        everywhere = [one for one in reply.sets if not one.server]
        return [v for kind in ("A", "AAAA") for s in everywhere if s.type == kind for v in s.values]

    def __delitem__(self, name: str) -> None:
        """Do as `delete` does; a name that is not there is a KeyError."""
        if name not in self:
            raise KeyError(name)
        self.delete(name)

    def __contains__(self, name: str) -> bool:
        """Whether the name was set (wildcards do not count)."""
        reply = self._list(name)
        return bool(reply.sets or reply.empty)

    def __iter__(self) -> Iterator[str]:
        """Names, in the order in which they came."""
        return iter(self.names())

    def names(self) -> list[str]:
        """All names, without the last dot, in the order in which they came."""
        reply = self._list("")
        return list(dict.fromkeys([*(s.name for s in reply.sets), *reply.empty]))

    def records(self, name: str = "", *, server: str = "") -> list[RecordsOf]:
        """All records, or those of one name."""
        sets = self._list(name, server).sets
        return [RecordsOf(s.name, s.type, s.ttl, tuple(s.values), s.server) for s in sets]

    def _change(self, verb: str, name: str, **fields: Any) -> None:
        if fields.get("ttl", 0) is None:
            del fields["ttl"]
        elif "ttl" in fields:
            fields["ttl"] = unsigned("ttl", fields["ttl"])
        change = world_pb2.Change(verb=verb, name=name, **fields)
        self._call("Change", world_pb2.ChangeRequest(changes=[change]))

    def _list(self, name: str, server: str = "") -> Any:
        return self._call("List", world_pb2.ListRequest(name=name, server=server))


def _put(records: Records, server: str) -> world_pb2.Change:
    return world_pb2.Change(
        verb=world_pb2.Verb.PUT,
        name=records.name,
        type=records.type,
        values=records.values,
        ttl=records.ttl,
        server=server,
    )
