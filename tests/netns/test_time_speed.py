"""The speed of lab time is changed in a living lab: expiry, leases and recordings go by it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import fqdnlab
from fqdnlab.errors import UnavailableError, UsageError
from fqdnlab.lab import Lab, machine_service
from fqdnlab.testing import eventually
from tests.lab_kit import Site, cnp, dns, names

A, B, C = "198.51.100.7", "198.51.100.200", "203.0.113.9"
API, WWW = "api.example.com", "www.example.com"
POLICY = cnp("names", dns("*"), names("*.example.com", port="80"))
TTL, INTERVAL = 300, 30.0


@pytest.fixture
def site() -> Iterator[Site]:
    with machine_service(), Lab(f"speed-{os.getpid()}", collection_interval=INTERVAL) as lab:
        lab.endpoint("web", labels={"app": "web"})
        lab.apply(POLICY)
        yield Site(lab)


def left(lab: Lab, address: str) -> float:
    """Seconds till a mapping expires."""
    row = lab.mappings().set_index("ip").loc[address]
    return float(row["expiration_time"].timestamp()) - time.time()


def closes(site: Site, address: str, patience: float) -> float:
    eventually(lambda: site.tcp("web", (address, 80)) == ["dropped"], patience, "it to close")
    return time.monotonic()


def test_a_ttl_of_300_s_is_over_in_5_s_at_60_times(site: Site) -> None:
    lab = site.lab
    assert lab.time_scale == 1.0
    site.learn("web", API, A, ttl=TTL)
    assert left(lab, A) > TTL - 20
    lab.time_scale = 60
    begin = time.monotonic()
    assert lab.time_scale == 60.0
    assert left(lab, A) <= TTL / 60 + 0.2
    assert site.ask("web", API).addresses == (A,)  # leased or not: for its TTL from now
    while time.monotonic() < begin + TTL / 60:
        assert site.tcp("web", (A, 80), patience=5) == ["open"]
    # At most two intervals more, as it was there before the change; and the probe's silence.
    assert closes(site, A, 15) - begin < (TTL + 2 * INTERVAL) / 60 + 2.0
    site.learn("web", WWW, B, ttl=TTL)
    lab.time_scale = 1
    assert left(lab, B) > TTL - 30
    site.check("web", {(B, 80): "open"})


def test_the_proxy_reckons_leases_in_the_new_time(site: Site) -> None:
    """Slower: what was promised in fast time is asked for again."""
    lab = site.lab
    lab.time_scale = 60
    site.learn("web", API, A, ttl=TTL)
    for _ in range(5):
        site.ask("web", API)
    assert left(lab, A) < TTL / 60 + 1
    lab.time_scale = 1
    assert site.ask("web", API).addresses == (A,)
    assert left(lab, A) > TTL - 1, "the client may use it for its TTL of the time that is now"


def test_lab_time_goes_on_and_outlives_agent_and_proxy(site: Site) -> None:
    lab = site.lab
    seen = [lab.agent_status().lab_time]
    for scale in (60, 1, 600, 0.5):
        lab.time_scale = scale
        seen += [lab.agent_status().lab_time for _ in range(3)]
    assert all(0 <= b - a < 600 for a, b in pairwise(seen)), seen
    lab.time_scale = 60
    before, wall = lab.agent_status().lab_time, time.monotonic()
    lab.agent.kill()
    with pytest.raises(UnavailableError, match="agent"):
        lab.time_scale = 10
    lab.proxy.restart()  # it goes by its own file
    lab.agent.restart()
    assert lab.time_scale == 60.0
    passed = lab.agent_status().lab_time - before
    assert passed == pytest.approx(60 * (time.monotonic() - wall), rel=0.05, abs=10)
    site.learn("web", API, A, ttl=TTL)
    eventually(lambda: A in set(lab.mappings()["ip"]), 5, "what was kept till proxy and agent meet")
    assert left(lab, A) <= TTL / 60 + 0.2
    again = Lab(lab.name, collection_interval=INTERVAL)  # a notebook's first cell
    assert again.time_scale == 60.0
    again.close()


def test_what_is_no_speed_is_refused_in_words(site: Site) -> None:
    for value in (0, -1, float("nan"), "fast", 1e9, True):
        with pytest.raises(UsageError, match=r"0\.01 to 10,000 lab seconds a second, not"):
            site.lab.time_scale = value  # type: ignore[assignment]
    assert site.lab.time_scale == 1.0


def test_a_recording_carries_it(site: Site, tmp_path: Path) -> None:
    lab = site.lab
    with lab.record(str(tmp_path / "run.fqdnlab"), interval=0.1):
        before = time.time()
        lab.time_scale = 60
        site.learn("web", API, A, ttl=TTL)
    recording = fqdnlab.open_recording(tmp_path / "run.fqdnlab")
    assert recording.time_scale() == 60.0
    assert recording.time_scale(before) == 1.0
    changes = recording.operations()
    assert list(changes[changes["kind"] == "time"]["what"]) == [60.0]
