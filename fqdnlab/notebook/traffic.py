"""Traffic of the lab's endpoints: started, counted, stopped."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import traitlets

from fqdnlab.errors import FqdnlabError, UsageError
from fqdnlab.lab.traffic import Traffic as Running
from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.seen import Seen
from fqdnlab.notebook.ticker import Ticker
from fqdnlab.notebook.world_edit import number

if TYPE_CHECKING:
    from fqdnlab.lab import Lab

__all__ = ["Traffic", "in_words"]

_LOOK_SECONDS = 1.0
_MOST_RATE = 2000
#: Kind → what it does, in words.
KINDS = {
    "connect": "look up + connect",
    "reuse": "look up once, reuse",
    "hold": "one long connection",
    "look-up": "look up alone",
}
#: A part of what the client says of an error → it in a few words; the first that is in it counts.
_ERRORS = {
    "gaierror: [Errno -2]": "no such name",
    "gaierror: [Errno -5]": "no address",
    "gaierror": "look-up failed",
    "TimeoutError": "timed out",
    "timed out": "timed out",
    "ConnectionRefusedError": "connection refused",
    "ConnectionResetError": "connection reset",
    "BrokenPipeError": "connection reset",
    "too slow": "too slow: connections wait",
    "unreachable": "unreachable",
    "Operation not permitted": "not permitted",
}
_RCODES = {"0": "answered", "2": "server failed", "3": "no such name", "5": "refused"}
_SYSTEM = re.compile(r"^\w+: (?:\[Errno -?\d+\] )?")


def in_words(last: str) -> str:
    """What came last, in a few words: an address as it is, an error without the system's names."""
    if last.startswith("rcode "):
        return _RCODES.get(last.removeprefix("rcode "), last)
    for part, words in _ERRORS.items():
        if part in last:
            return words
    return _SYSTEM.sub("", last)


@dataclass(frozen=True)
class _Started:
    number: int
    traffic: Running
    owner: str  # the panel's model id

    def plain(self) -> dict[str, Any]:
        traffic, counts = self.traffic, self.traffic.counts()
        return {
            "number": self.number,
            "endpoint": traffic.endpoint.name,
            "does": KINDS[traffic.kind],
            "to": traffic.name if traffic.kind == "look-up" else f"{traffic.name}:{traffic.port}",
            "rate": "1" if traffic.kind == "hold" else f"{traffic.rate:g}/s",
            "started": counts.started,
            "ok": counts.ok,
            "failed": counts.failed,
            "last": in_words(counts.last),
            "whole": counts.last,
            "running": traffic.running,
        }


#: Lab → what panels of this process have started: a cell that is run again shows it still.
_started: dict[str, list[_Started]] = {}
_guard = threading.Lock()
_numbers = itertools.count(1)


class Traffic(Panel):
    """Traffic that runs, and a form for more.

    Parameters
    ----------
    lab : Lab
    """

    _esm = script("traffic")
    rows: Any = traitlets.List().tag(sync=True)
    endpoints: Any = traitlets.List().tag(sync=True)
    names: Any = traitlets.List().tag(sync=True)
    kinds: Any = traitlets.List([list(pair) for pair in KINDS.items()]).tag(sync=True)

    def __init__(self, lab: Lab, **traits: Any) -> None:
        super().__init__(lab, **traits)
        self._read()
        self._look = Ticker(f"traffic-{lab.name}", _LOOK_SECONDS, self._read)

    def show(self, seen: Seen) -> None:
        """Offer the world's names."""
        self.names = [w.name for w in seen.world if not w.name.startswith("*")]

    def _read(self) -> None:
        if not self.is_looked_at():
            return
        with suppress(FqdnlabError):  # the node is away
            self.endpoints = [e.name for e in self.hands.endpoints()]
        self._draw()

    def _draw(self) -> None:
        with _guard:
            mine = list(_started.get(self.lab_name, ()))
        self.rows = [one.plain() for one in mine]

    def do_start(self, content: Mapping[str, Any]) -> None:
        """The form."""

        def start() -> str:
            given = {key: str(content.get(key, "")).strip() for key in ("endpoint", "kind", "name")}
            if not given["name"]:
                raise UsageError("no name is given", "expected a name, as api.example.com")
            port = int(number("port", content.get("port", ""), 1, 65535))
            rate = number("rate per second", content.get("rate", ""), 0.01, _MOST_RATE, whole=False)
            found = self.hands.endpoint(given["endpoint"])
            traffic = Running(found, given["kind"], given["name"], port, rate, 0.0)  # type: ignore[arg-type]
            with _guard:
                one = _Started(next(_numbers), traffic, str(self.model_id))
                _started.setdefault(self.lab_name, []).append(one)
            self._draw()
            return f"{found.name} began: {KINDS[traffic.kind]}, {given['name']}."

        self.act(start, "start")

    def do_stop(self, content: Mapping[str, Any]) -> None:
        """A row's button: end it, and take the row away."""
        wanted = content.get("number")

        def stop() -> str:
            with _guard:
                found = [s for s in _started.get(self.lab_name, ()) if s.number == wanted]
            said = self._end_all(found)
            self._draw()
            return said

        self.act(stop, f"stop:{wanted}")

    def _end_all(self, them: list[_Started]) -> str:
        """End them side by side; those that did not end stay listed.  Raises LateError."""

        def end(one: _Started) -> str:
            counts = one.traffic.stop()
            with _guard, suppress(ValueError):
                _started[self.lab_name].remove(one)
            return (
                f"{one.traffic.endpoint.name} stopped: {counts.started:,} started, "
                f"{counts.ok:,} ok, {counts.failed:,} failed."
            )

        if not them:
            return ""
        with ThreadPoolExecutor(len(them)) as pool:
            return " ".join(pool.map(end, them))

    def close(self) -> None:
        """Take the panel away, and end what it started."""
        self._look.stop()
        with _guard:
            mine = [s for s in _started.get(self.lab_name, ()) if s.owner == str(self.model_id)]
        with suppress(FqdnlabError):  # a lab that is gone has ended it
            self._end_all(mine)
        super().close()
