"""Kubernetes label selectors as text (``app=web,tier in (a, b),!old``), over Cilium's labels.

A key may name a source (``k8s:app``); one without matches labels of any source.
Grammar: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = ["parse_selector"]

Test = Callable[[dict[str, set[str]]], bool]

_KEY = r"(?P<key>[-A-Za-z0-9_./:]+)"
_SET = re.compile(rf"\s*{_KEY}\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)\s*\Z")
_EQUAL = re.compile(rf"\s*{_KEY}\s*(?P<op>==|=|!=)\s*(?P<value>[-A-Za-z0-9_./:]*)\s*\Z")
_EXISTS = re.compile(rf"\s*(?P<op>!?)\s*{_KEY}\s*\Z")


def parse_selector(text: str) -> Callable[[Iterable[str]], bool]:
    """A predicate on labels (``source:key=value``) from a selector's text.

    Parameters
    ----------
    text : str
        Requirements joined by commas, all of which must hold; empty: matches all.

    Raises
    ------
    ValueError
        If a requirement cannot be read; it is named.
    """
    tests = [_requirement(part) for part in _parts(text)]
    return lambda labels: all(test(known) for known in [_index(labels)] for test in tests)


def _parts(text: str) -> list[str]:
    if not text.strip():
        return []
    return re.split(r",(?![^(]*\))", text)


def _index(labels: Iterable[str]) -> dict[str, set[str]]:
    """Key → values, under ``source:key`` and ``any:key``."""
    index: dict[str, set[str]] = {}
    for label in labels:
        key, _, value = label.partition("=")
        source, colon, name = key.partition(":")
        if not colon:
            source, name = "unspec", key
        index.setdefault(f"{source}:{name}", set()).add(value)
        index.setdefault(f"any:{name}", set()).add(value)
    return index


def _requirement(part: str) -> Test:
    if found := _SET.match(part):
        values = {v.strip() for v in found["values"].split(",")}
        return _test(found["key"], values, found["op"] == "notin")
    if found := _EQUAL.match(part):
        return _test(found["key"], {found["value"]}, found["op"] == "!=")
    if found := _EXISTS.match(part):
        key, absent = _full(found["key"]), bool(found["op"])
        return lambda labels: (key in labels) != absent
    raise ValueError(
        f"{part.strip()!r} is no label requirement, such as 'app=web' or 'app in (a, b)'"
    )


def _test(key: str, values: set[str], negated: bool) -> Test:
    full = _full(key)
    if negated:  # also true without the label, as in Kubernetes
        return lambda labels: not (labels.get(full, set()) & values)
    return lambda labels: bool(labels.get(full, set()) & values)


def _full(key: str) -> str:
    return key if ":" in key else f"any:{key}"
