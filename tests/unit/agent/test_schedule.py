"""When passes are, and what may be promised; snapshots and who has them."""

from __future__ import annotations

import threading

import pytest

from fqdnlab.agent import schedule as module
from fqdnlab.agent.publisher import Publisher
from fqdnlab.agent.schedule import Schedule
from fqdnlab.pb import fqdndata_pb2 as pb

SECOND = 10**9


class Clock:
    """Time as an argument, where the schedule asks for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000 * SECOND
        monkeypatch.setattr(module, "boottime", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_before_it_begins_only_the_ttl_is_promised(clock: Clock) -> None:
    plan = Schedule(60, 1.0)
    assert not plan.begun
    assert plan.pass_after(clock.now + 5) == clock.now + 5


def test_the_first_pass_is_an_interval_after_the_beginning(clock: Clock) -> None:
    plan = Schedule(60, 1.0)
    clock.now += 500 * SECOND
    plan.begin()
    assert plan.next_pass() == clock.now + 60 * SECOND
    clock.now += SECOND
    plan.begin()  # a second proxy changes nothing
    assert plan.next_pass() == clock.now + 59 * SECOND


@pytest.mark.parametrize(("expiry", "steps"), [(1, 1), (60, 1), (61, 2), (120, 2)])
def test_what_expires_lives_till_the_next_pass(clock: Clock, expiry: int, steps: int) -> None:
    plan = Schedule(60, 1.0)
    plan.begin()
    assert plan.pass_after(clock.now + expiry * SECOND) == clock.now + steps * 60 * SECOND


def test_passes_that_were_missed_are_not_made_up_for(clock: Clock) -> None:
    plan = Schedule(60, 1.0)
    plan.begin()
    begin = clock.now
    clock.now += 200 * SECOND
    plan.passed()
    assert plan.next_pass() == begin + 240 * SECOND


def test_lab_time_and_the_hold_shorten_the_interval() -> None:
    assert Schedule(60, 60.0).interval_ns == SECOND
    assert Schedule(60, 60.0, hold=0.1).interval_ns == pytest.approx(0.9 * SECOND)
    assert Schedule(60, 600.0, hold=0.1).interval_ns == pytest.approx(0.05 * SECOND)


# --- snapshots ----------------------------------------------------------------------------------


def state(number: int) -> pb.PolicyState:
    made = pb.PolicyState()
    made.egress_l7_dns_policy.add(source_endpoint_id=number)
    return made


def test_an_equal_snapshot_is_no_new_one() -> None:
    publisher = Publisher()
    assert [publisher.publish(state(n)) for n in (1, 1, 2)] == [1, 1, 2]


def test_who_has_not_acknowledged_is_late() -> None:
    publisher = Publisher()
    assert publisher.wait(publisher.publish(state(1)), 0) == []
    one, two = publisher.connect("one"), publisher.connect("two")
    publisher.acknowledge(one, 1)
    assert publisher.wait(1, 0) == ["two"]
    publisher.acknowledge(two, 1)
    assert publisher.wait(1, 0) == []
    assert publisher.wait(publisher.publish(state(2)), 0.01) == ["one", "two"]
    publisher.disconnect(two)
    assert publisher.wait(2, 0) == ["one"]
    assert publisher.acked == 1


def test_each_snapshot_is_acknowledged_before_the_next_is_sent() -> None:
    publisher = Publisher()
    publisher.publish(state(1))
    session = publisher.connect("one")
    stream = publisher.snapshots(session)
    assert next(stream).request_id == "1"
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(next(stream).request_id))
    thread.start()
    for number in (2, 3):
        publisher.publish(state(number))
    thread.join(0.05)
    assert got == []
    publisher.acknowledge(session, 1)
    thread.join(10)
    assert got == ["3"], "the newest, and no other"
    publisher.close()
    assert list(stream) == []


def test_leases_are_forgotten_by_every_stream() -> None:
    publisher = Publisher()
    first, second = publisher.open_queue(), publisher.open_queue()
    publisher.forget_leases()
    for one in (first, second):
        told = one.get(timeout=1)
        assert told is not None
        assert told.forget_leases
    publisher.close_queue(second)
    publisher.close()
    assert first.get(timeout=1) is None
    assert second.empty()
