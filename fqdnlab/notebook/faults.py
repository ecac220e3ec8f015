"""The processes as cards, with buttons that kill, hang, restart, upgrade; the speed of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from fqdnlab.lab.backends import backend_of
from fqdnlab.lab.vm import Vm
from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.cards import cards, speed
from fqdnlab.notebook.machine_card import machine_card
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
_MACHINE = {
    "suspend": "stands still",
    "resume": "goes on",
    "reset": "was reset: what ran on it is dead",
    "cut_link": "has no link to the internet",
    "mend_link": "has its link again",
}
_TITLES = {"agent": "Agent", "proxy": "DNS proxy", "observer": "Observer"}
_ENTRIES = 400


class Faults(Panel):
    """A card for each process, for the kernel, which needs none, and for a machine that can fail.

    Parameters
    ----------
    lab : Lab
    """

    _esm = script("faults")
    cards: Any = traitlets.List().tag(sync=True)
    speed: Any = traitlets.Dict().tag(sync=True)

    def show(self, seen: Seen) -> None:
        """Draw the cards anew, as far as they changed."""
        machine = [machine_card(seen)] if seen.has_machine else []
        self.cards = [card.plain() for card in (*cards(seen), *machine)]
        self.speed = speed(seen).plain()

    def do_fault(self, content: Mapping[str, Any]) -> None:
        """A button of a process."""
        name, action = str(content.get("process")), str(content.get("action"))
        if name == "machine" and action in _MACHINE:
            self.act(lambda: self._of_machine(action), f"{name}:{action}")
        if name not in _TITLES or action not in _ACTIONS:
            return

        def deliver() -> str:
            state = getattr(self._hub.process(name), _ACTIONS[action])()
            pid = f", pid {state.pid}" if state.pid else ""
            return f"{_TITLES[name]} {_DONE[action]}{pid}."

        self.act(deliver, f"{name}:{action}")

    def _of_machine(self, action: str) -> str:
        # no client of the lab, which cannot be had while the machine stands still
        getattr(Vm(backend_of(self.lab_name), self.node), action)()
        return f"The machine {_MACHINE[action]}."

    def do_speed(self, content: Mapping[str, Any]) -> None:
        """Lab time goes at another speed."""
        scale = content.get("scale")

        def change() -> str:
            self.hands.lab.set_time_scale(scale)  # type: ignore[arg-type]  # it checks
            return f"Lab time runs at {scale:g} times: TTLs that run go on from where they are."

        self.act(change, "speed")

    def do_maps(self, content: Mapping[str, Any]) -> None:
        """The kernel's button."""

        def read() -> str:
            entries = self._hub.maps()
            rows = [[e.map, e.key, e.value] for e in entries[:_ENTRIES]]
            self.send({"type": "maps", "rows": rows, "more": max(0, len(entries) - _ENTRIES)})
            return ""

        self.act(read, "kernel:maps")
