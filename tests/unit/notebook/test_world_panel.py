"""The world's table: the next address, what somebody wrote, churn by its seed, words."""

from __future__ import annotations

import pytest

from fqdnlab.errors import UsageError
from fqdnlab.notebook.world_edit import (
    BEHAVIOURS,
    Churn,
    moved,
    next_address,
    number,
    read_addresses,
    words_of,
)
from fqdnlab.world.behaviour import Behaviour

WORLD = {
    "api.example.com": ["198.51.100.7"],
    "img.cdn.example.com": ["203.0.113.19", "203.0.113.20", "2001:db8::7"],
}


@pytest.mark.parametrize(
    ("address", "taken", "found"),
    [
        ("198.51.100.7", (), "198.51.100.8"),
        ("198.51.100.7", ("198.51.100.8", "198.51.100.9"), "198.51.100.10"),
        ("198.51.100.254", (), "198.51.100.1"),
        ("198.51.100.255", (), "198.51.100.2"),
        ("198.51.100.0", (), "198.51.100.1"),
        ("2001:db8::7", (), "2001:db8::8"),
        ("2001:db8::ffff", (), "2001:db8::1"),
    ],
)
def test_the_next_address(address: str, taken: tuple[str, ...], found: str) -> None:
    assert next_address(address, taken) == found


def test_no_next_address() -> None:
    every = [f"192.0.2.{n}" for n in range(1, 255)]
    with pytest.raises(UsageError, match="no address next to"):
        next_address("192.0.2.7", every)


def test_all_of_a_name_move_and_none_meet() -> None:
    assert moved(["203.0.113.19", "203.0.113.20"], []) == ["203.0.113.21", "203.0.113.22"]


def test_addresses_as_they_are_written() -> None:
    assert read_addresses(" 198.51.100.7,2001:DB8::7  198.51.100.7;") == [
        "198.51.100.7",
        "2001:db8::7",
    ]
    with pytest.raises(UsageError, match=r"'198.51.100.700' is no address \(expected IPv4"):
        read_addresses("198.51.100.7 198.51.100.700")
    with pytest.raises(UsageError, match="no address is given"):
        read_addresses(" , ")


@pytest.mark.parametrize("text", ["", "five", "-1", "3601", "1.5", "nan", "inf"])
def test_a_number_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="expected a whole number, 0 to 3,600"):
        number("TTL", text, 0, 3600)


def test_a_number() -> None:
    assert number("TTL", " 30 ", 0, 3600) == 30
    assert number("seconds", "0.5", 0.1, 3600, whole=False) == 0.5


def _run(seed: int, steps: int) -> list[tuple[str, list[str]]]:
    churn, world, done = Churn(seed), dict(WORLD), []
    for _ in range(steps):
        change = churn.step(world)
        assert change is not None
        world |= [change]
        done.append(change)
    return done


def test_churn_follows_from_its_seed() -> None:
    assert _run(7, 100) == _run(7, 100)
    assert _run(7, 100) != _run(8, 100)
    assert {name for name, _ in _run(7, 100)} == set(WORLD)


def test_each_change_is_one_and_leaves_an_address() -> None:
    world = dict(WORLD)
    for name, addresses in _run(3, 300):
        assert addresses != world[name]
        assert 1 <= len(set(addresses)) == len(addresses) <= 4
        assert len(set(addresses) - set(world[name])) <= 1
        world[name] = addresses


def test_churn_of_no_name_is_nothing() -> None:
    assert Churn(1).step({}) is None


def test_every_button_is_a_behaviour_and_has_words() -> None:
    for name, given in BEHAVIOURS.items():
        assert Behaviour(**given).is_normal() == (name == "normal")
        if name != "normal":
            assert words_of(given).startswith(name)
    assert (
        words_of({"loss": 0.5, "truncate": True, "types": ["A"]}) == "loss 0.5, truncate, types A"
    )
