"""The claims as a table for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fqdnlab.demo.claims import Outcome

__all__ = ["table"]

_WIDE = 132


def table(outcomes: Sequence[Outcome], console: Console) -> Table:
    """Claim, expected, observed, verdict: side by side, or one under another where it is narrow."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    made.add_column("", justify="right")
    if console.width >= _WIDE:
        for column, share in (("claim", 3), ("expected", 3), ("observed", 5)):
            made.add_column(column, ratio=share)
    else:
        made.add_column("claim, expected, observed", ratio=1)
    made.add_column("verdict", no_wrap=True)
    for one in outcomes:
        cells = _cells(one)
        if console.width < _WIDE:
            cells = ["\n".join([f"[bold]{cells[0]}[/]", f"[dim]{cells[1]}[/]", cells[2]])]
        verdict = "[blue]▲ holds[/]" if one.holds else "[bold red]✕ FAILS[/]"
        made.add_row(str(one.claim.number), *cells, verdict)
    return made


def _cells(one: Outcome) -> list[str]:
    return [escape(text) for text in (one.claim.text, one.claim.expected, one.observed)]
