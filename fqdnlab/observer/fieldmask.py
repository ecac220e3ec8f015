"""Field masks of GetFlows: which fields of a flow a client wants.

Paths that our part of flow.proto does not have are left out: the hubble CLI always asks for some.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from fqdnlab.pb import flow_pb2

__all__ = ["FieldMask"]


class FieldMask:
    """A mask; false if it is empty, which means every field.

    Parameters
    ----------
    paths : iterable of str
        Such as ``IP`` or ``source.labels``.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._tree: dict[str, Any] = {}
        for path in paths:
            self._add(path.split("."))

    def _add(self, parts: list[str]) -> None:
        node = self._tree
        for i, part in enumerate(parts):
            if node.get(part, 0) is None:
                return  # the whole field is wanted already
            if i == len(parts) - 1:
                node[part] = None
            else:
                node = node.setdefault(part, {})

    def __bool__(self) -> bool:
        return bool(self._tree)

    def apply(self, flow: flow_pb2.Flow) -> flow_pb2.Flow:
        """A copy with the wanted fields only."""
        wanted = flow_pb2.Flow()
        _copy(self._tree, flow, wanted)
        return wanted


def _copy(tree: dict[str, Any], source: Message, to: Message) -> None:
    for descriptor, value in source.ListFields():
        if descriptor.name not in tree:
            continue
        below = tree[descriptor.name]
        if below is not None and isinstance(value, Message):
            part = getattr(to, descriptor.name)
            part.SetInParent()
            _copy(below, value, part)
        elif isinstance(value, Message):
            getattr(to, descriptor.name).CopyFrom(value)
        elif descriptor.is_repeated:
            getattr(to, descriptor.name).MergeFrom(value)
        else:
            setattr(to, descriptor.name, value)
