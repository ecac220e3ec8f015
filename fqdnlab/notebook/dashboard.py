"""All panels in one cell, in their places, and each by its name."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import ipywidgets

from fqdnlab.errors import UsageError
from fqdnlab.notebook.base import Panel
from fqdnlab.notebook.comms import heard_while_busy
from fqdnlab.notebook.flow_table import FlowTable

if TYPE_CHECKING:
    from fqdnlab.lab import Lab

__all__ = ["PANELS", "Dashboard", "panel"]

_COLUMNS = 12

#: Name → its module and class, and how many of twelve columns it takes in the dashboard.
PANELS: dict[str, tuple[str, str, int]] = {
    "says": ("says", "Says", 12),
    "faults": ("faults", "Faults", 12),
    "timeline": ("timeline", "Timeline", 12),
    "world": ("world", "WorldTable", 6),
    "traffic": ("traffic", "Traffic", 6),
    "flows": ("flow_table", "FlowTable", 8),
    "why": ("why", "Why", 4),
    "policy": ("policy", "PolicyAuthor", 5),
    "way": ("way", "Way", 7),
}


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(f"fqdnlab.notebook.{PANELS[name][0]}") is not None


def panel(lab: Lab, name: str, **options: Any) -> Panel:
    """A panel by its name.

    Parameters
    ----------
    lab : Lab
    name : str
        One of `PANELS`.
    **options
        As its class takes them.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in PANELS or not _is_there(name):
        known = ", ".join(n for n in PANELS if _is_there(n))
        raise UsageError(f"there is no panel {name!r}", f"one of {known}")
    module, kind, _ = PANELS[name]
    made: Panel = getattr(import_module(f"fqdnlab.notebook.{module}"), kind)(lab, **options)
    return made


def spans(names: Iterable[str]) -> dict[str, int]:
    """How many of twelve columns each panel takes; the last of a row takes what is left."""
    rows: list[list[str]] = [[]]
    for name in names:
        if sum(PANELS[n][2] for n in (*rows[-1], name)) > _COLUMNS:
            rows.append([])
        rows[-1].append(name)
    found: dict[str, int] = {}
    for row in rows:
        found |= {name: PANELS[name][2] for name in row}
        if row:
            found[row[-1]] += _COLUMNS - sum(PANELS[n][2] for n in row)
    return found


class Dashboard(ipywidgets.Box):  # type: ignore[misc]
    """All panels of a lab.

    Parameters
    ----------
    lab : Lab
    node : str
        The node that is shown, of a lab with several; empty: the first.

    Attributes
    ----------
    panels : dict of str to Panel
    """

    panels: Mapping[str, Panel] = MappingProxyType({})  # of a dashboard that was refused

    def __init__(self, lab: Lab, node: str = "") -> None:
        self.panels = {name: panel(lab, name, node=node) for name in PANELS if _is_there(name)}
        for name, columns in spans(self.panels).items():
            self.panels[name].add_class(f"fqdnlab-span-{columns}")
        grid = ipywidgets.Box(list(self.panels.values()))
        grid.add_class("fqdnlab-grid")
        super().__init__([grid])
        self.add_class("fqdnlab-dashboard")
        heard_while_busy(self)
        table = self.panels["flows"]
        assert isinstance(table, FlowTable)
        for one in self.panels.values():
            if hasattr(one, "choose"):
                table.on_choice(one.choose)

    def close(self) -> None:
        """Take all panels away."""
        for one in self.panels.values():
            one.close()
        super().close()
