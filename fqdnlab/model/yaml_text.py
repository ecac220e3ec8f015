"""YAML written: plain values as the blocks that a person would write.

Reading is `yaml_source`'s; what is written here reads back as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from fqdnlab.model.yaml_nodes import Mapping, Node, Scalar, Sequence

__all__ = ["block_lines", "flow_text", "plain", "write_documents"]

#: Words that are text in every reader of YAML and need no quotes.
_PLAIN = re.compile(r"[A-Za-z_/][-A-Za-z0-9_./]*(?::[A-Za-z0-9_][-A-Za-z0-9_./]*)*")
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def plain(node: Node) -> Any:
    """A tree as dictionaries, lists and values."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(value) for value in node.values]
    assert isinstance(node, Scalar)
    return node.value


def write_documents(*documents: Any) -> str:
    """YAML of each document, parted by lines of dashes."""
    return "---\n".join("".join(f"{line}\n" for line in block_lines(d)) for d in documents)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)


def flow_text(value: Any) -> str:
    """A value on one line, in brackets where it has parts."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(k)}: {flow_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow_text, value)) + "]"
    return _scalar(value)


def block_lines(value: Any) -> Iterator[str]:
    """A value as lines, without indentation before them."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _entry(f"{_scalar(key)}:", inner, "" if isinstance(inner, list) else "  ")
    elif isinstance(value, list) and value:
        for inner in value:
            first, *rest = block_lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value) if not isinstance(value, dict | list) else json.dumps(value)


def _entry(head: str, inner: Any, indent: str) -> Iterator[str]:
    if isinstance(inner, dict | list) and inner:
        yield head
        yield from (f"{indent}{line}" for line in block_lines(inner))
    else:
        yield f"{head} {next(iter(block_lines(inner)))}"
