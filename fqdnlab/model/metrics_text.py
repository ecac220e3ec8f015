"""Prometheus' text format read back: one row a sample, with help, kind and unit.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Metric", "read_metrics", "unit_of"]

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_PARTS = ("_bucket", "_sum", "_count")


class Metric(NamedTuple):
    """One sample.

    Attributes
    ----------
    name : str
    labels : dict
    value : float
    family : str
        Whose help and kind are its: the name without ``_bucket``, ``_sum``, ``_count``.
    """

    name: str
    labels: dict[str, str]
    value: float
    family: str


def read_metrics(text: str) -> tuple[list[Metric], dict[str, dict[str, str]]]:
    """Samples, and what is said of each family (``help``, ``kind``, ``unit``).

    Raises
    ------
    ValueError
        For a line that is no sample; it says which.
    """
    about: dict[str, dict[str, str]] = {}
    found: list[Metric] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("# HELP ", "# TYPE ")):
            _, what, name, *rest = line.split(" ", 3)
            one = about.setdefault(name, {"help": "", "kind": "untyped", "unit": unit_of(name)})
            one["help" if what == "HELP" else "kind"] = rest[0] if rest else ""
        elif line.strip() and not line.startswith("#"):
            match = _SAMPLE.fullmatch(line.strip())
            if match is None:
                raise ValueError(f"line {number}: no sample: {line!r}")
            name, labels, value = match.groups()
            family = next((f for f in _families(name) if f in about), name)
            found.append(Metric(name, dict(_labels(labels or "")), float(value), family))
    return found, about


def _families(name: str) -> Iterator[str]:
    yield name
    for part in _PARTS:
        if name.endswith(part):
            yield name.removesuffix(part)


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for match in _LABEL.finditer(text):
        yield match[1], re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), match[2])


def unit_of(name: str) -> str:
    """The unit, by Prometheus' rule of names: the last word but ``total``."""
    base = name.removesuffix("_total")
    if base.endswith("_seconds"):
        return "seconds"
    if base.endswith("_bytes"):
        return "octets"
    return "count"
