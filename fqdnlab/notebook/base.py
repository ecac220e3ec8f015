"""What all panels share: the reader they hang on, who looks at them, and how their buttons act."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from fqdnlab.errors import FqdnlabError
from fqdnlab.notebook.comms import heard_while_busy
from fqdnlab.notebook.hands import Hands, hands
from fqdnlab.notebook.hub import Subscriber, hub
from fqdnlab.notebook.seen import Seen

if TYPE_CHECKING:
    from fqdnlab.lab import Lab

__all__ = ["CSS", "Panel", "script"]

_log = logging.getLogger(__name__)
_HERE = Path(__file__).parent
CSS = (_HERE / "css" / "fqdnlab.css").read_text(encoding="utf-8")

_BEAT_SECONDS = 1.0
_LOOKED_AT_SECONDS = 60.0  # a view says every 10 s that it is there; a busy kernel may hear it late


def script(*names: str) -> str:
    """The JavaScript of a panel, with the few functions that all panels use before it."""
    folder = _HERE / "js"
    return "".join((folder / f"{one}.js").read_text(encoding="utf-8") for one in ("dom", *names))


class Panel(anywidget.AnyWidget):
    """A view of a lab; usable alone in a cell.

    Subclasses have a method ``do_NAME(content)`` for each message ``{"do": "NAME"}`` of their view.

    Parameters
    ----------
    lab : Lab
    node : str, optional
        The node that is shown, of a lab with several; empty: the first.

    Raises
    ------
    UsageError
        If the lab has no such node.
    """

    _css = CSS
    lab_name = traitlets.Unicode().tag(sync=True)
    node = traitlets.Unicode().tag(sync=True)

    _end: Callable[[], None] | None = None  # a panel that was refused is closed too

    def __init__(self, lab: Lab, node: str = "", **traits: Any) -> None:
        shown = lab.node(node).name if node else next(iter(lab.nodes))
        super().__init__(lab_name=lab.name, node=shown, **traits)
        heard_while_busy(self)
        self._several = len(lab.nodes) > 1
        self._hub = hub(lab.name, shown)
        self._looked_at = time.monotonic()
        self._beat = 0.0
        self._guard = threading.Lock()
        self._failures: dict[str, str] = {}
        self.on_msg(self._heard)
        self.show(self._hub.seen)  # before the reader's thread does, which would be newer
        self._end = self._hub.subscribe(
            Subscriber(self._on_seen, self._on_rows if self.takes_rows else None, self.is_looked_at)
        )

    # ------------------------------------------------------------ for subclasses

    takes_rows = False
    #: Traits that the view itself changes: they are not told again.
    by_view: frozenset[str] = frozenset()

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

    @property
    def hands(self) -> Hands:
        """What the panel does to the lab and asks of its node, on threads that may wait."""
        return hands(self.lab_name, self.node)

    # ------------------------------------------------------------ inside

    def _on_seen(self, seen: Seen) -> None:
        if not self.is_looked_at():
            return
        with self._guard:
            self._try("show", self.show, seen)
        now = time.monotonic()
        if now - self._beat >= _BEAT_SECONDS:
            self._beat = now
            self.send({"type": "beat", "time": seen.time})

    def _tell_again(self) -> None:
        """Send what is shown as it is: of a state that was lost, or came before an older one,
        nothing else would be heard until it changes.  Where it was not, nothing is drawn anew."""
        shown = {name for name in self.keys if not name.startswith("_")}
        with self._guard:
            self.send_state(shown - set(anywidget.AnyWidget.class_trait_names()) - self.by_view)

    def _on_rows(self, rows: list[list[Any]]) -> None:
        self._try("rows", self.on_rows, rows)

    def _try(self, part: str, take: Callable[[Any], None], what: Any) -> None:
        """Take news; what fails is logged once, shown until it is well again, and tried again."""
        failure = ""
        try:
            take(what)
        except Exception as error:  # a panel shows it: nobody else would see it
            failure = f"This panel failed, and may be old: {type(error).__name__}: {error}"
            if failure != self._failures.get(part):
                _log.exception("a panel of the lab %s failed", self.lab_name)
        if failure != self._failures.get(part, ""):
            self._failures[part] = failure
            self.send({"type": "failed", "text": " ".join(filter(None, self._failures.values()))})

    def _heard(self, _: object, content: Mapping[str, Any], __: object) -> None:
        self._looked_at = time.monotonic()
        what = str(content.get("do", ""))
        method = getattr(self, f"do_{what}", None)
        try:
            if what in ("hello", "alive"):
                self._tell_again()
            if method is not None:
                method(content)
        except Exception as error:  # on a thread of Jupyter's, which would swallow it
            _log.exception("a panel of the lab %s could not do %r", self.lab_name, what)
            words = str(error) if isinstance(error, FqdnlabError) else repr(error)
            text = f"It was not done: {words}"
            self.send({"type": "told", "text": text, "well": False, "what": what})

    def close(self) -> None:
        """Take the panel away."""
        if self._end is not None:
            self._end()
        super().close()
