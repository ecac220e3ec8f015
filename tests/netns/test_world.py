"""The world's process as real clients see it: dig, curl, kdig, in a namespace of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.world_kit import WorldKit, world_kit

RESOLVER = "10.96.0.10"


@pytest.fixture(scope="module")
def running() -> Iterator[WorldKit]:
    with world_kit() as made:
        yield made


@pytest.fixture
def kit(running: WorldKit) -> WorldKit:
    """The one world, empty again."""
    running.world.clear()
    running.world.clear_faults()
    return running


def test_a_name_and_its_web_server(kit: WorldKit) -> None:
    """The thin whole: a name is set, asked for and reached."""
    kit.world.set("api.example.com", ["198.51.100.7"], ttl=30)
    assert kit.dig(f"@{RESOLVER}", "api.example.com", "+short") == "198.51.100.7\n"
    told = json.loads(kit.run("curl", "-sS", "-H", "Host: api.example.com", "198.51.100.7/json"))
    assert (told["address"], told["port"], told["name"]) == ("198.51.100.7", 80, "api.example.com")
    assert "198.51.100.7" in kit.run("curl", "-sS", "http://198.51.100.7/")
