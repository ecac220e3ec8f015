"""Trees of values that know their lines: what `yaml_source` makes."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Fault", "Mapping", "Node", "Scalar", "Sequence"]

#: (path, line, what was expected)
Fault = tuple[str, int, str]


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
