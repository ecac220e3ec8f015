"""Values changed in YAML that a person wrote: what is not changed stays as it stands.

Comments, order, quotes and brackets of all that is equal before and after are kept.  What is
written is read again: if it does not say what it should, a larger part is written anew, in the end
the whole document.  So the values are right whatever the text; comments inside a part that had to
be written anew are lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any, NamedTuple

from fqdnlab.model.yaml_source import Event, events_of, read_documents
from fqdnlab.model.yaml_text import block_lines, flow_text, plain

__all__ = ["rewritten"]

_DEPTHS = (99, 8, 7, 6, 5, 4, 3, 2, 1, 0)


@dataclass(frozen=True)
class _Span:
    """Where a value stands; `entries`: (key or '', where key or dash begins, value)."""

    kind: str
    start: int
    end: int
    flow: bool = False
    entries: tuple[tuple[str, int, _Span], ...] = ()


class _Patch(NamedTuple):
    start: int
    end: int
    text: str


class _UnclearError(Exception):
    """This part cannot be changed piece by piece."""


def rewritten(text: str, index: int, value: Any) -> str:
    """`text` with another value of one document.

    Parameters
    ----------
    text : str
        Of one or more documents.
    index : int
        Which; documents without content do not count (as in `read_documents`).
    value : any
        What JSON can hold.

    Raises
    ------
    ValueError
        If `text` is no YAML, or has no such document.
    """
    spans = _documents(text)
    before = [None if d.root is None else plain(d.root) for d in read_documents(text)]
    if not 0 <= index < len(before) or len(spans) != len(before) or None in before:
        raise ValueError(f"no document {index} that is YAML")
    wanted = [*before[:index], value, *before[index + 1 :]]
    for depth in _DEPTHS:
        try:
            patches = list(_changes(text, spans[index], before[index], value, depth, False))
            made = _patched(text, patches)
        except _UnclearError:
            continue
        if _same(_values(made), wanted):
            return made
    raise ValueError("this YAML cannot be changed")  # never seen: depth 0 writes it anew


def _values(text: str) -> list[Any]:
    documents = read_documents(text)
    if any(d.faults or d.root is None for d in documents):
        return []
    return [plain(d.root) for d in documents if d.root is not None]


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _patched(text: str, patches: list[_Patch]) -> str:
    ordered = sorted(enumerate(patches), key=lambda p: (p[1].start, p[1].end, p[0]))
    for (_, one), (_, after) in pairwise(ordered):
        if after.start < one.end:
            raise _UnclearError
    for _, patch in reversed(ordered):
        text = text[: patch.start] + patch.text + text[patch.end :]
    return text


# ---------------------------------------------------------------- where values stand


def _documents(text: str) -> list[_Span]:
    events = iter(events_of(text))
    found = [_span(text, next(events), events) for event in events if event.kind == "document"]
    return [s for s in found if not (s.kind == "scalar" and _is_null(text[s.start : s.end]))]


def _is_null(text: str) -> bool:
    return text in ("", "~", "null", "Null", "NULL")


def _span(text: str, event: Event, events: Iterator[Event]) -> _Span:
    if event.kind not in ("map", "list"):
        end = event.end
        while end > event.start and text[end - 1] in "\r\n":  # of a block of text
            end -= 1
        return _Span(event.kind, event.start, end)
    entries: list[tuple[str, int, _Span]] = []
    for one in events:
        if one.kind == "end":
            break
        if event.kind == "list":
            value = _span(text, one, events)
            entries.append(("", value.start if event.flow else _dash(text, value.start), value))
            continue
        key = _span(text, one, events)
        entries.append((one.value, key.start, _span(text, next(events), events)))
    end = one.end if event.flow else max((v.end for _, _, v in entries), default=event.start)
    return _Span(event.kind, event.start, end, event.flow, tuple(entries))


def _dash(text: str, start: int) -> int:
    """Where the dash before an item is; -1: a comment is between."""
    at = start - 1
    while at >= 0 and text[at] in " \t\r\n":
        at -= 1
    return at if at >= 0 and text[at] == "-" else -1


# ---------------------------------------------------------------- what to change


def _changes(
    text: str, span: _Span, old: Any, new: Any, depth: int, in_flow: bool
) -> Iterator[_Patch]:
    if _same(old, new):
        return
    in_flow = in_flow or span.flow
    both = (isinstance(old, dict) and isinstance(new, dict)) or (
        isinstance(old, list) and isinstance(new, list)
    )
    if not both or not old or not new or not depth or span.kind not in ("map", "list"):
        yield _replaced(text, span, new, in_flow)
        return
    change: Callable[..., Iterator[_Patch]] = _of_map if span.kind == "map" else _of_list
    yield from change(text, span, old, new, depth - 1, in_flow)


def _replaced(text: str, span: _Span, new: Any, in_flow: bool) -> _Patch:
    gap = " " if span.start == span.end else ""
    parts = isinstance(new, dict | list) and new
    if not parts or in_flow or span.kind not in ("map", "list"):
        return _Patch(span.start, span.end, gap + flow_text(new))
    indent = "\n" + " " * _column(text, span.start)
    return _Patch(span.start, span.end, indent.join(block_lines(new)))


def _of_map(
    text: str, span: _Span, old: dict[str, Any], new: dict[str, Any], depth: int, in_flow: bool
) -> Iterator[_Patch]:
    places = {key: n for n, (key, _, _) in enumerate(span.entries)}
    if len(places) != len(span.entries) or not set(old) & set(new) & set(places):
        raise _UnclearError
    for key, value in old.items():
        if key not in places:
            continue  # merged from elsewhere: what is new overrides it
        if key not in new:
            yield _without(text, span, places[key], {places[k] for k in new if k in places})
        else:
            at = span.entries[places[key]][2]
            yield from _changes(text, at, value, new[key], depth, in_flow)
    added = {k: v for k, v in new.items() if k not in places and not _same(old.get(k), v)}
    if added and span.flow:
        inner = flow_text(added)[1:-1]
        yield _Patch(span.entries[-1][2].end, span.entries[-1][2].end, f", {inner}")
    elif added:
        yield _below(text, span, list(block_lines(added)))


def _of_list(
    text: str, span: _Span, old: list[Any], new: list[Any], depth: int, in_flow: bool
) -> Iterator[_Patch]:
    if len(span.entries) != len(old):
        raise _UnclearError
    kept: set[int] = set()
    added: list[tuple[int, list[Any]]] = []
    changed: list[tuple[int, Any]] = []
    for _, start, stop, first, last in _alignment(old, new):
        pairs = min(stop - start, last - first)
        kept.update(range(start, start + pairs))
        changed += [(start + n, new[first + n]) for n in range(pairs)]
        if last - first > pairs:
            added.append((start + pairs, new[first + pairs : last]))
    for n, value in changed:
        yield from _changes(text, span.entries[n][2], old[n], value, depth, in_flow)
    for n in range(len(old)):
        if n not in kept:
            yield _without(text, span, n, kept)
    for n, values in added:
        yield from _inserted(text, span, n, values)


def _alignment(old: list[Any], new: list[Any]) -> Sequence[tuple[str, int, int, int, int]]:
    if len(old) == len(new):
        return [("replace", 0, len(old), 0, len(new))]  # most likely changed in their places
    one, other = ([json.dumps(v, sort_keys=True) for v in values] for values in (old, new))
    return SequenceMatcher(None, one, other, autojunk=False).get_opcodes()


def _inserted(text: str, span: _Span, n: int, values: list[Any]) -> Iterator[_Patch]:
    if span.flow:
        inner = flow_text(values)[1:-1]
        if n < len(span.entries):
            at = span.entries[n][1]
            yield _Patch(at, at, f"{inner}, ")
        else:
            at = span.entries[-1][2].end
            yield _Patch(at, at, f", {inner}")
        return
    lines = list(block_lines(values))
    if n == len(span.entries):
        yield _below(text, span, lines)
        return
    at = _place(span, n)
    indent = "\n" + " " * _column(text, at)
    yield _Patch(at, at, indent.join(lines) + indent)


def _below(text: str, span: _Span, lines: list[str]) -> _Patch:
    """Lines after the last of a block."""
    at = _line_end(text, span.end)
    indent = "\n" + " " * _column(text, span.start)
    return _Patch(at, at, "".join(indent + line for line in lines))


def _without(text: str, span: _Span, n: int, left: set[int]) -> _Patch:
    """Take an entry away; `left` are those that stay."""
    if not left:
        raise _UnclearError
    start, value = _place(span, n), span.entries[n][2]
    last = n + 1 == len(span.entries)
    if span.flow:
        if any(k < n for k in left):
            return _Patch(span.entries[n - 1][2].end, value.end, "")
        return _Patch(start, span.entries[n + 1][1], "")
    own_line = not text[text.rfind("\n", 0, start) + 1 : start].strip()
    if own_line:
        begin = text.rfind("\n", 0, start) + 1
        return _Patch(begin, min(len(text), _line_end(text, value.end) + 1), "")
    if last:
        raise _UnclearError
    return _Patch(start, _place(span, n + 1), "")


def _place(span: _Span, n: int) -> int:
    at = span.entries[n][1]
    if at < 0:
        raise _UnclearError
    return at


def _column(text: str, at: int) -> int:
    return at - (text.rfind("\n", 0, at) + 1)


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found
