"""An explanation: what decided, step by step, and the one change that would decide otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fqdnlab.explain.facts import DecidingRule, Source
from fqdnlab.explain.page import page

__all__ = ["GLYPHS", "REFUSED", "Explanation", "Remedy", "Step"]

#: The `Explanation.reason_text` of a question that the proxy refused.
REFUSED = "Name denied by policy"

#: Beside the colour, so that no one needs to see it.
GLYPHS: dict[str, str] = {"ok": "✓", "missing": "○", "denied": "✕", "unknown": "?", "note": "i"}


@dataclass(frozen=True)
class Step:
    """One step of the way of a look-up or a packet.

    Attributes
    ----------
    key : str
        ``query``, ``query-rule``, ``mapping``, ``identity``, ``maps``, ``verdict``, ``now`` …
    title : str
    state : {"ok", "missing", "denied", "unknown", "note"}
    detail : str
    data : dict
        The same for programs; JSON can hold it.
    """

    key: str
    title: str
    state: str
    detail: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Remedy:
    """The one change that would let it pass; `Lab.carry_out` does it.

    Attributes
    ----------
    action : {"apply", "look-up", "restart", "none"}
    text : str
        What to do, in words.
    restart : tuple of str
        Processes that are dead and have to be back first: all there is to a ``restart``.
    policy : str
        For ``apply``: YAML for ``lab.apply``.
    name : str
        To be looked up from the endpoint in the end, as clients do by themselves; '': none.
    """

    action: Literal["apply", "look-up", "restart", "none"]
    text: str
    restart: tuple[str, ...] = ()
    policy: str = ""
    name: str = ""

    @property
    def then(self) -> str:
        """What follows in words; '' if nothing does, or it is all there is to do."""
        if not self.name or self.action == "look-up":
            return ""
        return f"look {self.name.rstrip('.')} up again, as clients do when they connect by name"


@dataclass(frozen=True)
class Explanation:
    """Why a packet passed or did not, or would.

    Attributes
    ----------
    endpoint : str
        Its name.
    about : str
        ``web → api.example.com (198.51.100.7) 443/TCP``.
    source : {"lab", "recording", "export"}
    forecast : bool
        Whether it is said before the packet is sent.
    verdict : {"FORWARDED", "DROPPED", "REDIRECTED", "ERROR"}
    reason : str
        Hubble's name of the drop reason; '' where there is none.
    reason_text : str
    rule : DecidingRule or None
        None: none decided (default deny, or nothing selects the endpoint).
    steps : tuple of Step
    remedy : Remedy or None
        None: it passes.
    unknown : tuple of str
        What cannot be known now.
    asked : mapping
        What was asked, so that it can be asked again: ``row``, or the arguments of a forecast.
    """

    endpoint: str
    about: str
    source: Source
    forecast: bool
    verdict: str
    reason: str
    reason_text: str
    rule: DecidingRule | None
    steps: tuple[Step, ...]
    remedy: Remedy | None
    unknown: tuple[str, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def step(self, key: str) -> Step:
        """The step of that key; KeyError if it has none."""
        for step in self.steps:
            if step.key == key:
                return step
        raise KeyError(key)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        made = asdict(self)
        made["steps"] = [dict(s) for s in made["steps"]]
        made["unknown"] = list(self.unknown)
        del made["asked"]
        if self.remedy is not None:
            made["remedy"] |= {"restart": list(self.remedy.restart), "then": self.remedy.then}
        return made

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        word = "would be " if self.forecast else ""
        why = f" ({self.reason_text})" if self.reason_text else ""
        return f"{word}{self.verdict}{why}"

    def __str__(self) -> str:
        label = {"lab": "", "recording": "[recorded] ", "export": "[from exports] "}[self.source]
        lines = [f"{label}{self.about}: {self.headline}"]
        lines += [f"  {GLYPHS[s.state]} {s.title}: {s.detail}" for s in self.steps]
        if self.remedy:
            lines.append(f"  → {self.remedy.text}")
            lines += [f"      {line}" for line in self.remedy.policy.splitlines()]
            if self.remedy.then:
                lines.append(f"    then {self.remedy.then}")
        lines += [f"  ? cannot be known: {what}" for what in self.unknown]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return page(self.to_dict(), self.headline, GLYPHS)
