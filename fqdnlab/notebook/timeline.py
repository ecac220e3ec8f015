"""The live timeline: flows per second over the life of names, faults through both."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import traitlets

from fqdnlab.notebook.bands import bands
from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.seen import Seen

if TYPE_CHECKING:
    import pandas as pd

    from fqdnlab.lab import Lab

__all__ = ["Pace", "Timeline"]

_EVERY_SECONDS = 0.25


class Pace:
    """Says when the next picture is due: four a second at most.  Pure: time is an argument."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def due(self, now: float) -> bool:
        """Whether one is to be sent at `now` (seconds of any clock); it counts as sent."""
        if now - self._last < _EVERY_SECONDS:
            return False
        self._last = now
        return True


class Timeline(Panel):
    """Allowed flows up, dropped ones down, and below them every name's addresses.

    Parameters
    ----------
    lab : Lab
    seconds : int
        How much is shown.
    """

    _esm = script("timeline")
    seconds = traitlets.Int(90).tag(sync=True)

    def __init__(self, lab: Lab, **traits: Any) -> None:
        self._pace = Pace()
        super().__init__(lab, **traits)

    def show(self, seen: Seen) -> None:
        """Send a new picture, four times a second at most."""
        if self._pace.due(time.monotonic()):
            self._send_picture(seen)

    def do_hello(self, content: Mapping[str, Any]) -> None:
        """Give a new view a picture."""
        self._send_picture(self._hub.seen)

    def do_html(self, content: Mapping[str, Any]) -> None:
        """Make the page that the browser saves: the report's drawing of this lab."""

        def make() -> str:
            self.send({"type": "html", "page": self._page()})
            return ""

        self.act(make, "html")

    def _send_picture(self, seen: Seen) -> None:
        picture = self._hub.picture(self.seconds)
        since = picture["now"] - self.seconds
        picture["bands"] = bands([*seen.faults, *seen.machine_faults], since, picture["now"])
        picture["changes"] = [
            {"time": c.time, "text": c.text} for c in seen.changes if c.time >= since
        ]
        self.send({"type": "picture", "picture": picture})

    def _page(self) -> str:
        from fqdnlab.plots import timeline  # plotly: only where it is used

        end = time.time()
        lab = self.hands.lab  # of the panels': a cell that runs may be reading the user's

        def mine(frame: pd.DataFrame) -> pd.DataFrame:
            return frame[frame["node"] == self.node] if self._several else frame

        changes = [{"time": c.time, "text": c.text} for c in self._hub.seen.changes]
        figure = timeline(
            mine(lab.flows()),
            mine(lab.queries()),
            mine(lab.faults()),
            changes,
            t0=end - self.seconds,
            end=end,
        )
        return str(figure.to_html(include_plotlyjs=True, full_html=True))
