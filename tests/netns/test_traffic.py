"""Traffic of endpoints: every kind, seen by the world and by the lab, and ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fqdnlab import Lab, machine_service
from fqdnlab.errors import UsageError
from fqdnlab.lab import Endpoint
from fqdnlab.lab.traffic import Kind
from fqdnlab.testing import eventually

NAME, ADDRESS, MOVED = "api.example.com", "198.51.100.7", "198.51.100.8"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with machine_service(), Lab("traffic") as made:
        made.world[NAME] = [ADDRESS]
        yield made


@pytest.fixture(scope="module")
def web(lab: Lab) -> Endpoint:
    return lab.endpoint("web", labels={"app": "web"})


@pytest.mark.parametrize("kind", ["connect", "reuse", "look-up"])
def test_it_is_counted_and_ends_when_asked(web: Endpoint, kind: Kind) -> None:
    with web.traffic(kind, NAME, 80, rate=20) as traffic:
        eventually(lambda: traffic.counts().ok >= 10, 20, "ten attempts that succeed")
    done = traffic.counts()
    assert not traffic.running
    assert (done.failed, done.started) == (0, done.ok)
    assert done.last == ("rcode 0" if kind == "look-up" else ADDRESS)


def test_reuse_asks_once_and_connect_each_time(lab: Lab, web: Endpoint) -> None:
    asked = {}
    for kind in ("reuse", "connect"):
        newest = lab.world.newest()
        done = web.traffic(kind, NAME, 80, rate=20, seconds=0.5).wait()
        questions = [q for q in lab.world.queries(since=newest, name=NAME) if q.type == "A"]
        asked[kind] = (len(questions), done.started)
    assert asked["reuse"][0] == 1
    assert asked["connect"][0] == asked["connect"][1] > 1


@pytest.mark.parametrize("port", [80, 443])
def test_a_held_connection_outlives_a_move(lab: Lab, web: Endpoint, port: int) -> None:
    with web.traffic("hold", NAME, port) as held:
        eventually(lambda: held.counts().ok > 2, 20, "pieces")
        lab.world[NAME] = [MOVED]
        before = held.counts().ok
        eventually(lambda: held.counts().ok > before + 2, 20, "more pieces")
    lab.world[NAME] = [ADDRESS]
    done = held.counts()
    assert (done.failed, done.last) == (0, ADDRESS)
    assert done.longest_gap < 5


def test_what_fails_is_counted_with_its_reason(web: Endpoint) -> None:
    done = web.traffic("connect", "nowhere.example.com", 80, rate=20, seconds=0.3).wait()
    assert done.ok == 0
    assert done.failed == done.started > 0
    assert "gaierror" in done.last


def test_what_cannot_be_is_told(web: Endpoint) -> None:
    with pytest.raises(UsageError, match="no traffic 'flood'"):
        web.traffic("flood", NAME)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="rate of 0/s"):
        web.traffic("connect", NAME, rate=0)


def test_a_table_has_all_that_came_before_it_was_asked_for(lab: Lab, web: Endpoint) -> None:
    for n in range(1, 11):
        address = f"203.0.113.{n}"
        assert web.connect(address, 80)
        assert address in set(lab.flows()["address"]), f"the flow to {address} is missing"
