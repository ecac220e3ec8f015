"""Bars, bands, changes of the world, cards, the layout: what is drawn, from what was seen."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from fqdnlab.notebook.bands import bands
from fqdnlab.notebook.bins import Bins
from fqdnlab.notebook.cards import Card, Speed, cards, speed
from fqdnlab.notebook.dashboard import spans
from fqdnlab.notebook.seen import Fault, Proc, Seen, WorldName
from fqdnlab.notebook.timeline import Pace
from fqdnlab.notebook.world_changes import changes
from tests.unit.notebook.kit import T0, running, seen


def test_bars_are_counts_of_whole_seconds() -> None:
    bins = Bins()
    for i in range(30):
        bins.add("allowed", T0 + i / 10)
    bins.add("dropped", T0 + 1.5)
    picture = bins.picture(T0, T0 + 3)
    assert picture == {"first": int(T0), "allowed": [10, 10, 10, 0], "dropped": [0, 1, 0, 0]}
    assert bins.rates(T0 + 3).allowed == 10


def test_bars_are_forgotten() -> None:
    bins = Bins()
    for i in range(5000):
        bins.add("allowed", T0 + i)
    assert sum(bins.picture(T0, T0 + 5000)["allowed"]) == 900


def test_a_band_lasts_until_the_process_is_back() -> None:
    faults = [
        Fault(T0 + 1, "agent", "kill", 1, 1),
        Fault(T0 + 5, "agent", "restart", 2, 2),
        Fault(T0 + 6, "proxy", "stop", 3, 1),
        Fault(T0 + 7, "observer", "kill", 3, 1, "failed: it is dead"),
    ]
    found = [(b["text"], b["start"], b["stop"]) for b in bands(faults, T0, T0 + 10)]
    assert found == [("agent killed", T0 + 1, T0 + 5), ("proxy hung", T0 + 6, T0 + 10)]
    assert bands(faults, T0 + 5.5, T0 + 10)[0]["text"] == "proxy hung"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (("198.51.100.7",), ("198.51.100.9",), "api moved to .9"),
        (("198.51.100.7",), ("203.0.113.1",), "api moved to 203.0.113.1"),
        (("198.51.100.7",), ("198.51.100.7", "198.51.100.8"), "api gained .8"),
        (("198.51.100.7", "198.51.100.8"), ("198.51.100.8",), "api lost 1"),
        (("198.51.100.7", "198.51.100.8"), ("198.51.100.8", "198.51.100.7"), "api rotated"),
        (("198.51.100.7",), (), "api has no address"),
    ],
)
def test_changes_of_the_world(before: tuple[str, ...], after: tuple[str, ...], text: str) -> None:
    old, new = WorldName("api.example.com", 30, before), WorldName("api.example.com", 30, after)
    assert [c.text for c in changes([old], [new], T0)] == [text]
    assert changes([new], [new], T0) == []
    assert changes([], [new], T0) == [], "the first look at a world is no change"


def test_names_that_come_and_go() -> None:
    a, b = WorldName("a.example", 30, ("192.0.2.1",)), WorldName("b.example", 30, ("192.0.2.2",))
    found = {c.text for c in changes([a], [b, replace(b, name="c.example")], T0)}
    assert found == {"a.example is gone", "b.example is new", "c.example is new"}
    assert [c.text for c in changes([a], [replace(a, ttl=5)], T0)] == ["a: TTL 5 s"]


@pytest.mark.parametrize("news", [1000, 20, 4.4, 4, 2])
def test_the_timeline_is_drawn_four_times_a_second_at_most(news: float) -> None:
    pace = Pace()
    times = [n / news for n in range(int(10 * news))]
    drawn = [t for t in times if pace.due(t)]
    assert min(b - a for a, b in pairwise(drawn)) >= 0.25
    slower = [b for a, b in pairwise(times) if b - a >= 0.25]
    assert len(drawn) >= max(len(slower), 20), "and not much less often"


def card(name: str, of: Seen) -> Card:
    return next(c for c in cards(of) if c.name == name)


def test_a_card_of_a_living_process() -> None:
    one = card("proxy", seen())
    assert (one.level, one.word) == ("ok", "serving")
    assert [b.label for b in one.buttons if b.enabled] == ["Kill", "Hang", "Restart", "Upgrade"]


def test_a_card_says_pid_generation_since_and_restarts() -> None:
    twice = replace(running("proxy"), generation=3, restarts=2)
    life = card("proxy", seen(processes={"proxy": twice})).lines[:2]
    since = f"{{ago:{T0 - 60:.1f}}}"
    assert life == (f"pid **100** · up **{since}**", "generation **3** · restarts **2**")


def test_a_card_of_a_dead_one_offers_what_brings_it_back() -> None:
    dead = Proc("agent", "dead", 4188, 1, T0 - 24, 0, "killed by SIGKILL")
    one = card("agent", seen(processes={"agent": dead}))
    assert (one.level, one.word) == ("bad", "killed (SIGKILL)")
    assert "last pid **4188**" in one.lines[0]
    assert [(b.label, b.primary) for b in one.buttons if b.enabled] == [("Restart", True)]


def test_cards_of_a_lab_that_is_down_invite_to_nothing() -> None:
    for one in cards(seen(down=True)):
        assert (one.level, one.word) == ("odd", "gone"), one.name
        assert not [b for b in one.buttons if b.enabled or b.primary]


def test_a_hung_one_can_go_on_and_no_button_moves() -> None:
    hung = replace(running("agent"), state="stopped")
    one = card("agent", seen(processes={"agent": hung}))
    assert [b.label for b in one.buttons] == ["Kill", "Continue", "Restart", "Upgrade"]
    well = card("agent", seen())
    assert [b.label for b in well.buttons] == ["Kill", "Hang", "Restart", "Upgrade"]


def test_the_kernel_needs_no_process() -> None:
    dead = {n: Proc(n, "dead") for n in ("agent", "proxy", "observer")}
    one = card("kernel", seen(processes=dead))
    assert (one.level, one.word) == ("ok", "enforcing")


def test_every_process_says_how_it_is_upgraded() -> None:
    hints = {c.name: b.hint for c in cards(seen()) for b in c.buttons if b.do == "upgrade"}
    assert hints.keys() == {"agent", "proxy", "observer"}
    assert hints["agent"].startswith("in place")
    assert hints["proxy"].startswith("with surge")


def test_the_speed_of_time_is_offered_while_the_agent_lives() -> None:
    assert speed(seen()) == Speed(1.0, (1.0, 10.0, 60.0, 600.0))
    assert speed(seen(time_scale=3.0)).offered == (1.0, 3.0, 10.0, 60.0, 600.0)
    dead = speed(seen(time_scale=60.0, processes={"agent": Proc("agent", "dead")}))
    assert dead.obstacle == "Lab time is the agent's, which is dead: restart it."


def test_rows_of_the_dashboard_are_full() -> None:
    assert spans(["says", "faults", "timeline", "world"])["world"] == 12
    assert spans(["world", "traffic", "flows", "why", "way"]) == {
        "world": 6,
        "traffic": 6,
        "flows": 8,
        "why": 4,
        "way": 12,
    }
