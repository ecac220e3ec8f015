"""Mappings kept for an agent that is dead: bounded, counted, in order, whoever dies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.dns.proxy.journal import Journal, Kept, peek


def mapping(number: int, endpoint: int = 1) -> Kept:
    return Kept(endpoint, f"n{number}.example.com.", (bytes([198, 51, 100, number % 256]),), 60)


def test_kept_in_order_and_taken_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 100)
    assert not journal.waiting()
    for number in (3, 1, 2):
        journal.keep(mapping(number))
    assert journal.waiting()
    kept, files = journal.take()
    assert kept == [mapping(3), mapping(1), mapping(2)]
    assert journal.kept == 3
    for path in files:
        path.unlink()
    assert not journal.waiting()
    assert Journal(tmp_path, 100).take() == ([], [])


def test_what_is_not_acknowledged_is_handed_over_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 100)
    journal.keep(mapping(1))
    journal.take()  # and then the agent died
    journal.keep(mapping(2))
    assert journal.take()[0] == [mapping(1), mapping(2)]


def test_it_survives_the_proxy(tmp_path: Path) -> None:
    Journal(tmp_path, 100).keep(mapping(1))  # never closed, as by SIGKILL
    second = Journal(tmp_path, 100)
    second.keep(mapping(2))
    assert Journal(tmp_path, 100).take()[0] == [mapping(1), mapping(2)]


@given(st.integers(1, 60))
def test_a_line_cut_short_costs_that_line_alone(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), 100)
        journal.keep(mapping(1))
        journal.keep(mapping(2))
        path = Path(folder) / "kept.jsonl"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) - min(cut, len(whole) // 2 - 1)])
        after = Journal(Path(folder), 100)
        after.keep(mapping(3))  # on a line of its own
        found = after.take()[0]
        expected = [mapping(1), mapping(2), mapping(3)] if cut == 1 else [mapping(1), mapping(3)]
        assert found == expected


def test_garbage_is_passed_over(tmp_path: Path) -> None:
    lines = ['{"a": 1}', "[1, 2]", '[1, "x.", ["zz"], 3]', "[]", "7", "null"]
    text = "\n".join(lines).encode() + b"\n\xff\x00\n"
    (tmp_path / "kept.jsonl").write_bytes(text)
    journal = Journal(tmp_path, 100)
    journal.keep(mapping(1))
    assert journal.take()[0] == [mapping(1)]


def test_the_same_again_is_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 100)
    for _ in range(5):
        journal.keep(mapping(1))
    assert (journal.take()[0], journal.kept) == ([mapping(1)], 1)


def test_the_last_look_up_counts(tmp_path: Path) -> None:
    """A B A, by two generations: B is older than the last A."""
    one, two = Journal(tmp_path, 100), Journal(tmp_path, 100)
    one.keep(mapping(1))
    one.keep(mapping(2))
    two.keep(mapping(1))
    assert one.take()[0] == [mapping(2), mapping(1)]


def test_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 5)
    for number in range(12):
        journal.keep(mapping(number))
    assert journal.take()[0] == [mapping(n) for n in range(7, 12)]
    assert (journal.kept, journal.dropped) == (12, 7)


def test_the_disk_is_bounded_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 10)
    for number in range(1000):
        journal.keep(mapping(number))
    lines = sum(p.read_bytes().count(b"\n") for p in tmp_path.iterdir())
    assert lines <= 40
    assert journal.take()[0] == [mapping(n) for n in range(990, 1000)]
    assert journal.dropped == 990


def test_bounded_over_many_deaths(tmp_path: Path) -> None:
    """Each proxy knows nothing of those before, but for the file."""
    for number in range(200):
        Journal(tmp_path, 10).keep(mapping(number))
    lines = sum(p.read_bytes().count(b"\n") for p in tmp_path.iterdir())
    assert lines <= 60
    assert Journal(tmp_path, 10).take()[0] == [mapping(n) for n in range(190, 200)]


def test_agents_that_come_and_take_nothing_do_not_fill_the_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 10)
    for number in range(50):
        journal.keep(mapping(number))
        kept, _ = journal.take()
    assert kept == [mapping(n) for n in range(40, 50)]
    assert len(list(tmp_path.iterdir())) <= 5
    assert journal.dropped == 40


def test_none_are_kept_where_none_may_be(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    journal.keep(mapping(1))
    assert (journal.kept, journal.dropped, journal.waiting()) == (0, 1, False)


def test_a_draining_generation_loses_nothing(tmp_path: Path) -> None:
    """It holds the file open that another has just renamed, read and removed."""
    old, new = Journal(tmp_path, 100), Journal(tmp_path, 100)
    old.keep(mapping(1))
    kept, files = new.take()
    assert kept == [mapping(1)]
    for path in files:
        path.unlink()
    old.keep(mapping(2))
    assert new.waiting()
    assert new.take()[0] == [mapping(2)]


def test_two_take_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the other has removed meanwhile is no error."""
    journal = Journal(tmp_path, 100)
    journal.keep(mapping(1))
    gone = tmp_path / "handing-000000009.jsonl"
    monkeypatch.setattr(journal, "_files", lambda: [gone])
    assert journal.take() == ([], [gone])


def test_a_full_disk_is_counted_and_stops_no_answer(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    journal = Journal(folder, 100)
    journal.keep(mapping(1))
    assert (journal.kept, journal.dropped) == (0, 1)
    folder.mkdir()
    journal.keep(mapping(1))
    assert journal.take()[0] == [mapping(1)]


def test_a_line_that_found_no_room_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, 100)
    journal.keep(mapping(1))
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:9]))
    journal.keep(mapping(2))
    monkeypatch.undo()
    journal.keep(mapping(3))
    assert (journal.kept, journal.dropped) == (2, 1)
    assert journal.take()[0] == [mapping(1), mapping(3)]


def test_peeking_takes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 100)
    journal.keep(mapping(1))
    journal.take()
    journal.keep(mapping(2))
    assert peek(tmp_path) == peek(tmp_path) == [mapping(1), mapping(2)]


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    Journal(tmp_path, 100).keep(mapping(1))
    assert (tmp_path / "kept.jsonl").stat().st_mode & 0o777 == 0o600


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 8))
def test_against_a_plain_list(numbers: list[int], most: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), most)
        newest: list[int] = []
        for number in numbers:
            journal.keep(mapping(number))
            if number not in newest:
                newest = [*newest, number][-most:]
        kept = [int(k.name[1:].partition(".")[0]) for k in journal.take()[0]]
        assert kept == newest
