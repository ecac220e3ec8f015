"""YAML documents as trees that know their lines.

The one importer of PyYAML, which does the grammar; what a plain word means (``on`` is true, ``010``
is eight) follows the YAML that Kubernetes' tools read, so that a value has the type there that it
has here.  Sizes are bounded: aliases of aliases cannot grow without limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from fqdnlab.model.yaml_nodes import Fault, Mapping, Node, Scalar, Sequence
from fqdnlab.model.yaml_scalars import plain_value

__all__ = ["Document", "Event", "events_of", "read_documents"]

#: Values in one document, aliases counted as often as they are used.
MAX_NODES = 500_000
#: Of lists and mappings in one another; a policy needs twelve.
MAX_DEPTH = 100


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
        As written; the first one's with all that stands before it, so that its lines are those of
        the whole text.
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
        reader = _Reader(chunk, before)
        while (root := reader.next_root()) is not None:
            if isinstance(root, Scalar) and root.value is None:
                continue
            line = root.line
            faults = tuple(reader.faults)
            found.append(Document(index + len(found), line, reader.text, root, faults))
    except yaml.YAMLError as error:
        found.append(Document(index + len(found), line, chunk, None, (_fault(error, before),)))
    except _RefusedError as error:
        found.append(Document(index + len(found), line, chunk, None, (error.fault,)))
    return found


def _fault(error: yaml.YAMLError, before: int) -> Fault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = before + 1 + (mark.line if mark else 0)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return "", line, f"not YAML: {problem}"


class Event(NamedTuple):
    """Something of the grammar, and the characters that it takes.

    Attributes
    ----------
    kind : {"document", "scalar", "alias", "map", "list", "end"}
    start, end : int
        The first character, and the one after the last.
    flow : bool
        Of a map or a list: whether it is in brackets.
    value : str
        Of a scalar: as a key it would be this.
    """

    kind: str
    start: int
    end: int
    flow: bool = False
    value: str = ""


def events_of(text: str) -> list[Event]:
    """Where everything stands in `text`.

    Raises
    ------
    ValueError
        If it is no YAML.
    """
    try:
        return [e for event in yaml.parse(text, Loader=_Loader) for e in _placed(event)]
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _placed(event: Any) -> Iterator[Event]:
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.DocumentStartEvent):
        yield Event("document", start, end)
    elif isinstance(event, yaml.AliasEvent):
        yield Event("alias", start, end)
    elif isinstance(event, yaml.ScalarEvent):
        value = plain_value(event.value) if event.tag is None and event.implicit[0] else event.value
        yield Event("scalar", start, end, value=_key_text(value))
    elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
        kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
        yield Event(kind, start, end, flow=bool(event.flow_style))
    elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
        yield Event("end", start, end)


def _key_text(value: str | int | float | bool | None) -> str:
    if isinstance(value, bool):  # as in JSON
        return "true" if value else "false"
    return "null" if value is None else str(value)


# --- PyYAML's events to our nodes --------------------------------------------------------------

_STR = "tag:yaml.org,2002:str"
#: The C scanner is ten times as fast; it comes with PyYAML's wheels, not with every package.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _RefusedError(Exception):
    """The rest of the text cannot be read."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.fault: Fault = ("", line, problem)


class _Reader:
    """Builds the roots of one text from events, so that depth and size are ours to bound."""

    def __init__(self, text: str, before: int) -> None:
        self.faults: list[Fault] = []
        self.text = ""
        self._all = text
        self._before = before
        self._is_first = before == 0
        self._loader = _Loader(text)
        self._count = 0
        self._depth = 0
        #: Anchor → its node (None while it is being read) and how many values it stands for.
        self._anchors: dict[str, tuple[Node | None, int]] = {}

    def next_root(self) -> Node | None:
        """The next document's value; None: no more."""
        while True:
            event = self._loader.get_event()
            if event is None or isinstance(event, yaml.StreamEndEvent):
                return None
            if isinstance(event, yaml.DocumentStartEvent):
                break
        self._anchors, self._count, self.faults = {}, 0, []
        first = self._loader.peek_event().start_mark
        root = self._value(self._loader.get_event(), "")
        last = self._loader.get_event().start_mark
        begin = 0 if self._is_first else first.index - first.column
        self._is_first = False
        self.text = self._all[begin : last.index].rstrip() + "\n"
        return root

    def _line(self, event: Any) -> int:
        return int(event.start_mark.line) + 1 + self._before

    def _value(self, event: Any, path: str) -> Node:
        line = self._line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, line)
        self._counted(1, line)
        anchor: str | None = event.anchor
        before = self._count
        if anchor is not None:
            self._anchors[anchor] = (None, 0)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _RefusedError(line, f"lists and mappings nested deeper than {MAX_DEPTH}")
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(line, self._scalar(event, line, path))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Sequence(line, tuple(self._items(path)))
        else:
            node = self._mapping(line, path)
        self._depth -= 1
        if anchor is not None:
            self._anchors[anchor] = (node, self._count - before + 1)
        return node

    def _counted(self, values: int, line: int) -> None:
        self._count += values
        if self._count > MAX_NODES:
            raise _RefusedError(line, f"more than {MAX_NODES} values: aliases of aliases?")

    def _alias(self, event: Any, line: int) -> Node:
        if event.anchor not in self._anchors:
            raise _RefusedError(line, f"not YAML: there is no anchor {event.anchor!r} before")
        node, size = self._anchors[event.anchor]
        if node is None:
            raise _RefusedError(line, f"the anchor {event.anchor!r} holds itself")
        self._counted(size, line)
        return node

    def _items(self, path: str) -> Iterator[Node]:
        index = 0
        while not isinstance(event := self._loader.get_event(), yaml.SequenceEndEvent):
            yield self._value(event, f"{path}[{index}]")
            index += 1

    def _scalar(
        self, event: yaml.ScalarEvent, line: int, path: str
    ) -> str | int | float | bool | None:
        text: str = event.value
        if event.tag is None or event.tag == "!":
            return plain_value(text) if event.implicit[0] else text
        if event.tag == _STR:
            return text
        kind = event.tag.removeprefix("tag:yaml.org,2002:")
        value = plain_value(text)
        if kind in _KINDS and isinstance(value, _KINDS[kind]):
            return value
        self.faults.append((path, line, f"{text!r} is no {kind}"))
        return text

    def _mapping(self, line: int, path: str) -> Mapping:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merged: list[Mapping] = []
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            key_line = self._line(event)
            key = self._key(event, key_line, path)
            place = f"{path}.{key}" if path else key
            value = self._value(self._loader.get_event(), place)
            if key == "<<" and getattr(event, "implicit", (False,))[0]:
                merged += self._merged(value, key_line, path)
            elif key in entries:
                self.faults.append((place, key_line, f"stated twice, first on line {lines[key]}"))
            else:
                entries[key], lines[key] = value, key_line
        for other in merged:
            for key, value in other.entries.items():
                entries.setdefault(key, value)
                lines.setdefault(key, other.key_lines[key])
        return Mapping(line, entries, lines)

    def _key(self, event: Any, line: int, path: str) -> str:
        node = self._value(event, path)
        if not isinstance(node, Scalar):
            raise _RefusedError(line, "a text is expected as key")
        return _key_text(node.value)

    def _merged(self, value: Node, line: int, path: str) -> list[Mapping]:
        parts = list(value.items()) or [value]
        if not all(isinstance(part, Mapping) for part in parts):
            self.faults.append((path, line, "a mapping, or a list of them, is expected after <<"))
        return [part for part in parts if isinstance(part, Mapping)]


_KINDS: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "null": type(None),
}
