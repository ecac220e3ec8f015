"""Notes above a plot: each at its moment, in as few rows as keep them apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Note", "place", "text_width"]

#: The narrowest plot that is drawn for, and a letter's width there: pixels.
PLOT, _LETTER = 620.0, 6.7


@dataclass(frozen=True)
class Note:
    """A few words at a moment.

    Attributes
    ----------
    x : float
        Seconds.
    text, colour : str
    bold : bool
    row : int
        Above the plot, from 0.
    leftward : bool
        Whether it ends at its moment, as there is no room to begin there.
    """

    x: float
    text: str
    colour: str
    bold: bool = False
    row: int = 0
    leftward: bool = False


def text_width(text: str, span: float) -> float:
    """How many seconds of an axis of `span` seconds `text` covers, at most."""
    return len(text) * _LETTER / PLOT * span


def place(notes: Iterable[Note], span: float) -> list[Note]:
    """The notes in order of time, each in the lowest row where it touches no other."""
    taken: list[list[tuple[float, float]]] = []
    placed: list[Note] = []
    for note in sorted(notes, key=lambda n: n.x):
        width = text_width(note.text + "  ", span)
        leftward = note.x + width > span
        begin, end = (note.x - width, note.x) if leftward else (note.x, note.x + width)
        row = next((r for r, held in enumerate(taken) if _free(held, begin, end)), len(taken))
        if row == len(taken):
            taken.append([])
        taken[row].append((begin, end))
        placed.append(replace(note, row=row, leftward=leftward))
    return placed


def _free(held: list[tuple[float, float]], begin: float, end: float) -> bool:
    return all(end <= b or begin >= e for b, e in held)
