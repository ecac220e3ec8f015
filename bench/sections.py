"""The sections, in the order in which they are played; each imported only when it is wanted."""

from __future__ import annotations

from importlib import import_module

from bench.figures import Section

__all__ = ["SECTIONS", "load"]

#: Name for ``--only`` → module with a class `Bench`, which is a `Section`.
SECTIONS = {
    "dns": "bench.dns",
    "mappings": "bench.mappings",
    "packets": "bench.packets",
    "control": "bench.control",
    "notebook": "bench.notebook",
}


def load(name: str) -> Section:
    """Make the section of that name."""
    section: Section = import_module(SECTIONS[name]).Bench()
    return section
