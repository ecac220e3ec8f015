"""The state of a lab in a sentence."""

from __future__ import annotations

import traitlets

from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.seen import Seen
from fqdnlab.notebook.sentence import say

__all__ = ["Says"]


class Says(Panel):
    """What is going on, in words; read aloud by a screen reader when it changes.

    Parameters
    ----------
    lab : Lab
    """

    _esm = script("says")
    said = traitlets.Dict().tag(sync=True)
    facts = traitlets.Unicode().tag(sync=True)

    def show(self, seen: Seen) -> None:
        """Put what was seen into words."""
        said = say(seen)
        self.said = {"text": said.text, "more": said.more, "level": said.level}
        self.facts = _facts(seen, self._several)


def _facts(seen: Seen, several: bool) -> str:
    parts = [seen.node] if several else []
    parts += [_count(seen.endpoints, "endpoint", "endpoints")]
    parts.append(_count(seen.policies, "policy", "policies"))
    parts.append(f"TTL time × {seen.time_scale:g}")
    return " · ".join(parts)


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
