"""The style of a panel: what all have, and its own few rules."""

from __future__ import annotations

from pathlib import Path

from fqdnlab.notebook.base import CSS

__all__ = ["styled"]

_HERE = Path(__file__).parent / "css"


def styled(name: str) -> str:
    """CSS for the panel `name`."""
    return CSS + (_HERE / f"{name}.css").read_text(encoding="utf-8")
