"""The lab in a notebook: panels, each alone in a cell, and the dashboard of all.

::

    lab.dashboard()                    # all of it
    lab.panel("flows")                 # one; or FlowTable(lab)

What a panel shows comes from the lab's one reader (`hub`), which has threads of its own: nothing
here asks a service on the kernel's event loop, and panels move while a cell runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fqdnlab.notebook.dashboard import Dashboard, panel
    from fqdnlab.notebook.faults import Faults
    from fqdnlab.notebook.flow_table import FlowTable
    from fqdnlab.notebook.says import Says
    from fqdnlab.notebook.timeline import Timeline
    from fqdnlab.notebook.traffic import Traffic
    from fqdnlab.notebook.way import Way
    from fqdnlab.notebook.why import Why
    from fqdnlab.notebook.world import WorldTable

__all__ = [
    "Dashboard",
    "Faults",
    "FlowTable",
    "Says",
    "Timeline",
    "Traffic",
    "Way",
    "Why",
    "WorldTable",
    "panel",
]

_HOMES = {
    "Dashboard": "dashboard",
    "Faults": "faults",
    "FlowTable": "flow_table",
    "Says": "says",
    "Timeline": "timeline",
    "Traffic": "traffic",
    "Way": "way",
    "Why": "why",
    "WorldTable": "world",
    "panel": "dashboard",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fqdnlab.notebook' has no attribute {name!r}")
    return getattr(import_module(f"fqdnlab.notebook.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
