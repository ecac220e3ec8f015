"""What a check says of an answer: in words, with a glyph, and in HTML for a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Literal

__all__ = ["Outcome"]

_GLYPHS = {"open": "○", "wrong": "✕", "right": "▲"}
_WORDS = {"open": "not answered yet", "wrong": "not yet", "right": "right"}
#: Okabe and Ito's colours; JupyterLab's theme gives the rest.
_COLOURS = {"open": "#777777", "wrong": "#D55E00", "right": "#0072B2"}


@dataclass(frozen=True)
class Outcome:
    """An answer, judged.

    Attributes
    ----------
    exercise : str
        Such as ``01.1``.
    state : {"open", "wrong", "right"}
    text : str
        What is wrong and where to look; empty if nothing is.
    """

    exercise: str
    state: Literal["open", "wrong", "right"]
    text: str = ""

    def __bool__(self) -> bool:
        return self.state == "right"

    def __repr__(self) -> str:
        said = f": {self.text}" if self.text else ""
        return f"{_GLYPHS[self.state]} {self.exercise} {_WORDS[self.state]}{said}"

    def _repr_html_(self) -> str:
        words = html.escape(f"{_GLYPHS[self.state]} {_WORDS[self.state]}")
        said = html.escape(self.text).replace("\n", "<br>")
        colour = _COLOURS[self.state]
        return (
            f'<div role="status" style="border-left:3px solid {colour};padding:4px 12px">'
            f'<b style="color:{colour}">{words}</b> {said}</div>'
        )
