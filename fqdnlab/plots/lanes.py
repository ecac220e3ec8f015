"""The life of every name's addresses: a lane each, as a Gantt chart."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from fqdnlab.plots.intervals import Interval
from fqdnlab.plots.notes import text_width
from fqdnlab.plots.palette import ALLOWED, DROPPED, MONO

__all__ = ["Lanes", "draw_lanes", "lanes_of"]

#: (name, address) → row.
Lanes = dict[tuple[str, str], int]

_LOOK: dict[str, dict[str, Any]] = {
    "enforced": {"color": ALLOWED, "line": {"color": ALLOWED, "width": 1}},
    "zombie": {
        "color": "rgba(0,114,178,0.22)",
        "line": {"color": "rgba(0,114,178,0.55)", "width": 1},
    },
    "waits": {
        "color": "rgba(213,94,0,0.12)",
        "line": {"color": DROPPED, "width": 1},
        "pattern": {"shape": "/", "fgcolor": DROPPED, "size": 6, "solidity": 0.28},
    },
}
_WORDS = {
    "enforced": "enforced: open in the kernel",
    "zombie": "expired: open to its old connections",
    "waits": "resolved, waits for the agent",
    "refused": "refused by the proxy",
}


def lanes_of(intervals: list[Interval]) -> Lanes:
    """A lane for each name and address, in the order in which names first appear."""
    first: dict[tuple[str, str], float] = {}
    for one in intervals:
        key = (one.name, one.address)
        first[key] = min(first.get(key, one.start), one.start)
    names = sorted(
        {n for n, _ in first}, key=lambda n: min(t for (m, _), t in first.items() if m == n)
    )
    order = [
        key
        for name in names
        for key in sorted((k for k in first if k[0] == name), key=first.__getitem__)
    ]
    return {key: row for row, key in enumerate(order)}


def draw_lanes(figure: go.Figure, intervals: list[Interval], lanes: Lanes, span: float) -> None:
    """Draw them into the figure's second row."""
    for state in _LOOK:
        some = [i for i in intervals if i.state == state]
        if some:
            _draw_state(figure, state, some, lanes, span)
    _draw_refused(figure, [i for i in intervals if i.state == "refused"], lanes)
    _draw_axis(figure, lanes)


def _draw_state(
    figure: go.Figure, state: str, some: list[Interval], lanes: Lanes, span: float
) -> None:
    figure.add_bar(
        orientation="h",
        base=[i.start for i in some],
        x=[max(i.stop - i.start, span / 400) for i in some],
        y=[lanes[(i.name, i.address)] for i in some],
        text=[_label(i, span) for i in some],
        textposition="inside",
        insidetextanchor="start",
        insidetextfont={"family": MONO, "size": 11},
        textangle=0,
        constraintext="none",
        width=0.6,
        marker=_LOOK[state],
        name=_WORDS[state],
        customdata=[[i.name, i.address, i.start, i.stop] for i in some],
        hovertemplate="%{customdata[0]} → %{customdata[1]}<br>"
        "%{customdata[2]:.1f} s to %{customdata[3]:.1f} s<extra>" + _WORDS[state] + "</extra>",
        row=2,
        col=1,
    )
    if state == "waits":
        for one in some:
            _say_beside(figure, one, lanes, span)


def _label(one: Interval, span: float) -> str:
    """What stands in the bar, if there is room for it."""
    text = {"enforced": one.address, "zombie": "old connections only"}.get(one.state, "")
    return text if one.stop - one.start > text_width(text + "  ", span) else ""


def _say_beside(figure: go.Figure, one: Interval, lanes: Lanes, span: float) -> None:
    """A bar that waits is too busy to be written in: its words stand before it, given room."""
    text = f"{one.address} resolved, waits for the agent →"
    if one.start < text_width(text, span):
        text = f"{one.address} waits →"
    if one.start < text_width(text, span):
        return
    figure.add_annotation(
        x=one.start,
        y=lanes[(one.name, one.address)],
        xref="x2",
        yref="y2",
        xanchor="right",
        xshift=-2,
        text=text,
        showarrow=False,
        font={"size": 12, "color": DROPPED},
    )


def _draw_refused(figure: go.Figure, refused: list[Interval], lanes: Lanes) -> None:
    if not refused:
        return
    figure.add_scatter(
        x=[i.start for i in refused],
        y=[lanes[(i.name, i.address)] for i in refused],
        mode="markers",
        marker={"symbol": "x-thin", "size": 9, "line": {"color": DROPPED, "width": 2}},
        name=_WORDS["refused"],
        customdata=[i.name for i in refused],
        hovertemplate="%{customdata}: refused at %{x:.1f} s<extra></extra>",
        row=2,
        col=1,
    )


def _draw_axis(figure: go.Figure, lanes: Lanes) -> None:
    labels: list[str] = []
    named: set[str] = set()
    for (name, _), row in lanes.items():
        labels.append("" if name in named else name)
        if name not in named and row:
            line = {"color": "rgba(128,128,128,0.25)", "width": 1}
            at = row - 0.5
            figure.add_shape(
                type="line", x0=0, x1=1, xref="x2 domain", y0=at, y1=at, yref="y2", line=line
            )
        named.add(name)
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=labels,
        range=[max(len(labels), 1) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        row=2,
        col=1,
    )
