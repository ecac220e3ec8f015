"""What all panels share: the reader they hang on, who looks at them, and how their buttons act."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from fqdnlab.notebook.comms import heard_while_busy
from fqdnlab.notebook.hub import Subscriber, hub
from fqdnlab.notebook.seen import Seen

if TYPE_CHECKING:
    from fqdnlab.lab import Lab

__all__ = ["CSS", "Panel", "script"]

_HERE = Path(__file__).parent
CSS = (_HERE / "css" / "fqdnlab.css").read_text(encoding="utf-8")

_BEAT_SECONDS = 1.0
_LOOKED_AT_SECONDS = 60.0  # a view says every 10 s that it is there; a busy kernel may hear it late


def script(name: str) -> str:
    """The JavaScript of a panel, with the few functions that all panels use before it."""
    folder = _HERE / "js"
    return "".join((folder / f"{one}.js").read_text(encoding="utf-8") for one in ("dom", name))


class Panel(anywidget.AnyWidget):
    """A view of a lab; usable alone in a cell.

    Subclasses have a method ``do_NAME(content)`` for each message ``{"do": "NAME"}`` of their view.

    Parameters
    ----------
    lab : Lab
    """

    _css = CSS
    lab_name = traitlets.Unicode().tag(sync=True)

    def __init__(self, lab: Lab, **traits: Any) -> None:
        super().__init__(lab_name=lab.name, **traits)
        heard_while_busy(self)
        self._lab = lab
        self._hub = hub(lab.name)
        self._looked_at = time.monotonic()
        self._beat = 0.0
        self._guard = threading.Lock()
        self.on_msg(self._heard)
        self._end = self._hub.subscribe(
            Subscriber(self._on_seen, self.on_rows if self.takes_rows else None, self.is_looked_at)
        )
        self.show(self._hub.seen)

    # ------------------------------------------------------------ for subclasses

    takes_rows = False

    def show(self, seen: Seen) -> None:
        """Show what was seen; called on the reader's thread, whenever something was read."""

    def on_rows(self, rows: list[list[Any]]) -> None:
        """Take views of new flows; called on the reader's thread."""

    def do_hello(self, content: Mapping[str, Any]) -> None:
        """A view has come: give it what is not in a trait."""

    def is_looked_at(self) -> bool:
        """Whether a view has said lately that it is there."""
        return time.monotonic() - self._looked_at < _LOOKED_AT_SECONDS

    def act(self, do: Callable[[], Any], what: str = "") -> None:
        """Do something to the lab, on a thread that may wait; the view is told what came of it."""

        def done(said: str, well: bool) -> None:
            self.send({"type": "told", "text": said, "well": well, "what": what})

        self._hub.act(do, done)

    # ------------------------------------------------------------ inside

    def _on_seen(self, seen: Seen) -> None:
        if not self.is_looked_at():
            return
        with self._guard:
            self.show(seen)
        now = time.monotonic()
        if now - self._beat >= _BEAT_SECONDS:
            self._beat = now
            self.send({"type": "beat", "time": seen.time})

    def _heard(self, _: object, content: Mapping[str, Any], __: object) -> None:
        self._looked_at = time.monotonic()
        method = getattr(self, f"do_{content.get('do', '')}", None)
        if method is not None:
            method(content)

    def close(self) -> None:
        """Take the panel away."""
        self._end()
        super().close()
