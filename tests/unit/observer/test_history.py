"""The bounded history against a plain list, and GetFlows' selection against an obvious model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.observer.history import History, Kind, Slot
from fqdnlab.observer.query import LOSS, Item, Lost, Plan, select


def slots(times: list[int]) -> list[Slot]:
    return [Slot(t, Kind.VERDICT, b"") for t in times]


@given(
    st.integers(1, 9),
    st.lists(st.lists(st.integers(0, 99), max_size=7), max_size=7),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_history_is_the_end_of_a_list(
    capacity: int, batches: list[list[int]], start: int, stop: int
) -> None:
    history = History(capacity)
    everything: list[Slot] = []
    for batch in batches:
        history.extend(slots(batch))
        everything += slots(batch)
    oldest = max(0, len(everything) - capacity)
    assert (history.oldest, history.newest) == (oldest, len(everything))
    begin, seen = history.read(start, stop)
    assert begin == max(start, oldest)
    assert seen == everything[max(start, oldest) : stop]


@given(
    st.integers(1, 9),
    st.integers(0, 60),
    st.lists(st.lists(st.integers(0, 30), max_size=7), max_size=7),
)
def test_large_slots_are_fewer(capacity: int, limit: int, batches: list[list[int]]) -> None:
    """As many of the newest as fit, by number and by octets, and always the last one."""
    history = History(capacity, limit)
    sizes: list[int] = []
    for batch in batches:
        history.extend([Slot(size, Kind.VERDICT, bytes(size)) for size in batch])
        sizes += batch
        kept = sizes[max(0, len(sizes) - capacity) :]
        while len(kept) > 1 and sum(kept) > limit:
            kept = kept[1:]
        if not batch:
            continue
        begin, seen = history.read(0, len(sizes))
        assert [slot.time for slot in seen] == kept
        assert begin == history.oldest == len(sizes) - len(kept)
        assert len(history) == len(kept)


def test_decoded_octets_count_too() -> None:
    history = History(10, 100)
    history.extend([Slot(i, Kind.VERDICT, bytes(10)) for i in range(4)])
    history.keep_decoded(0, bytes(30))
    history.keep_decoded(0, bytes(50))
    history.extend(slots([4]))
    assert history.oldest == 0
    history.extend([Slot(5, Kind.VERDICT, bytes(20))])
    assert history.oldest == 1  # and with it what was decoded
    history.extend([Slot(6, Kind.VERDICT, bytes(40))])
    assert history.oldest == 1


def test_decoded_octets_go_with_their_slot() -> None:
    history = History(2)
    history.extend(slots([1, 2]))
    history.keep_decoded(0, b"zero")
    assert history.decoded(0) == b"zero"
    history.extend(slots([3]))
    assert history.decoded(0) is None
    assert history.decoded(2) is None
    history.keep_decoded(0, b"late")  # overwritten meanwhile: kept nowhere
    assert history.decoded(2) is None


def even(_: int, slot: Slot) -> int | None:
    return slot.time if slot.time % 2 == 0 else None


def run(history: History, plan: Plan, test: Callable[[int, Slot], int | None] = even) -> list[int]:
    found = select(history, plan, test, lambda: True, lambda: 0)
    return [one.made for one in found if isinstance(one, Item)]


@given(
    st.lists(st.integers(0, 50), max_size=40),
    st.integers(1, 45),
    st.integers(0, 12),
    st.booleans(),
    st.none() | st.integers(0, 50),
    st.none() | st.integers(0, 50),
)
def test_selection_against_an_obvious_model(
    times: list[int],
    capacity: int,
    number: int,
    first: bool,
    since: int | None,
    until: int | None,
) -> None:
    history = History(capacity)
    history.extend(slots(times))
    kept = times[max(0, len(times) - capacity) :]
    wanted = [
        t
        for t in kept
        if t % 2 == 0 and (since is None or t >= since) and (until is None or t <= until)
    ]
    if number:
        wanted = wanted[:number] if first or since is not None else wanted[-number:]
    assert run(history, Plan(number, first, False, since, until)) == wanted


def test_losses_are_told_and_not_counted() -> None:
    history = History(10)
    history.extend([*slots([2]), Slot(3, Kind.LOST, LOSS.pack(1, 9)), *slots([4])])
    found = list(select(history, Plan(number=2), even, lambda: True, lambda: 0))
    assert [type(f) for f in found] == [Item, Lost, Item]
    assert found[1] == Lost(1, 9, 3)


def test_a_follower_that_is_too_slow_is_told_what_it_missed() -> None:
    history = History(4)
    history.extend(slots([2]))
    follower = select(history, Plan(number=1, follow=True), even, lambda: True, lambda: 77)
    assert isinstance(next(follower), Item)
    history.extend(slots([2] * 10))
    found = [next(follower) for _ in range(5)]
    assert found[0] == Lost(3, 6, 77)
    assert all(isinstance(one, Item) for one in found[1:])


def test_a_follower_ends_with_the_history() -> None:
    history = History(4)
    follower = select(history, Plan(follow=True), even, lambda: True, lambda: 0)
    assert next(follower) is None
    history.close()
    assert list(follower) == []


@pytest.mark.parametrize("number", [0, 3])
def test_follow_begins_with_the_last_ones(number: int) -> None:
    history = History(16)
    history.extend(slots([2, 4, 6, 8, 10]))
    follower = select(history, Plan(number, follow=True), even, lambda: True, lambda: 0)
    seen = []
    for one in follower:
        if one is None:
            break
        assert isinstance(one, Item)
        seen.append(one.made)
    assert seen == [2, 4, 6, 8, 10][5 - number :]
