"""Why a packet was dropped, or passed, or would: step by step, and the one change that helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import traitlets

from fqdnlab.errors import UsageError
from fqdnlab.explain import Explanation, Facts, Remedy, explain_row, forecast
from fqdnlab.explain.explanation import GLYPHS, REFUSED
from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.seen import Seen
from fqdnlab.notebook.styles import styled

if TYPE_CHECKING:
    from fqdnlab.lab import Lab

__all__ = ["Why", "explained", "label_of", "shown"]

_TITLES = {"DROPPED": "Why was this dropped?", "FORWARDED": "Why did this pass?"}
_PROCESSES = {"agent": "agent", "proxy": "DNS proxy"}


class Why(Panel):
    """Explains the flow that was chosen in the table, or a packet that is not sent yet.

    Parameters
    ----------
    lab : Lab
    """

    _esm = script("why")
    _css = styled("why")
    explained = traitlets.Dict().tag(sync=True)
    endpoints: Any = traitlets.List().tag(sync=True)
    names: Any = traitlets.List().tag(sync=True)

    def __init__(self, lab: Lab, **traits: Any) -> None:
        self._about: Mapping[str, Any] = {}
        self._remedy: Explanation | None = None
        super().__init__(lab, **traits)

    def show(self, seen: Seen) -> None:
        """Keep the names that can be asked about."""
        self.names = [w.name for w in seen.world]

    def choose(self, row: Mapping[str, Any]) -> None:
        """Explain a row of `Lab.flows`; it is shown when it is known."""
        self._about = dict(row)
        self._explain()

    def do_hello(self, content: Mapping[str, Any]) -> None:
        """A view has come: it wants to know whom it can ask about."""

        def read() -> str:
            self.endpoints = [e.name for e in self.hands.endpoints()]
            return ""

        self.act(read, "endpoints")

    def do_ask(self, content: Mapping[str, Any]) -> None:
        """Explain a packet before it is sent."""
        self._about = {k: str(content.get(k, "")) for k in ("endpoint", "target", "port")}
        self._explain()

    def do_remedy(self, content: Mapping[str, Any]) -> None:
        """Do the one thing, then explain again."""
        explanation = self._remedy
        if explanation is None or explanation.remedy is None:
            return
        remedy = explanation.remedy

        def deliver() -> str:
            try:
                self.hands.lab.carry_out(explanation, self.hands.facts())
            finally:
                self._show(self._read())
            return f"Done: {label_of(remedy)}."

        self.act(deliver, "remedy")

    # ------------------------------------------------------------ inside

    def _explain(self) -> None:
        def read() -> str:
            self._show(self._read())
            return ""

        self.act(read, "explain")

    def _read(self) -> Explanation:
        return explained(self.hands.facts(), self._about)

    def _show(self, explanation: Explanation) -> None:
        self._remedy = explanation
        self.explained = shown(explanation)


def explained(facts: Facts, about: Mapping[str, Any]) -> Explanation:
    """Explain a row of flows, or ``endpoint``, ``target`` and ``port`` as they were written.

    Raises
    ------
    UsageError
        If there is nothing to explain: no such endpoint, port or destination.
    """
    if "uuid" in about:
        return explain_row(facts, about)
    if not about.get("target"):
        raise UsageError("name a destination", "a name or an address")
    try:
        port = int(about["port"])
    except ValueError:
        raise UsageError(f"{about['port']!r} is no port", "a number, 0 to 65535") from None
    return forecast(facts, about["endpoint"], about["target"], port)


def shown(explanation: Explanation) -> dict[str, Any]:
    """An explanation as the view draws it.  Pure."""
    remedy = explanation.remedy
    return {
        "title": _title(explanation),
        "about": explanation.about,
        "headline": explanation.headline,
        "passes": explanation.verdict in ("FORWARDED", "REDIRECTED"),
        "steps": [
            {"glyph": GLYPHS[s.state], "state": s.state, "title": s.title, "detail": s.detail}
            | {"more": _entries(s.data)}
            for s in explanation.steps
        ],
        "remedy": None if remedy is None else _remedy(remedy),
        "unknown": list(explanation.unknown),
    }


def _title(explanation: Explanation) -> str:
    if explanation.forecast:
        return "What would become of it?"
    if explanation.reason_text == REFUSED:
        return "Why was this refused?"
    return _TITLES.get(explanation.verdict, "What became of this?")


def _entries(data: Mapping[str, Any]) -> list[str]:
    """Entries of the kernel's maps, as they are there."""
    return [f"{entry[0]}[{entry[1]}] = {entry[2]}" for entry in data.get("entries", ())]


def _remedy(remedy: Remedy) -> dict[str, Any]:
    return {
        "text": remedy.text,
        "then": remedy.then,
        "policy": remedy.policy,
        "label": label_of(remedy),
    }


def label_of(remedy: Remedy) -> str:
    """What the button says; '' where there is nothing to do."""
    if remedy.action == "none":
        return ""
    parts = [f"restart {_PROCESSES.get(p, p)}" for p in remedy.restart]
    if remedy.policy:
        parts.append("apply policy")
    if remedy.name:
        parts.append(f"look up {remedy.name.rstrip('.')}")
    words = ", ".join(parts[:-1]) + (" and " if parts[1:] else "") + parts[-1]
    return words[:1].upper() + words[1:]
