"""How long an address is open: TTL, passes, zombies, caps; lab time runs faster than the wall."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from fqdnlab.lab import Lab, machine_service
from fqdnlab.testing import eventually
from tests.lab_kit import Site, cnp, dns, names

A, B, C = "198.51.100.7", "198.51.100.200", "203.0.113.9"
API, WWW = "api.example.com", "www.example.com"
POLICY = cnp("names", dns("*"), names("*.example.com", port="80"))
#: 30 lab seconds a wall second.
SCALE, INTERVAL, MIN_TTL = 30.0, 30.0, 15


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    settings = {
        "time_scale": SCALE,
        "collection_interval": INTERVAL,
        "min_ttl": MIN_TTL,
        "max_ips_per_name": 3,
    }
    with machine_service(), Lab(f"time-{os.getpid()}", **settings) as lab:
        lab.endpoint("web", labels={"app": "web"})
        lab.endpoint("too", labels={"app": "web"})
        lab.apply(POLICY)
        yield Site(lab)


def states(site: Site, address: str) -> list[str]:
    frame = site.lab.mappings()
    return sorted(set(frame[frame["ip"] == address]["state"]))


def closes(site: Site, address: str, patience: float) -> float:
    """When a new connection to `address` is not let in any more (monotonic)."""
    eventually(lambda: site.tcp("web", (address, 80)) == ["dropped"], patience, "it to close")
    return time.monotonic()


def test_an_address_is_open_at_least_its_ttl_and_at_most_an_interval_more(site: Site) -> None:
    ttl = 45
    site.lab.world.set(API, [A], ttl)
    begin = time.monotonic()
    assert site.ask("web", API).addresses == (A,)
    learned = time.monotonic()
    while (now := time.monotonic()) < begin + ttl / SCALE:
        opened = site.tcp("web", (A, 80), patience=5)
        assert opened == ["open"], f"closed {time.monotonic() - learned:.2f} s after the answer"
        assert time.monotonic() - now < 5
    # The last probe may have taken its silence; what it sees is from its beginning on.
    longest = learned + (ttl + INTERVAL) / SCALE
    closed = closes(site, A, 10)
    assert closed - 0.3 <= longest + 1.0, f"{closed - longest:.2f} s late"


def test_min_ttl_lengthens_a_life_and_the_client_is_told_the_truth(site: Site) -> None:
    site.lab.world.set(API, [B], 0)
    begin = time.monotonic()
    assert site.ask("web", API).addresses == (B,)
    while time.monotonic() < begin + MIN_TTL / SCALE:
        assert site.tcp("web", (B, 80), patience=5) == ["open"]
    row = site.lab.mappings().set_index("ip").loc[B]
    assert row["ttl"] == 0
    closes(site, B, 10)


def test_an_expired_address_is_open_to_established_flows_alone(site: Site) -> None:
    site.learn("web", API, C, ttl=45)
    with site.hold("web", C) as flow:
        eventually(lambda: states(site, C) == ["zombie"], 10, "the pass after its expiry")
        for _ in range(5):  # passes, as long as the flow lives
            site.lab.collect()
            assert flow.alive()
        site.check("web", {(C, 80): "dropped"})
        site.check("too", {(C, 80): "dropped"})
        assert flow.alive()
        eventually(lambda: "ZOMBIE_NEW_FLOW" in str(reasons(site, C)), 10, "the drop's reason")
        assert site.lab.agent_status().zombies >= 1
        site.learn("web", API, C)  # a look-up revives it
        site.check("web", {(C, 80): "open"})
        assert flow.alive()


def reasons(site: Site, address: str) -> list[tuple[str, str, str]]:
    frame = site.lab.flows()
    mine = frame[(frame["verdict"] == "DROPPED") & (frame["address"] == address)]
    return sorted(set(zip(mine["reason"], mine["reason_text"], mine["mapping_state"], strict=True)))


def test_the_cap_of_a_name_lets_the_earliest_go(site: Site) -> None:
    first = ["192.0.2.1", "192.0.2.2"]
    site.learn("web", WWW, *first, ttl=3000)
    later = ["192.0.2.3", "192.0.2.4", "192.0.2.5"]
    site.learn("web", WWW, *later, ttl=6000)
    site.lab.collect()
    site.check("web", {(a, 80): "dropped" for a in first} | {(a, 80): "open" for a in later})


def test_a_removed_policy_cuts_zombies_too(site: Site) -> None:
    site.learn("web", API, C, ttl=45)
    with site.hold("web", C) as flow:
        eventually(lambda: states(site, C) == ["zombie"], 10, "the pass after its expiry")
        assert flow.alive()
        site.lab.apply(cnp("names", dns("*")))
        assert not flow.alive(0.5)
        site.lab.apply(POLICY)
        assert flow.alive(5)


def test_nothing_is_collected_after_a_start_until_an_interval_has_passed(site: Site) -> None:
    site.learn("web", API, A, ttl=45)
    site.lab.agent.kill()
    site.lab.proxy.stop()  # what it keeps is not handed over
    site.lab.agent.start()
    begin = time.monotonic()
    eventually(lambda: time.monotonic() > begin + 2 * INTERVAL / SCALE, 10, "two intervals")
    assert states(site, A) == ["expired"]
    site.check("web", {(A, 80): "open"})
    resumed = time.monotonic()
    site.lab.proxy.cont()
    eventually(lambda: states(site, A) in ([], ["zombie"]), 10, "a pass")
    assert time.monotonic() - resumed > 0.8 * INTERVAL / SCALE


def test_lab_time_and_the_next_pass_are_told(site: Site) -> None:
    wall, first = time.monotonic(), site.lab.agent_status()
    eventually(lambda: site.lab.agent_status().lab_time > first.lab_time + 15, 10, "lab time")
    assert time.monotonic() - wall > 0.3
    before = time.time()
    told = site.lab.agent_status().next_collection
    assert before - 0.5 < told <= time.time() + INTERVAL / SCALE


def test_grace_keeps_an_idle_zombie(site: Site) -> None:
    with Lab(f"grace-{os.getpid()}", idle_grace=3600.0, collection_interval=3600.0) as lab:
        lab.endpoint("web", labels={"app": "web"})
        lab.apply(POLICY)
        graceful = Site(lab)
        graceful.learn("web", API, A, ttl=0)
        eventually(lambda: lab.collect().zombies == 1, 10, "a zombie")
        done = [lab.collect().removed for _ in range(3)]
        assert done == [0, 0, 0]
        assert states(graceful, A) == ["zombie"]
        graceful.check("web", {(A, 80): "dropped"})
