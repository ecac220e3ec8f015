"""Which names an address had when."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.model.labtime import LabClock
from fqdnlab.observer.dnswire import read_message
from fqdnlab.observer.journal import Journal
from fqdnlab.observer.names import NameHistory, Told
from tests.observer_data import answer
from tests.unit.observer.kit import NOW, SECOND

A, B = "198.51.100.7", "198.51.100.8"


def told(
    names: NameHistory,
    name: str,
    addresses: list[str],
    at: int,
    ttl: int = 60,
    early: str = "",
    endpoint: int = 1,
) -> None:
    names.answer(endpoint, read_message(answer(name, addresses, ttl)), at, early)


def test_an_address_has_its_name_from_the_answer_on() -> None:
    names = NameHistory()
    told(names, "api.example.com", [A], NOW)
    assert names.names(1, A, NOW - SECOND) == []
    assert names.names(1, A, NOW + SECOND) == ["api.example.com"]
    assert names.names(1, B, NOW + SECOND) == []


def test_another_endpoint_knows_nothing_of_it() -> None:
    names = NameHistory()
    told(names, "api.example.com", [A], NOW)
    assert names.names(2, A, NOW + SECOND) == []


def test_a_later_answer_does_not_rename_what_passed_before() -> None:
    names = NameHistory()
    told(names, "old.example.com", [A], NOW, ttl=10)
    told(names, "new.example.com", [A], NOW + 100 * SECOND)
    assert names.names(1, A, NOW + SECOND) == ["old.example.com"]
    assert names.names(1, A, NOW + 101 * SECOND) == ["new.example.com"]


def test_two_names_of_one_address() -> None:
    names = NameHistory()
    told(names, "b.example.com", [A], NOW)
    told(names, "a.example.com", [A], NOW + SECOND)
    assert names.names(1, A, NOW + 2 * SECOND) == ["a.example.com", "b.example.com"]


def test_after_its_ttl_the_last_name_is_still_told() -> None:
    names = NameHistory()
    told(names, "first.example.com", [A], NOW, ttl=1)
    told(names, "last.example.com", [A], NOW + 5 * SECOND, ttl=1)
    assert names.names(1, A, NOW + 900 * SECOND) == ["last.example.com"]


def test_lab_time_and_least_ttl() -> None:
    fast = NameHistory(time_scale=10.0)
    told(fast, "a.org", [A], NOW, ttl=60)
    told(fast, "b.org", [A], NOW + 7 * SECOND, ttl=60)
    assert fast.names(1, A, NOW + 8 * SECOND) == ["b.org"]
    slow = NameHistory(min_ttl=3600)
    told(slow, "a.org", [A], NOW, ttl=1)
    told(slow, "b.org", [A], NOW + 7 * SECOND, ttl=1)
    assert slow.names(1, A, NOW + 8 * SECOND) == ["a.org", "b.org"]


def test_early_answers() -> None:
    names = NameHistory()
    told(names, "a.org", [A], NOW, early="agent-dead")
    assert names.early(1, A, NOW + SECOND) == "agent-dead"
    told(names, "a.org", [A], NOW + 2 * SECOND)
    assert names.early(1, A, NOW + 3 * SECOND) == ""


def test_a_journal(tmp_path: Path) -> None:
    """What is written is read; spells that go on are not written again; rubbish is skipped."""
    file = tmp_path / "names.jsonl"
    names = NameHistory()
    journal = Journal(file, names)
    told(names, "a.org", [A, B], NOW, early="agent-dead")
    journal.write()
    told(names, "a.org", [A, B], NOW + SECOND, early="agent-dead")
    journal.write()
    assert len(file.read_text().splitlines()) == 2
    with open(file, "a", encoding="utf-8") as more:
        more.write('{}\n[1,2]\n[1,"x"')
    again = NameHistory()
    assert Journal(file, again).faults == 3
    assert again.names(1, A, NOW + SECOND) == ["a.org"]
    assert again.early(1, B, NOW + SECOND) == "agent-dead"
    assert len(file.read_text().splitlines()) == 2  # written anew, without the rubbish


def test_a_journal_of_much_is_not_written_anew_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered may be more than the bound: the file grows to twice that."""
    monkeypatch.setattr("fqdnlab.observer.journal._LARGEST", 100)
    file = tmp_path / "names.jsonl"
    names = NameHistory(limit=20)
    journal = Journal(file, names)
    sizes = []
    for i in range(200):
        told(names, "a.org", [f"10.1.0.{i}"], NOW + i)
        journal.write()
        sizes.append(file.stat().st_size)
    assert max(sizes) < 200 * 45
    anew = sum(after < before for before, after in pairwise(sizes))
    assert 0 < anew <= 200 / 20 + 1
    again = NameHistory()
    Journal(file, again)
    assert len(again) >= 20


def test_it_is_bounded() -> None:
    names = NameHistory(limit=100)
    for i in range(300):
        told(names, "a.org", [f"10.1.{i // 250}.{i % 250}"], NOW + i)
    assert len(names) == 100
    assert names.names(1, "10.1.0.0", NOW + SECOND) == []
    assert names.names(1, "10.1.1.49", NOW + SECOND) == ["a.org"]


LOOKUPS = st.lists(
    st.tuples(
        st.integers(0, 200),  # when, s
        st.sampled_from(["a.org", "b.org", "c.org"]),
        st.sampled_from([(A,), (B,), (A, B)]),
        st.integers(0, 50),  # TTL
    ),
    max_size=12,
)


@given(LOOKUPS, st.integers(0, 300), st.sampled_from([A, B]))
def test_against_a_slow_model(
    lookups: list[tuple[int, str, tuple[str, ...], int]], at: int, address: str
) -> None:
    """The model remembers every answer, and asks them all."""
    names = NameHistory()
    lookups.sort(key=lambda x: x[0])
    for when, name, addresses, ttl in lookups:
        told(names, name, list(addresses), NOW + when * SECOND, ttl)
    begun = [(w + t, n) for w, n, a, t in lookups if address in a and w <= at]
    live = {n for end, n in begun if at < end}
    last = max((end for end, _ in begun), default=0)
    expected = live or {n for end, n in begun if end == last}
    assert names.names(1, address, NOW + at * SECOND) == sorted(expected)


def test_lab_time_changes_its_speed() -> None:
    names = NameHistory()
    names.follow(LabClock(1.0))
    told(names, "a.org", [A], NOW, ttl=600)
    names.follow(LabClock(60.0, 0, NOW))
    told(names, "b.org", [A], NOW + 9 * SECOND, ttl=300)
    assert names.names(1, A, NOW + int(9.5 * SECOND)) == ["a.org", "b.org"]
    assert names.names(1, A, NOW + int(10.5 * SECOND)) == ["b.org"]


def test_the_first_clock_says_how_time_goes_already() -> None:
    names = NameHistory()
    names.restore(Told(1, A, "a.org", NOW, NOW + 10 * SECOND, ""))
    names.follow(LabClock(60.0, 0, NOW))
    told(names, "b.org", [A], NOW, ttl=6000)
    assert names.names(1, A, NOW + 9 * SECOND) == ["a.org", "b.org"]
