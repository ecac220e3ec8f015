"""The way of the flow that was chosen, drawn between the places it goes through."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import traitlets

from fqdnlab.explain import explain_row
from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.seen import Seen
from fqdnlab.notebook.styles import styled
from fqdnlab.notebook.way_model import count, picture

if TYPE_CHECKING:
    from fqdnlab.explain import Explanation
    from fqdnlab.lab import Lab

__all__ = ["Way"]

_COUNTED = 4000
_PAUSE_SECONDS = 1.0


class Way(Panel):
    """Draws the way of a look-up and of a packet; follows the lab's state.

    Parameters
    ----------
    lab : Lab
    """

    _esm = script("way")
    _css = styled("way")
    picture: Any = traitlets.Dict().tag(sync=True)

    def __init__(self, lab: Lab, **traits: Any) -> None:
        self._row: Mapping[str, Any] | None = None
        self._known: Explanation | None = None
        self._key: Hashable = None
        self._busy = False
        self._drawn = 0.0
        super().__init__(lab, **traits)

    def choose(self, row: Mapping[str, Any]) -> None:
        """Draw a row of `Lab.flows`."""
        self._row, self._known = row, None
        self._key = _key(self._hub.seen)
        self._explain()

    def show(self, seen: Seen) -> None:
        """Count, draw, and explain anew where the lab has changed."""
        now = time.monotonic()
        if self._row is None or now - self._drawn < _PAUSE_SECONDS:
            return
        self._drawn = now
        if _key(seen) != self._key and not self._busy:
            self._key = _key(seen)
            self._explain()
        self._draw(seen)

    def _explain(self) -> None:
        row = self._row
        if row is None:
            return
        self._busy = True

        def read() -> str:
            try:
                known = explain_row(self.hands.facts(), row)
            except Exception:
                if row is self._row:  # another row's way would be taken for this one's
                    self._known, self.picture = None, {}
                raise
            finally:
                self._busy = False
            if row is self._row:
                self._known = known
                self._draw(self._hub.seen)
            return ""

        self.act(read, "explain")

    def _draw(self, seen: Seen) -> None:
        row, known = self._row, self._known
        if row is None or known is None:
            return
        views = self._hub.recent(_COUNTED)
        self.picture = picture(row, known, seen, count(views, row["endpoint"], row["address"]))


def _key(seen: Seen) -> Hashable:
    """What an explanation hangs on, as far as it is seen."""
    processes = tuple((p.name, p.state, p.generation) for p in seen.processes.values())
    numbers = (seen.numbers.revision, seen.numbers.addresses, seen.numbers.policy_entries)
    return (processes, numbers, seen.waiting, seen.policies, seen.numbers.zombies)
