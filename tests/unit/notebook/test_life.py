"""The life of names' addresses, step by step."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.notebook.life import Held, Lives
from tests.unit.notebook.kit import T0, row

API = "api.example.com"


def held(address: str, state: str = "enforced", at: float = T0, identity: int = 7) -> Held:
    return Held(API, address, state, at, identity)


def spans(lives: Lives, now: float, name: str = API) -> dict[str, list[list[Any]]]:
    names = {n["name"]: n for n in lives.picture(T0 - 100, now)["names"]}
    return (
        {lane["address"]: lane["spans"] for lane in names[name]["lanes"]} if name in names else {}
    )


def waits(address: str, at: float) -> dict[str, Any]:
    return row(kind="dns", result="WAITS", ips=[address], at=at)


def test_an_address_begins_when_it_was_looked_up_and_ends_when_it_is_gone() -> None:
    lives = Lives()
    lives.take_mappings([held(".7")], T0 + 1)
    assert spans(lives, T0 + 2) == {".7": [[T0, T0 + 2, "enforced"]]}
    lives.take_mappings([], T0 + 5)
    assert spans(lives, T0 + 9) == {".7": [[T0, T0 + 5, "enforced"]]}


def test_a_zombie_follows_on() -> None:
    lives = Lives()
    lives.take_mappings([held(".7")], T0)
    lives.take_mappings([held(".7", "zombie")], T0 + 4)
    lives.take_mappings([], T0 + 6)
    assert spans(lives, T0 + 9)[".7"] == [[T0, T0 + 4, "enforced"], [T0 + 4, T0 + 6, "zombie"]]


def test_while_the_agent_is_away_the_kernel_keeps_what_it_holds() -> None:
    lives = Lives()
    lives.take_mappings([held(".7")], T0)
    lives.take_mappings(None, T0 + 30)
    assert spans(lives, T0 + 40)[".7"] == [[T0, T0 + 40, "enforced"]]


def test_what_is_resolved_meanwhile_waits_and_is_enforced_when_the_agent_is_back() -> None:
    lives = Lives()
    lives.take_mappings([held(".7")], T0)
    lives.take_mappings(None, T0 + 10)
    lives.take_rows([waits(".9", T0 + 12)])
    assert lives.waiting == ((API, ".9"),)
    lives.take_mappings([held(".7"), held(".9", at=T0 + 12)], T0 + 20)
    assert lives.waiting == ()
    assert spans(lives, T0 + 21)[".9"] == [
        [T0 + 12, T0 + 20, "waits"],
        [T0 + 20, T0 + 21, "enforced"],
    ]


def test_what_was_dropped_meanwhile_stops_waiting() -> None:
    lives = Lives()
    lives.take_mappings(None, T0)
    lives.take_rows([waits(".9", T0 + 1)])
    lives.take_mappings([], T0 + 5)
    assert lives.waiting, "the agent may not have taken it yet"
    lives.take_mappings([], T0 + 9)
    assert lives.waiting == ()


def test_an_address_that_no_rule_selects_is_only_resolved() -> None:
    lives = Lives()
    lives.take_mappings([held(".7", identity=0)], T0)
    assert spans(lives, T0 + 1)[".7"][0][2] == "resolved"


def test_the_best_state_of_all_endpoints_counts() -> None:
    lives = Lives()
    lives.take_mappings([held(".7", "zombie"), held(".7")], T0)
    assert spans(lives, T0 + 1)[".7"][0][2] == "enforced"


def test_refusals_are_marks_and_not_more_than_can_be_seen() -> None:
    lives = Lives()
    some = [row(kind="dns", result="REFUSED", name="tracker", at=T0 + i / 100) for i in range(100)]
    lives.take_rows(some)
    (one,) = lives.picture(T0 - 1, T0 + 2)["names"]
    assert one["name"] == "tracker"
    assert one["lanes"] == []
    assert 2 <= len(one["refused"]) <= 4


def test_what_was_cut_is_counted_and_what_moved_last_is_shown() -> None:
    lives = Lives()
    old = [Held(f"n{i}.example", ".1", "enforced", T0 + i, 1) for i in range(20)]
    lives.take_mappings(old, T0 + 30)
    picture = lives.picture(T0, T0 + 31, most=5)
    assert [n["name"] for n in picture["names"]] == [f"n{i}.example" for i in range(15, 20)]
    assert picture["hidden"] == 15


_STATES = st.sampled_from(["enforced", "zombie", None])


@given(
    st.lists(st.one_of(st.none(), st.dictionaries(st.sampled_from("abc"), _STATES)), max_size=30)
)
def test_spans_never_overlap_and_never_run_backwards(steps: list[Any]) -> None:
    lives = Lives()
    for i, step in enumerate(steps):
        now = T0 + i
        if step is None:
            lives.take_mappings(None, now)
            lives.take_rows([waits("b", now)])
        else:
            some = [held(a, s, now) for a, s in step.items() if s]
            lives.take_mappings(some, now)
    for lane in spans(lives, T0 + len(steps)).values():
        ends = [T0 - 1.0]
        for start, stop, _ in lane:
            assert ends[-1] <= start <= stop
            ends.append(stop)
