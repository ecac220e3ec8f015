"""The live table of flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import traitlets

from fqdnlab.errors import UsageError
from fqdnlab.notebook.base import Panel, script

if TYPE_CHECKING:
    from fqdnlab.lab import Lab

__all__ = ["FlowTable"]

_RECENT = 1000
_AHEAD = 20_000  # rows that a browser may be behind before it gets no more


class FlowTable(Panel):
    """Flows as they come, newest on top; filter, pause, choose one.

    Parameters
    ----------
    lab : Lab
    filter : str
        Words that all must be in a row; ``column:word``, ``-word`` for what must not be.

    Attributes
    ----------
    chosen : dict
        The row that was chosen last (`fqdnlab.model.flows.COLUMNS`); `on_choice` tells of it.
    """

    _esm = script("flow_table")
    by_view = frozenset({"filter"})
    filter = traitlets.Unicode("").tag(sync=True)
    chosen_uuid = traitlets.Unicode("").tag(sync=True)
    takes_rows = True

    def __init__(self, lab: Lab, **traits: Any) -> None:
        self._sent = self._painted = 0
        self.chosen: dict[str, Any] = {}
        self._wanted = ""  # the uuid of the row that was clicked last
        self._choice: list[Callable[[dict[str, Any]], None]] = []
        super().__init__(lab, **traits)

    def on_rows(self, rows: list[list[Any]]) -> None:
        """Send new rows to whoever looks, unless they are too far behind."""
        if not self.is_looked_at() or self._sent - self._painted > _AHEAD:
            return
        self._sent = rows[-1][0]
        self.send({"type": "rows", "rows": rows})

    def on_choice(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """Call `tell` with the row whenever one is chosen."""
        self._choice.append(tell)

    def do_hello(self, content: Mapping[str, Any]) -> None:
        """Give a new view the last rows."""
        rows = self._hub.recent(_RECENT)
        if rows:
            self._sent = self._painted = rows[-1][0]
            self.send({"type": "rows", "rows": rows, "again": True})

    def do_painted(self, content: Mapping[str, Any]) -> None:
        """A view has painted all up to that row."""
        self._painted = max(self._painted, int(content.get("n", 0)))

    def do_choose(self, content: Mapping[str, Any]) -> None:
        """A row was clicked, or Enter was pressed on it; one that was held may be long gone."""
        uuid, at = str(content.get("uuid", "")), float(content.get("time", 0)) / 1000
        self._wanted = uuid
        row = self._hub.row(uuid)
        if row is not None:
            self._choose(row)
            return

        def ask() -> str:
            found = self.hands.flow(uuid, at)
            if found is None:
                raise UsageError("this flow is no longer kept", "choose a newer one")
            if self._wanted == uuid:  # else another one was chosen meanwhile
                self._choose(found)
            return ""

        self.act(ask, "choose")

    def _choose(self, row: Mapping[str, Any]) -> None:
        self.chosen = dict(row)
        self.chosen_uuid = row["uuid"]
        for tell in self._choice:
            tell(self.chosen)
