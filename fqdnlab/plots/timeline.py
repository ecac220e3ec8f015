"""The timeline: one time axis for flows, names, faults and changes of the world.

Allowed flows go up and dropped ones down from one line; below, the life of every name's
addresses; fault bands and world changes run through both.  Colours are Okabe and Ito's, which
colour-blind people can tell apart; each state also has its own pattern or glyph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fqdnlab.plots.intervals import Interval, Outage, mapping_intervals, outages

__all__ = ["ALLOWED", "DROPPED", "timeline"]

ALLOWED = "#0072B2"
DROPPED = "#D55E00"
_INK = "#777777"  # reads on white and on black
_BAND = {"killed": DROPPED, "hung": "#CC79A7", "upgraded": _INK}
_MONO = "DejaVu Sans Mono, ui-monospace, monospace"


def timeline(
    flows: pd.DataFrame,
    queries: pd.DataFrame,
    faults: pd.DataFrame,
    changes: Sequence[Mapping[str, Any]] = (),
    *,
    t0: float,
    end: float,
    bin_seconds: float = 1.0,
) -> go.Figure:
    """Draw what happened between `t0` and `end`.

    Parameters
    ----------
    flows : DataFrame
        One row a packet event: ``time`` (Timestamp, UTC), ``verdict``, ``kind``.
    queries : DataFrame
        One row a DNS answer or refusal: ``time``, ``query``, ``ips``, ``ttl`` (s), ``verdict``,
        ``mapping_state``.
    faults : DataFrame
        ``time``, ``process``, ``action``.
    changes : sequence of mapping
        World changes: ``time`` (Unix seconds), ``text``.
    t0, end : float
        Unix seconds; the axis shows seconds since `t0`.
    bin_seconds : float
        Width of a bar.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    span = end - t0
    away = outages(_seconds(faults, t0), span)
    intervals = mapping_intervals(_seconds(queries, t0), away, span)
    lanes = _lanes(intervals)
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.06,
        row_heights=[0.36, 0.64],
    )
    _bars(figure, _seconds(flows, t0), bin_seconds)
    _gantt(figure, intervals, lanes)
    _bands(figure, away, span)
    _marks(figure, changes, t0)
    _dress(figure, lanes, span)
    return figure


def _seconds(frame: pd.DataFrame, t0: float) -> list[dict[str, Any]]:
    """Rows as dictionaries whose ``time`` is seconds since `t0`, in order of time."""
    if frame.empty:
        return []
    rows = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    for row in rows:
        row["time"] = pd.Timestamp(row["time"]).timestamp() - t0
    return sorted((r for r in rows if r["time"] >= 0), key=lambda r: r["time"])


def _bars(figure: go.Figure, rows: list[dict[str, Any]], width: float) -> None:
    up: Counter[int] = Counter()
    down: Counter[int] = Counter()
    for row in rows:
        (down if row["verdict"] == "DROPPED" else up)[int(row["time"] // width)] += 1
    for counts, sign, colour, name in (
        (up, 1, ALLOWED, "▲ allowed"),
        (down, -1, DROPPED, "✕ dropped"),
    ):
        bins = sorted(counts)
        figure.add_bar(
            x=[(b + 0.5) * width for b in bins],
            y=[sign * counts[b] / width for b in bins],
            customdata=[counts[b] / width for b in bins],
            width=0.9 * width,
            marker_color=colour,
            name=name,
            hovertemplate="%{x:.0f} s: %{customdata:.0f}/s<extra>" + name + "</extra>",
            row=1,
            col=1,
        )


def _lanes(intervals: list[Interval]) -> dict[tuple[str, str], int]:
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


_LOOK: dict[str, dict[str, Any]] = {
    "enforced": {"color": ALLOWED, "pattern": {"shape": ""}},
    "waits": {
        "color": "rgba(213,94,0,0.15)",
        "line": {"color": DROPPED, "width": 1},
        "pattern": {"shape": "/", "fgcolor": DROPPED, "size": 6, "solidity": 0.3},
    },
}
_WORDS = {
    "enforced": "enforced: open in the kernel",
    "waits": "resolved, waits for the agent",
    "refused": "✕ refused by the proxy",
}


def _gantt(figure: go.Figure, intervals: list[Interval], lanes: dict[tuple[str, str], int]) -> None:
    for state, look in _LOOK.items():
        some = [i for i in intervals if i.state == state]
        if not some:
            continue
        figure.add_bar(
            orientation="h",
            base=[i.start for i in some],
            x=[max(i.stop - i.start, 0.05) for i in some],
            y=[lanes[(i.name, i.address)] for i in some],
            text=[i.address for i in some],
            textposition="inside",
            insidetextanchor="start",
            insidetextfont={"family": _MONO, "size": 11},
            width=0.62,
            marker=look,
            name=_WORDS[state],
            customdata=[[i.name, i.address, i.start, i.stop] for i in some],
            hovertemplate="%{customdata[0]} → %{customdata[1]}<br>"
            "%{customdata[2]:.1f} s to %{customdata[3]:.1f} s<extra>" + _WORDS[state] + "</extra>",
            row=2,
            col=1,
        )
    refused = [i for i in intervals if i.state == "refused"]
    if refused:
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


def _bands(figure: go.Figure, away: list[Outage], span: float) -> None:
    for row in (1, 2):
        for one in away:
            moment = one.stop <= one.start
            figure.add_vrect(
                x0=one.start,
                x1=min(span, one.start + 0.15) if moment else one.stop,
                fillcolor=_BAND[one.what],
                opacity=0.45 if moment else 0.13,
                line_width=0,
                layer="below",
                row=row,
                col=1,
            )
    last: dict[str, float] = {}
    for one in away:
        label = f"{one.process} {one.what}"
        if one.start - last.get(label, -1e9) < span / 8:
            continue  # a label for a run of the same, not one on another
        last[label] = one.start
        _note(figure, one.start, 1.0, label, _BAND[one.what], "bottom")


def _marks(figure: go.Figure, changes: Sequence[Mapping[str, Any]], t0: float) -> None:
    for change in changes:
        x = float(change["time"]) - t0
        for row in (1, 2):
            figure.add_vline(x=x, line={"color": _INK, "width": 1, "dash": "dot"}, row=row, col=1)
        _note(figure, x, 0.6, str(change["text"]), _INK, "bottom")  # in the gap between the rows


def _note(figure: go.Figure, x: float, y: float, text: str, colour: str, anchor: str) -> None:
    figure.add_annotation(
        x=x,
        xref="x",
        y=y,
        yref="paper",
        text=text,
        showarrow=False,
        xanchor="left",
        yanchor=anchor,
        font={"size": 11, "color": colour},
    )


def _dress(figure: go.Figure, lanes: dict[tuple[str, str], int], span: float) -> None:
    named: set[str] = set()
    labels: list[str] = []
    for name, _ in lanes:
        labels.append("" if name in named else name)
        named.add(name)
    figure.update_layout(
        height=250 + 28 * max(4, len(lanes)),
        margin={"l": 150, "r": 16, "t": 30, "b": 40},
        bargap=0,
        barmode="overlay",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Inter, system-ui, sans-serif", "size": 12, "color": _INK},
        legend={"orientation": "h", "y": -0.12, "x": 0},
        hoverlabel={"font": {"family": _MONO}},
    )
    grid = {"gridcolor": "rgba(128,128,128,0.2)", "zerolinecolor": "rgba(128,128,128,0.6)"}
    figure.update_xaxes(range=[0, span], ticksuffix=" s", **grid)
    figure.update_yaxes(title_text="flows/s", tickformat=",.0f", row=1, col=1, **grid)
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=labels,
        range=[len(labels) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        row=2,
        col=1,
    )
