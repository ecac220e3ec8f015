"""Lab time changes its speed: it goes on from where it was, and no promise is broken by it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fqdnlab.agent import schedule as module
from fqdnlab.agent.recorder import Recorder, replay
from fqdnlab.agent.saved import fill, policies_body, state_body
from fqdnlab.agent.schedule import Schedule
from fqdnlab.agent.state import AgentState
from fqdnlab.model.labtime import FASTEST, SLOWEST, LabClock, check_time_scale
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.settings import LabSettings
from tests.unit.agent.kit import SECOND, WEB, Agent

API, A = "api.example.com.", "198.51.100.7"
scales = st.sampled_from([0.5, 1.0, 10.0, 60.0, 600.0])
instants = st.integers(0, 10_000 * SECOND)


@given(st.lists(st.tuples(scales, instants), max_size=6), instants)
def test_it_never_jumps_or_runs_backwards(changes: list[tuple[float, int]], first: int) -> None:
    clock, now = LabClock(1.0), first
    for scale, step in changes:
        before = clock.lab(now)
        clock = clock.changed(scale, now)
        assert clock.lab(now) == before
        now += step
        assert clock.lab(now) - before == pytest.approx(step * scale, abs=2)


@given(scales, scales, instants, instants)
def test_what_was_to_come_comes_at_the_same_lab_time(
    old: float, new: float, since: int, later: int
) -> None:
    clock = LabClock(old, 77 * SECOND, since // 2)
    moved = clock.moved(since + later, new, since)
    again = clock.changed(new, since)
    assert again.lab(moved) == pytest.approx(clock.lab(since + later), abs=1 + 2 * new)
    assert clock.moved(since, new, since) == since


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "10", None, 1e-9, 1e9])
def test_what_is_no_speed_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"must be a number, 0\.01 to 10,000 lab seconds"):
        check_time_scale(value)
    with pytest.raises(ValueError, match="time_scale"):
        LabSettings.from_dict({"time_scale": value})


def test_bounds_are_speeds() -> None:
    assert [check_time_scale(v) for v in (SLOWEST, 1, FASTEST)] == [0.01, 1.0, 10_000.0]


def test_a_clock_is_saved_and_read_again() -> None:
    clock = LabClock(60.0, 5, 7)
    assert LabClock.from_row(json.loads(json.dumps(clock.to_row()))) == clock
    for row in ([], [0, 1, 2], ["x", 1, 2], None):
        with pytest.raises((ValueError, TypeError)):
            LabClock.from_row(row)


# --- mappings -----------------------------------------------------------------------------------


def expires(agent: Agent) -> float:
    return next(iter(agent.state.mappings)).expires / SECOND


@pytest.mark.parametrize(("scale", "comes"), [(60.0, 105.0), (10.0, 130.0), (0.5, 700.0)])
def test_an_expiry_keeps_its_lab_time(scale: float, comes: float) -> None:
    agent = Agent(WEB)
    agent.learn(API, A, ttl=300, now=0)
    agent.run(agent.state.set_time_scale(scale, 0))
    agent.run(agent.state.set_time_scale(1.0, 0))
    assert expires(agent) == pytest.approx(300)
    agent.learn(API, A, ttl=300, now=100 * SECOND)
    agent.run(agent.state.set_time_scale(scale, 100 * SECOND))
    assert expires(agent) == pytest.approx(comes)
    agent.run(agent.state.set_time_scale(2 * scale, int(comes + 1) * SECOND))
    assert expires(agent) == pytest.approx(comes + 0.5), "half as far back, by the clock"


def test_the_hold_is_no_lab_time() -> None:
    agent = Agent(WEB, hold=0.5)
    agent.learn(API, A, ttl=300, now=0)
    agent.run(agent.state.set_time_scale(100.0, SECOND // 10))
    assert expires(agent) == pytest.approx(3.5), "a client may be told at the hold deadline"


def test_what_was_learned_before_is_spared_an_interval() -> None:
    """A pass that was promised for it would have come up to an interval after its expiry."""
    agent = Agent(WEB, collection_interval=60.0)
    agent.learn(API, A, ttl=300, now=0)
    agent.run(agent.state.set_time_scale(60.0, SECOND))
    agent.collect(int(5.9 * SECOND))
    assert agent.verdict(A, 443) == "allow"
    agent.collect(int(6.99 * SECOND))
    assert agent.verdict(A, 443) == "none"
    agent.learn(API, A, ttl=300, now=10 * SECOND)
    agent.collect(15 * SECOND)
    assert agent.verdict(A, 443) == "none", "what was learned since is not"


@settings(max_examples=300)
@example([(0.5, 1), (60.0, 1)], 60, 60)
@given(
    st.lists(st.tuples(scales, st.integers(1, 30)), min_size=1, max_size=4),
    st.integers(1, 200),
    st.integers(0, 100),
)
def test_a_promise_holds_whatever_the_speed_becomes(
    changes: list[tuple[float, int]], ttl: int, ask: int
) -> None:
    """A client that was given a leased answer may use the address for its TTL of lab time."""
    with pytest.MonkeyPatch.context() as patch:
        now = 1000 * SECOND
        patch.setattr(module, "boottime", lambda: now)
        agent = Agent(WEB, collection_interval=60.0, hold=0.1)
        plan = Schedule(60.0, 1.0, 0.1)
        plan.begin()
        agent.learn(API, A, ttl=ttl, now=now)
        promise = plan.pass_after(next(iter(agent.state.mappings)).expires)
        now += min(ask * SECOND, max(0, promise - ttl * SECOND - now))  # leased till then
        until = agent.state.clock.lab(now) + ttl * SECOND  # the client's, in lab time
        for scale, seconds in changes:
            agent.run(agent.state.set_time_scale(scale, now))
            plan.set_time_scale(scale, now)
            end = now + seconds * SECOND
            while now < end:
                now = min(end, plan.next_pass())
                if now == plan.next_pass():
                    agent.collect(now)
                    plan.passed()
                if agent.state.clock.lab(now) + 1000 < until:
                    assert agent.verdict(A, 443) == "allow"


# --- kept, told, replayed -----------------------------------------------------------------------


def test_the_speed_outlives_the_agent() -> None:
    agent = Agent(WEB)
    agent.run(agent.state.set_time_scale(60.0, 5 * SECOND))
    other = AgentState(LabSettings())
    fill(other, json.loads(json.dumps(state_body(agent.state))))
    assert other.clock == agent.state.clock == LabClock(60.0, 5 * SECOND, 5 * SECOND)
    old = {k: v for k, v in state_body(agent.state).items() if k != "time"}
    third = AgentState(LabSettings(time_scale=3.0))
    fill(third, old)
    assert third.clock.scale == 3.0, "files of before"


def test_a_change_replays() -> None:
    agent, recorder = Agent(WEB), Recorder()
    base = {"policies": policies_body(agent.state), "state": state_body(agent.state)}
    recorder.saved()
    recorder.note(SECOND, "time", 60.0, agent.state.set_time_scale(60.0, SECOND))
    dump = json.loads(json.dumps(recorder.dump(base, agent.state.settings)))
    twin, faults = replay(dump, parse_policies)
    assert faults == []
    assert twin.clock == agent.state.clock


# --- passes -------------------------------------------------------------------------------------


def test_what_is_left_till_the_next_pass_is_so_much_lab_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000 * SECOND
    monkeypatch.setattr(module, "boottime", lambda: now)
    plan = Schedule(60.0, 1.0)
    plan.begin()
    plan.set_time_scale(60.0, now + 30 * SECOND)
    assert plan.next_pass() == now + 30 * SECOND + SECOND // 2
    assert plan.interval_ns == SECOND
    plan.set_time_scale(1.0, now + 30 * SECOND)
    assert plan.next_pass() == now + 60 * SECOND
