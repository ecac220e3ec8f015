"""Zone files: YAML of ours, or master files (RFC 1035).  Pure but for reading the file.

::

    ttl: 30                       # for all that say nothing else
    names:
      api.example.com: 198.51.100.7
      www.example.com: [198.51.100.8, "2001:db8::8"]
      alias.example.com: {cname: www.example.com, ttl: 5}
      example.com: {mx: 10 mail.example.com., txt: [v=spf1 -all], ttl: 300}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fqdnlab.dns.dnslib_codec import (
    CodecError,
    rdata_from_text,
    rdata_to_text,
    read_master,
    type_number,
    type_word,
)
from fqdnlab.errors import UsageError
from fqdnlab.model.yaml_nodes import Mapping, Node, Scalar
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.world.store import DEFAULT_TTL
from fqdnlab.world.wire import CNAME, name_wire

__all__ = ["Records", "read_zone"]

_MASTER = (".zone", ".db")


@dataclass(frozen=True)
class Records:
    """The records of one type at one name."""

    name: str
    type: str
    ttl: int
    values: tuple[str, ...]


def read_zone(source: str | Path) -> list[Records]:
    """Read a zone file from a path, or from a text of more than one line.

    A file whose name ends with ``.zone`` or ``.db``, and a text that begins with ``$``, ``;`` or
    ``@``, is a master file; anything else is YAML.

    Raises
    ------
    UsageError
        With the line and what was expected there.
    """
    place, text, master = "zone", str(source), False
    if isinstance(source, Path) or "\n" not in source:
        path = Path(source)
        place, master = str(path), path.suffix in _MASTER
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the zone file {path} cannot be read: {error}") from None
    if master or text.lstrip().startswith(("$", ";", "@")):
        return _master(text, place)
    return list(_yaml(text, place))


def _master(text: str, place: str) -> list[Records]:
    try:
        found = read_master(text, ttl=DEFAULT_TTL)
    except CodecError as error:
        raise UsageError(f"{place}: {error}", "expected a master file (RFC 1035)") from None
    sets: dict[tuple[str, int], tuple[int, list[str]]] = {}
    for record in found:
        _, values = sets.setdefault((record.name, record.type), (record.ttl, []))
        values.append(rdata_to_text(record.type, record.rdata))
    return [
        Records(name, type_word(kind), ttl, tuple(values))
        for (name, kind), (ttl, values) in sets.items()
    ]


def _yaml(text: str, place: str) -> Iterator[Records]:
    documents = read_documents(text)
    for document in documents:
        for path, line, expected in document.faults:
            raise _fault(place, line, path, expected)
        root = document.root
        if not isinstance(root, Mapping):
            raise _fault(place, document.line, "", "a mapping with names is expected")
        for key in root.entries:
            if key not in ("ttl", "names"):
                raise _fault(place, root.key_lines[key], key, "expected ttl or names")
        ttl = _ttl(root.get("ttl"), DEFAULT_TTL, place)
        names = root.get("names")
        if not isinstance(names, Mapping):
            raise _fault(place, root.line, "names", "a mapping of names is expected")
        for name, node in names.entries.items():
            try:
                name_wire(name)
                yield from _of_name(name, node, ttl, place)
            except (CodecError, UsageError) as error:
                if isinstance(error, UsageError) and error.message.startswith(place):
                    raise
                raise _fault(place, names.key_lines[name], name, str(error)) from None


def _of_name(name: str, node: Node, ttl: int, place: str) -> Iterator[Records]:
    if not isinstance(node, Mapping):
        kinds: dict[str, list[str]] = {}
        for value in _values(node, place):
            kinds.setdefault("AAAA" if ":" in value else "A", []).append(value)
        if not kinds:
            raise CodecError("an address is expected")
        given = list(kinds.items())
    else:
        ttl = _ttl(node.get("ttl"), ttl, place)
        given = [
            (key, _values(value, place)) for key, value in node.entries.items() if key != "ttl"
        ]
    for kind, values in given:
        number = type_number(kind)
        if not values:
            raise CodecError(f"{kind}: a value is expected")
        for value in values:
            name_wire(value) if number == CNAME else rdata_from_text(number, value)
        yield Records(name, type_word(number), ttl, tuple(values))


def _values(node: Node, place: str) -> list[str]:
    nodes = node.items() or (node,)
    found = []
    for one in nodes:
        if not isinstance(one, Scalar) or one.value is None or isinstance(one.value, bool):
            raise _fault(place, one.line, "", f"a text is expected, not a {one.kind}")
        found.append(str(one.value))
    return found


def _ttl(node: Node | None, default: int, place: str) -> int:
    if node is None:
        return default
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise _fault(place, node.line, "ttl", "a number of seconds is expected")
    return value


def _fault(place: str, line: int, path: str, expected: str) -> UsageError:
    at = f" {path}:" if path else ""
    return UsageError(f"{place}:{line}:{at} {expected}", "see fqdnlab.world.zonefile for the form")
