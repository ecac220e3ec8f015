"""Colours and faces of all plots: Okabe and Ito's, which colour-blind people can tell apart."""

from __future__ import annotations

__all__ = ["ALLOWED", "BANDS", "DROPPED", "INK", "MONO", "SANS"]

ALLOWED = "#0072B2"
DROPPED = "#D55E00"
INK = "#737a85"  # reads on white and on black
BANDS = {"killed": DROPPED, "hung": "#CC79A7", "upgraded": INK}
BANDS |= {"reset": DROPPED, "suspended": "#CC79A7", "cut": "#E69F00"}
MONO = "DejaVu Sans Mono, ui-monospace, monospace"
SANS = "Inter, system-ui, sans-serif"
