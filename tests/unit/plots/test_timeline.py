"""What the timeline draws: nothing is lost, nothing lies on another, and every state shows."""

from __future__ import annotations

from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.model.flow_rates import rate_kind
from fqdnlab.notebook.bins import Bins
from fqdnlab.plots import Interval, Outage, sampled_intervals, timeline
from fqdnlab.plots.notes import Note, place, text_width

T0 = 1_700_000_000.0
EMPTY = pd.DataFrame()


def look(time: float, **states: str) -> list[dict[str, Any]]:
    return [
        {"time": time, "name": "a.org", "ip": f"192.0.2.{ip[1:]}", "state": state}
        for ip, state in states.items()
    ]


def answer(time: float, ip: str, state: str = "enforced", ttl: int = 10) -> dict[str, Any]:
    return {
        "time": time,
        "query": "a.org.",
        "ips": (ip,),
        "ttl": ttl,
        "verdict": "FORWARDED",
        "mapping_state": state,
    }


# ---------------------------------------------------------------- looks at the mappings


def test_an_address_is_open_as_long_as_it_was_seen_open() -> None:
    looks = [
        *look(1.0, _1="enforced"),
        *look(2.0, _1="expired"),  # past its TTL and not collected: as open as ever
        *look(3.0, _1="zombie"),
        *look(4.0, _1="zombie", _2="enforced"),
        *look(5.0, _2="enforced"),
    ]
    assert sampled_intervals(looks, [answer(0.8, "192.0.2.1")], [], 6.0) == [
        Interval("a.org", "192.0.2.1", 0.8, 3.0, "enforced"),
        Interval("a.org", "192.0.2.1", 3.0, 5.0, "zombie"),
        Interval("a.org", "192.0.2.2", 4.0, 6.0, "enforced"),
    ]


def test_what_the_agent_knew_goes_on_while_it_is_dead() -> None:
    away = [Outage("agent", "killed", 2.0, 6.0)]
    looks = [*look(1.0, _1="enforced"), *look(6.2, _1="enforced", _2="enforced")]
    queries = [answer(0.9, "192.0.2.1"), answer(3.0, "192.0.2.2", "waits")]
    assert sampled_intervals(looks, queries, away, 8.0) == [
        Interval("a.org", "192.0.2.1", 0.9, 8.0, "enforced"),
        Interval("a.org", "192.0.2.2", 3.0, 6.0, "waits"),
        Interval("a.org", "192.0.2.2", 6.0, 8.0, "enforced"),
    ]


def test_the_best_state_of_any_endpoint_counts() -> None:
    looks = [*look(1.0, _1="zombie"), *look(1.0, _1="enforced")]
    (one,) = sampled_intervals(looks, [], [], 2.0)
    assert one.state == "enforced"


# ---------------------------------------------------------------- notes


@given(st.lists(st.tuples(st.floats(0, 60), st.text("abc → .", min_size=1, max_size=40))))
def test_no_note_lies_on_another(given_: list[tuple[float, str]]) -> None:
    placed = place([Note(x, text, "#000") for x, text in given_], 60.0)
    assert sorted((n.x, n.text) for n in placed) == sorted(given_)
    held: list[tuple[int, float, float]] = []
    for note in placed:
        width = text_width(note.text, 60.0)
        begin = note.x - width if note.leftward else note.x
        for row, b, e in held:
            assert row != note.row or begin + width <= b or begin >= e
        held.append((note.row, begin, begin + width))


# ---------------------------------------------------------------- the figure


PACKET = {"kind": "packet", "result": "", "is_reply": False}


def frames() -> dict[str, Any]:
    def at(seconds: float) -> pd.Timestamp:
        return pd.Timestamp(T0 + seconds, unit="s", tz="UTC")

    verdicts = enumerate(["FORWARDED"] * 7 + ["DROPPED"] * 3)
    return {
        "flows": pd.DataFrame([{**PACKET, "time": at(i), "verdict": v} for i, v in verdicts]),
        "queries": pd.DataFrame(
            [
                {**answer(0, "192.0.2.1"), "time": at(1)},
                {**answer(0, "192.0.2.2", "waits"), "time": at(5)},
                {**answer(0, ""), "time": at(6), "ips": (), "verdict": "DROPPED"},
            ]
        ),
        "faults": pd.DataFrame(
            [
                {"time": at(4), "process": "agent", "action": "kill"},
                {"time": at(7), "process": "agent", "action": "restart"},
                {"time": at(8), "process": "proxy", "action": "upgrade"},
                {"time": at(8.5), "process": "proxy", "action": "upgrade"},
            ]
        ),
        "changes": [{"time": T0 + 5, "text": "a.org → 192.0.2.2"}],
    }


def test_everything_is_on_it() -> None:
    figure = timeline(**frames(), t0=T0, end=T0 + 20)
    bars = {t.name: t for t in figure.data}
    width = 0.5
    assert sum(bars["▲ allowed"].y) * width == 7
    assert sum(bars["✕ dropped"].y) * width == -3
    assert list(bars["refused by the proxy"].x) == [6.0]
    assert list(bars["resolved, waits for the agent"].x) == [2.0]
    words = [a.text for a in figure.layout.annotations]
    assert {"<b>agent killed</b>", "<b>proxy upgraded ×2</b>", "a.org → 192.0.2.2"} <= set(words)
    bands = [(s.x0, s.x1) for s in figure.layout.shapes if s.type == "rect" and s.yref == "paper"]
    assert (4.0, 7.0) in bands
    assert len(bands) == 3


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "seconds": st.floats(0, 19.9),
            "kind": st.sampled_from(("packet", "packet", "dns")),
            "verdict": st.sampled_from(("FORWARDED", "DROPPED", "REDIRECTED", "ERROR", "AUDIT")),
            "result": st.sampled_from(("ASKED", "RESOLVED", "REFUSED", "")),
            "is_reply": st.sampled_from((True, False, None)),
        }
    ),
    max_size=40,
)


@given(ROWS)
def test_its_bars_count_what_the_live_ones_count(rows: list[dict[str, Any]]) -> None:
    bins = Bins()
    for row in rows:
        if kind := rate_kind(row):
            bins.add(kind, T0 + row["seconds"])
        row["time"] = pd.Timestamp(T0 + row["seconds"], unit="s", tz="UTC")
    live = bins.picture(T0, T0 + 20)
    figure = timeline(pd.DataFrame(rows), EMPTY, EMPTY, t0=T0, end=T0 + 20, bin_seconds=1.0)
    drawn = {t.name: dict(zip(t.x, t.y, strict=True)) for t in figure.data}
    for name, sign in (("▲ allowed", 1), ("✕ dropped", -1)):
        counts = enumerate(live[name.split()[1]])
        assert drawn[name] == {n + 0.5: sign * count for n, count in counts if count}


def test_a_table_without_replies_counts_packets_alone() -> None:
    rows = [dict(row) for row in frames()["flows"].to_dict("records")]
    rows += [{**rows[0], "kind": "dns", "result": "RESOLVED", "is_reply": True}]
    rows += [{**rows[0], "is_reply": True}, {**rows[0], "verdict": "REDIRECTED"}]
    figure = timeline(pd.DataFrame(rows), EMPTY, EMPTY, t0=T0, end=T0 + 20)
    assert {t.name: sum(t.y) * 0.5 for t in figure.data if t.name[0] in "▲✕"} == {
        "▲ allowed": 7,
        "✕ dropped": -3,
    }


def test_verdicts_are_told_apart_without_colour() -> None:
    figure = timeline(**frames(), t0=T0, end=T0 + 20)
    by_name = {t.name: t for t in figure.data}
    assert min(by_name["▲ allowed"].y) > 0 > max(by_name["✕ dropped"].y)
    assert by_name["resolved, waits for the agent"].marker.pattern.shape == "/"
    assert by_name["refused by the proxy"].marker.symbol == "x-thin"


def test_nothing_at_all_can_be_drawn() -> None:
    empty = pd.DataFrame()
    figure = timeline(empty, empty, empty, t0=T0, end=T0 + 5)
    assert all(len(t.x) == 0 for t in figure.data)


def test_the_same_records_make_the_same_figure() -> None:
    assert timeline(**frames(), t0=T0, end=T0 + 9) == timeline(**frames(), t0=T0, end=T0 + 9)
