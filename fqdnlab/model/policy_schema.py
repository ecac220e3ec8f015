"""Shapes that a document must have, and every place where it has not.

A schema is made of the classes here; `check` walks a tree along it and appends a fault (path, line,
what was expected) for each thing that is wrong, without stopping at the first.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Mapping as Entries
from dataclasses import dataclass, field

from fqdnlab.model.yaml_nodes import Fault, Mapping, Node, Scalar, Sequence

__all__ = [
    "Anything",
    "Boolean",
    "Integer",
    "IntegerOrText",
    "List",
    "MapOf",
    "Object",
    "Schema",
    "Text",
    "join",
]


def join(path: str, key: str) -> str:
    """The path of a field: ``spec.egress``."""
    return f"{path}.{key}" if path else key


class Schema:
    """What one value must be."""

    def check(self, node: Node, path: str, faults: list[Fault]) -> None:
        """Append to `faults` what is wrong with `node`, which stands at `path`."""
        raise NotImplementedError


class Anything(Schema):
    """No demands."""

    def check(self, node: Node, path: str, faults: list[Fault]) -> None:
        """Find nothing."""


def _expected(node: Node, path: str, faults: list[Fault], what: str) -> None:
    empty = {"a mapping": " ({} is an empty one)", "a list": " ([] is an empty one)"}
    hint = empty.get(what, "") if node.kind == "null" else ""
    faults.append((path, node.line, f"{what} is expected, not {node.kind}{hint}"))


@dataclass(frozen=True)
class Text(Schema):
    """A text.

    Attributes
    ----------
    pattern : str
        Expression for the whole of it; empty: any.
    what : str
        The pattern in words.
    choices : collection of str
        All that is allowed; empty: any.
    shortest, longest : int
        Characters.
    hints : mapping of str to str
        Words for values that are wrong in a known way.
    """

    pattern: str = ""
    what: str = "a text"
    choices: Collection[str] = ()
    shortest: int = 0
    longest: int = 0
    hints: Entries[str, str] = field(default_factory=dict)

    def check(self, node: Node, path: str, faults: list[Fault]) -> None:
        """See `Schema.check`."""
        text = node.text()
        if text is None:
            quotes = " (put it in quotes)" if isinstance(node, Scalar) and node.value else ""
            faults.append((path, node.line, f"{self.what} is expected, not {node.kind}{quotes}"))
        elif problem := self._problem(text):
            faults.append((path, node.line, problem))

    def _problem(self, text: str) -> str:
        if text in self.hints:
            return self.hints[text]
        if self.choices and text not in self.choices:
            return f"one of {', '.join(self.choices)} is expected, not {_short(text)}"
        if self.longest and len(text) > self.longest:
            return f"at most {self.longest} characters are expected, not {len(text)}"
        if len(text) < self.shortest:
            return f"{self.what} is expected, not an empty one"
        if self.pattern and not re.fullmatch(self.pattern, text):
            return f"{self.what} is expected, not {_short(text)}"
        return ""


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


@dataclass(frozen=True)
class Boolean(Schema):
    """True or false."""

    def check(self, node: Node, path: str, faults: list[Fault]) -> None:
        """See `Schema.check`."""
        if not isinstance(node, Scalar) or not isinstance(node.value, bool):
            _expected(node, path, faults, "true or false")


def _whole(node: Node) -> int | None:
    """The whole number that `node` is, 80.0 included, as in JSON."""
    if not isinstance(node, Scalar) or isinstance(node.value, bool):
        return None
    if isinstance(node.value, float) and node.value.is_integer():
        return int(node.value)
    return node.value if isinstance(node.value, int) else None


@dataclass(frozen=True)
class Integer(Schema):
    """A whole number between two, both included."""

    least: int = -(2**31)
    most: int = 2**31 - 1

    def check(self, node: Node, path: str, faults: list[Fault]) -> None:
        """See `Schema.check`."""
        value = _whole(node)
        if value is None:
            _expected(node, path, faults, "a whole number")
        elif not self.least <= value <= self.most:
            problem = f"a number from {self.least} to {self.most} is expected, not {value}"
            faults.append((path, node.line, problem))


@dataclass(frozen=True)
class IntegerOrText(Schema):
    """A whole number, or a text of its own shape."""

    integer: Integer
    text: Text

    def check(self, node: Node, path: str, faults: list[Fault]) -> None:
        """See `Schema.check`."""
        if node.text() is not None:
            self.text.check(node, path, faults)
        elif _whole(node) is not None:
            self.integer.check(node, path, faults)
        else:
            _expected(node, path, faults, "a whole number or a text")


@dataclass(frozen=True)
class List(Schema):
    """A list of `item`."""

    item: Schema
    fewest: int = 0
    most: int = -1

    def check(self, node: Node, path: str, faults: list[Fault]) -> None:
        """See `Schema.check`."""
        if not isinstance(node, Sequence):
            _expected(node, path, faults, "a list")
            return
        count = len(node.values)
        if count < self.fewest:
            faults.append((path, node.line, f"at least {self.fewest} items are expected"))
        if 0 <= self.most < count:
            faults.append((path, node.line, f"at most {self.most} items are expected, not {count}"))
        for index, item in enumerate(node.values):
            self.item.check(item, f"{path}[{index}]", faults)


@dataclass(frozen=True)
class MapOf(Schema):
    """Any keys, with values of one shape."""

    value: Schema

    def check(self, node: Node, path: str, faults: list[Fault]) -> None:
        """See `Schema.check`."""
        if not isinstance(node, Mapping):
            _expected(node, path, faults, "a mapping")
            return
        for key, value in node.entries.items():
            self.value.check(value, join(path, key), faults)


@dataclass(frozen=True)
class Object(Schema):
    """A mapping with known keys.

    Attributes
    ----------
    fields : mapping of str to Schema
    required : tuple of str
        Keys that must be there.
    one_of : tuple of str
        Exactly one of these must be there.
    any_of : tuple of str
        At least one of these must be there.
    hints : mapping of str to str
        Words for unknown keys that people write.
    """

    fields: Entries[str, Schema]
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    hints: Entries[str, str] = field(default_factory=dict)

    def check(self, node: Node, path: str, faults: list[Fault]) -> None:
        """See `Schema.check`."""
        if not isinstance(node, Mapping):
            _expected(node, path, faults, "a mapping")
            return
        for key, value in node.entries.items():
            schema = self.fields.get(key)
            if schema is None:
                line = node.key_lines.get(key, value.line)
                faults.append((join(path, key), line, self._unknown(key)))
            else:
                schema.check(value, join(path, key), faults)
        self._presence(node, path, faults)

    def _unknown(self, key: str) -> str:
        hint = self.hints.get(key)
        return hint or f"unknown field; expected is one of {', '.join(self.fields)}"

    def _presence(self, node: Mapping, path: str, faults: list[Fault]) -> None:
        for key in self.required:
            if key not in node.entries:
                faults.append((join(path, key), node.line, "this field is required"))
        if self.one_of:
            there = [key for key in self.one_of if key in node.entries]
            if len(there) != 1:
                names = ", ".join(self.one_of)
                problem = f"exactly one of {names} is expected, not {' and '.join(there) or 'none'}"
                faults.append((path, node.line, problem))
        if self.any_of and not any(key in node.entries for key in self.any_of):
            names = ", ".join(self.any_of)
            faults.append((path, node.line, f"at least one of {names} is expected"))
