"""YAML documents as trees that know their lines.

The one importer of PyYAML, which does the grammar; what a plain word means (``on`` is true, ``010``
is eight) follows the YAML that Kubernetes' tools read, so that a value has the type there that it
has here.  Sizes are bounded: aliases of aliases cannot grow without limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from fqdnlab.model.yaml_scalars import plain_value

__all__ = ["Document", "Fault", "Mapping", "Node", "Scalar", "Sequence", "read_documents"]

#: (path, line, what was expected)
Fault = tuple[str, int, str]

#: Values in one document, aliases counted as often as they are used.
MAX_NODES = 500_000


@dataclass(frozen=True, slots=True)
class Node:
    """Any value.

    Attributes
    ----------
    line : int
        In the file, from 1.
    """

    line: int

    @property
    def kind(self) -> str:
        """Its type in words."""
        raise NotImplementedError

    def get(self, key: str) -> Node | None:
        """The value of `key`, where this is a mapping that has it."""
        return None

    def items(self) -> tuple[Node, ...]:
        """The items, where this is a list; else none."""
        return ()

    def text(self) -> str | None:
        """The text, where this is one."""
        return None


@dataclass(frozen=True, slots=True)
class Scalar(Node):
    """A text, a number, true, false or null."""

    value: str | int | float | bool | None

    @property
    def kind(self) -> str:
        """Its type in words."""
        if self.value is None:
            return "null"
        names: dict[type, str] = {str: "text", bool: "true or false", int: "number"}
        return names.get(type(self.value), "number")

    def text(self) -> str | None:
        """The text, where this is one."""
        return self.value if isinstance(self.value, str) else None


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    """A list."""

    values: tuple[Node, ...]

    @property
    def kind(self) -> str:
        """Its type in words."""
        return "list"

    def items(self) -> tuple[Node, ...]:
        """The items."""
        return self.values


@dataclass(frozen=True, slots=True)
class Mapping(Node):
    """A mapping; `key_lines` has the line of each key."""

    entries: dict[str, Node]
    key_lines: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Its type in words."""
        return "mapping"

    def get(self, key: str) -> Node | None:
        """The value of `key`."""
        return self.entries.get(key)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file.

    Attributes
    ----------
    index : int
        From 0, documents without content not counted.
    line : int
        Of its first value.
    text : str
        As written.
    root : Node or None
        None where it is no YAML.
    faults : tuple of Fault
        Of the YAML itself.
    """

    index: int
    line: int
    text: str
    root: Node | None
    faults: tuple[Fault, ...] = ()


def read_documents(text: str) -> list[Document]:
    """The documents of `text`; one that is no YAML does not hide the others.

    Documents without content (comments alone) are left out.
    """
    found: list[Document] = []
    for first_line, chunk in _chunks(text):
        found += _read_chunk(chunk, first_line, len(found))
    return found


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """(lines before, text) of each part that begins with a line of three dashes."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    start = 0
    for at, line in enumerate(lines):
        marks = line.startswith("---") and (len(line) == 3 or line[3] in " \t\r\n")
        # Directives (%YAML) belong to the document after them.
        if marks and any(
            not seen.startswith(("%", "#")) and seen.strip() for seen in lines[start:at]
        ):
            yield start, "".join(lines[start:at])
            start = at
    if start < len(lines):
        yield start, "".join(lines[start:])


def _read_chunk(chunk: str, before: int, index: int) -> list[Document]:
    found: list[Document] = []
    line = before + 1
    try:
        loader = _Loader(chunk)
        while loader.check_node():
            node = loader.get_node()
            if node is None or _is_empty(node):
                continue
            line = node.start_mark.line + 1 + before
            reader = _Reader(before)
            root = reader.read(node, "")
            number = index + len(found)
            part = chunk[node.start_mark.index : node.end_mark.index]
            found.append(Document(number, line, part, root, tuple(reader.faults)))
    except yaml.YAMLError as error:
        found.append(Document(index + len(found), line, chunk, None, (_fault(error, before),)))
    except _TooMuchError as error:
        found.append(Document(index + len(found), line, chunk, None, (("", line, str(error)),)))
    except RecursionError:
        fault = ("", line, "lists and mappings are nested too deeply")
        found.append(Document(index + len(found), line, chunk, None, (fault,)))
    return found


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _PLAIN and node.value == ""


def _fault(error: yaml.YAMLError, before: int) -> Fault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = before + 1 + (mark.line if mark else 0)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return "", line, f"not YAML: {problem}"


# --- PyYAML's nodes to ours ------------------------------------------------------------------

_PLAIN = "plain"
_STR = "tag:yaml.org,2002:str"


class _Loader(yaml.SafeLoader):
    """Composes nodes; what a plain scalar means is left to `yaml_scalars`."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _STR
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


class _TooMuchError(Exception):
    pass


class _Reader:
    def __init__(self, before: int) -> None:
        self.faults: list[Fault] = []
        self._before = before
        self._count = 0
        self._open: set[int] = set()

    def read(self, node: yaml.Node, path: str) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise _TooMuchError(f"more than {MAX_NODES} values: aliases of aliases?")
        line = node.start_mark.line + 1 + self._before
        if isinstance(node, yaml.ScalarNode):
            return Scalar(line, self._scalar(node, line, path))
        if id(node) in self._open:
            raise _TooMuchError("an anchor holds itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                items = (self.read(v, f"{path}[{i}]") for i, v in enumerate(node.value))
                return Sequence(line, tuple(items))
            return self._mapping(node, line, path)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.Node, line: int, path: str) -> str | int | float | bool | None:
        if node.tag == _PLAIN:
            return plain_value(node.value)
        if node.tag == _STR:
            return str(node.value)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        value = plain_value(node.value)
        kinds: dict[str, type | tuple[type, ...]] = {
            "int": int,
            "float": (int, float),
            "bool": bool,
            "null": type(None),
        }
        if kind in kinds and isinstance(value, kinds[kind]):
            return value
        self.faults.append((path, line, f"{node.value!r} is no {kind}"))
        return str(node.value)

    def _mapping(self, node: yaml.Node, line: int, path: str) -> Mapping:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merged: list[Mapping] = []
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1 + self._before
            key = self._key(key_node, key_line, path)
            if key is None:
                continue
            if key == "<<" and key_node.tag == _PLAIN:
                merged += self._merged(value_node, key_line, path)
                continue
            place = f"{path}.{key}" if path else key
            value = self.read(value_node, place)
            if key in entries:
                self.faults.append((place, key_line, f"stated twice, first on line {lines[key]}"))
                continue
            entries[key], lines[key] = value, key_line
        for other in merged:
            for key, value in other.entries.items():
                entries.setdefault(key, value)
                lines.setdefault(key, other.key_lines[key])
        return Mapping(line, entries, lines)

    def _key(self, node: yaml.Node, line: int, path: str) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self.faults.append((path, line, "a text is expected as key"))
            return None
        value = self._scalar(node, line, path)
        if isinstance(value, bool):  # as in JSON
            return "true" if value else "false"
        return "null" if value is None else str(value)

    def _merged(self, node: yaml.Node, line: int, path: str) -> list[Mapping]:
        value = self.read(node, path)
        parts = list(value.items()) or [value]
        if not all(isinstance(part, Mapping) for part in parts):
            self.faults.append((path, line, "a mapping, or a list of them, is expected after <<"))
        return [part for part in parts if isinstance(part, Mapping)]
