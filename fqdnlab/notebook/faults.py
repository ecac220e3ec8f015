"""The processes as cards: how they are, and buttons that kill, hang, restart and upgrade them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.cards import cards
from fqdnlab.notebook.seen import Seen

__all__ = ["Faults"]

_ACTIONS = {
    "kill": "kill",
    "stop": "stop",
    "continue": "cont",
    "restart": "restart",
    "upgrade": "upgrade",
}
_DONE = {
    "kill": "killed",
    "stop": "hung",
    "continue": "goes on",
    "restart": "restarted",
    "upgrade": "upgraded",
}
_TITLES = {"agent": "Agent", "proxy": "DNS proxy", "observer": "Observer"}
_ENTRIES = 400


class Faults(Panel):
    """A card for each process, and one for the kernel, which needs none.

    Parameters
    ----------
    lab : Lab
    """

    _esm = script("faults")
    cards: Any = traitlets.List().tag(sync=True)

    def show(self, seen: Seen) -> None:
        """Draw the cards anew, as far as they changed."""
        self.cards = [card.plain() for card in cards(seen)]

    def do_fault(self, content: Mapping[str, Any]) -> None:
        """A button of a process."""
        name, action = str(content.get("process")), str(content.get("action"))
        if name not in _TITLES or action not in _ACTIONS:
            return

        def deliver() -> str:
            state = getattr(self._hub.process(name), _ACTIONS[action])()
            pid = f", pid {state.pid}" if state.pid else ""
            return f"{_TITLES[name]} {_DONE[action]}{pid}."

        self.act(deliver, f"{name}:{action}")

    def do_maps(self, content: Mapping[str, Any]) -> None:
        """The kernel's button."""

        def read() -> str:
            entries = self._hub.maps()
            rows = [[e.map, e.key, e.value] for e in entries[:_ENTRIES]]
            self.send({"type": "maps", "rows": rows, "more": max(0, len(entries) - _ENTRIES)})
            return ""

        self.act(read, "kernel:maps")
