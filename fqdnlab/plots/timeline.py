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

from fqdnlab.model.flow_rates import rate_kind
from fqdnlab.plots.intervals import (
    Interval,
    Outage,
    mapping_intervals,
    outages,
    sampled_intervals,
)
from fqdnlab.plots.lanes import draw_lanes, lanes_of
from fqdnlab.plots.notes import Note, place
from fqdnlab.plots.palette import ALLOWED, BANDS, DROPPED, INK, MONO, SANS

__all__ = ["ALLOWED", "DROPPED", "timeline"]

_LEFT, _RIGHT, _BOTTOM = 150, 14, 74  # pixels beside the axes
_FLOWS, _LANE, _GAP, _NOTE = 150, 27, 26, 16  # heights in pixels


def timeline(
    flows: pd.DataFrame,
    queries: pd.DataFrame,
    faults: pd.DataFrame,
    changes: Sequence[Mapping[str, Any]] = (),
    mappings: pd.DataFrame | None = None,
    *,
    t0: float,
    end: float,
    bin_seconds: float = 0.0,
) -> go.Figure:
    """Draw what happened between `t0` and `end`.

    Parameters
    ----------
    flows : DataFrame
        Rows of ``lab.flows()``; what counts is `fqdnlab.model.flow_rates`' to say: ``time``
        (Timestamp, UTC), ``kind``, ``verdict``, ``result``, ``is_reply``.
    queries : DataFrame
        One row a DNS answer or refusal: ``time``, ``query``, ``ips``, ``ttl`` (s), ``verdict``,
        ``mapping_state``.
    faults : DataFrame
        ``time``, ``process``, ``action``; ``node`` in a lab with several.
    changes : sequence of mapping
        World changes: ``time`` (Unix seconds), ``text``.
    mappings : DataFrame, optional
        Looks at the agent's mappings: ``time`` (Unix seconds), ``name``, ``ip``, ``state``.
        With it, addresses are shown as long as they were open, and zombies too; without it, as
        long as the TTLs of the answers say.
    t0, end : float
        Unix seconds; the axis shows seconds since `t0`.
    bin_seconds : float
        Width of a bar; 0: a fitting one.

    Returns
    -------
    plotly.graph_objects.Figure
        As wide as its place; about 620 pixels at least are needed.
    """
    span = end - t0
    away = outages(_seconds(faults, t0), span)
    intervals = _intervals(_seconds(queries, t0), mappings, away, t0, span)
    lanes = lanes_of(intervals)
    notes = place([*_fault_notes(away, span), *_change_notes(changes, t0)], span)
    heights = [_FLOWS, _LANE * max(4, len(lanes))]
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=_GAP / (sum(heights) + _GAP),
        row_heights=heights,
    )
    _bars(figure, _seconds(flows, t0), bin_seconds or _fitting(span))
    draw_lanes(figure, intervals, lanes, span)
    _bands(figure, away, span)
    _marks(figure, changes, t0)
    _annotate(figure, notes)
    _dress(figure, sum(heights) + _GAP, 1 + max((n.row for n in notes), default=0), span)
    return figure


def _intervals(
    queries: list[dict[str, Any]],
    mappings: pd.DataFrame | None,
    away: list[Outage],
    t0: float,
    span: float,
) -> list[Interval]:
    if mappings is None:
        return mapping_intervals(queries, away, span)
    looks = mappings.assign(time=mappings["time"] - t0).to_dict("records")
    samples = [{str(k): v for k, v in row.items()} for row in looks]
    return sampled_intervals(samples, queries, away, span)


def _seconds(frame: pd.DataFrame, t0: float) -> list[dict[str, Any]]:
    """Rows as dictionaries whose ``time`` is seconds since `t0`, in order of time."""
    if frame.empty:
        return []
    rows = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    for row in rows:
        row["time"] = pd.Timestamp(row["time"]).timestamp() - t0
    return sorted((r for r in rows if r["time"] >= 0), key=lambda r: r["time"])


def _fitting(span: float) -> float:
    """A width that makes some 60 bars, and that people count in."""
    widths = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
    return next((w for w in widths if span / w <= 72), 120.0)


def _bars(figure: go.Figure, rows: list[dict[str, Any]], width: float) -> None:
    bars: dict[str, Counter[int]] = {kind: Counter() for kind in ("allowed", "dropped", "asked")}
    for row in rows:
        kind = rate_kind(row)
        if kind:
            bars[kind][int(row["time"] // width)] += 1
    up, down = bars["allowed"], bars["dropped"]
    for counts, sign, colour, name in (
        (up, 1, ALLOWED, "▲ allowed"),
        (down, -1, DROPPED, "✕ dropped"),
    ):
        bins = sorted(counts)
        figure.add_bar(
            x=[(b + 0.5) * width for b in bins],
            y=[sign * counts[b] / width for b in bins],
            customdata=[counts[b] / width for b in bins],
            width=0.86 * width,
            marker={"color": colour, "line": {"width": 0}},
            showlegend=False,
            name=name,
            hovertemplate="%{x:.1f} s: %{customdata:.0f}/s<extra>" + name + "</extra>",
            row=1,
            col=1,
        )
    most = {1: max(up.values(), default=0) / width, -1: max(down.values(), default=0) / width}
    _count_axis(figure, most[1], most[-1])


def _count_axis(figure: go.Figure, up: float, down: float) -> None:
    """Both directions count upwards from the line between them."""
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if max(up, down) / s <= 4), 1000)
    marks = range(-int(down // step) * step, int(up // step) * step + 1, step)
    room = max(up + down, 1) * 0.05
    figure.update_yaxes(
        tickvals=list(marks),
        ticktext=[f"{abs(m):,}" for m in marks],
        range=[-max(down, up / 8, 0.5) - room, max(up, down / 8, 0.5) + room],
        gridcolor="rgba(128,128,128,0.16)",
        zerolinecolor="rgba(128,128,128,0.75)",
        row=1,
        col=1,
    )
    for y, anchor, text, colour in (
        (1.0, "top", "▲ allowed /s", ALLOWED),
        (0.0, "bottom", "✕ dropped /s", DROPPED),
    ):
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", xshift=-_LEFT + 2, y=y, yref="y domain",
            yanchor=anchor, text=f"<b>{text}</b>", showarrow=False, font={"color": colour},
        )  # fmt: skip


def _fault_notes(away: list[Outage], span: float) -> list[Note]:
    """A note for each fault; a run of the same is told once, with its count."""
    notes: list[Note] = []
    runs: dict[str, tuple[float, int, Outage]] = {}
    for one in [*away, None]:
        for label, (last, count, first) in list(runs.items()):
            if one is None or one.start - last > span / 6:
                times = f" ×{count}" if count > 1 else ""
                notes.append(Note(first.start, f"{label}{times}", BANDS[first.what], bold=True))
                del runs[label]
        if one is not None:
            label = one.text
            _, count, first = runs.get(label, (0.0, 0, one))
            runs[label] = (one.start, count + 1, first)
    return notes


def _change_notes(changes: Sequence[Mapping[str, Any]], t0: float) -> list[Note]:
    return [Note(float(c["time"]) - t0, str(c["text"]), INK) for c in changes]


def _bands(figure: go.Figure, away: list[Outage], span: float) -> None:
    for one in away:
        moment = one.stop <= one.start
        figure.add_shape(
            type="rect",
            x0=one.start,
            x1=min(span, one.start + span / 240) if moment else one.stop,
            xref="x2",
            y0=0,
            y1=1,
            yref="paper",
            fillcolor=BANDS[one.what],
            opacity=0.5 if moment else 0.14,
            line_width=0,
            layer="below",
        )


def _marks(figure: go.Figure, changes: Sequence[Mapping[str, Any]], t0: float) -> None:
    for change in changes:
        x = float(change["time"]) - t0
        line = {"color": INK, "width": 1.5, "dash": "dot"}
        figure.add_shape(type="line", x0=x, x1=x, xref="x2", y0=0, y1=1, yref="paper", line=line)


def _annotate(figure: go.Figure, notes: list[Note]) -> None:
    for note in notes:
        figure.add_annotation(
            x=note.x,
            xref="x2",
            xanchor="right" if note.leftward else "left",
            xshift=-3 if note.leftward else -1,
            y=1,
            yref="paper",
            yanchor="bottom",
            yshift=3 + _NOTE * note.row,
            text=f"<b>{note.text}</b>" if note.bold else note.text,
            showarrow=False,
            font={"size": 12, "color": note.colour},
        )


def _dress(figure: go.Figure, plot_height: int, note_rows: int, span: float) -> None:
    top = 10 + _NOTE * note_rows
    figure.update_layout(
        height=plot_height + top + _BOTTOM,
        margin={"l": _LEFT, "r": _RIGHT, "t": top, "b": _BOTTOM, "autoexpand": False},
        bargap=0,
        barmode="overlay",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": SANS, "size": 12, "color": INK},
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0},
        hoverlabel={"font": {"family": MONO}},
    )
    figure.update_xaxes(
        range=[0, span],
        ticksuffix=" s",
        showgrid=False,
        zeroline=False,
        ticks="outside",
        tickcolor="rgba(128,128,128,0.4)",
    )
    figure.update_xaxes(ticks="", row=1, col=1)
