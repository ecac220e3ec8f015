"""Ways 2.7 to 2.10: when an answer is released, and how it is marked."""

from __future__ import annotations

import pytest

from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.journal import Kept
from fqdnlab.dns.proxy.wire import SERVFAIL
from fqdnlab.model.dnsrecord import Early, Outcome
from tests.unit.dns.kit import SECOND, Bench, ask, reply

API, OTHER = "198.51.100.7", "198.51.100.8"
PACKED = bytes([198, 51, 100, 7])


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- the order


def test_released_after_the_acknowledgement_and_not_before(bench: Bench) -> None:
    t = bench.answer(API)
    (held,) = bench.agent.given
    assert held.mapping == Kept(1, "api.example.com.", (PACKED,), 60)
    assert (bench.sent, t.done) == ([], False)
    bench.acknowledge()
    (sent,) = bench.sent
    assert sent[:2] == b"\0\7"  # the client's own id
    assert sent[2:] == t.answer == reply(t, API)  # every other octet as it came
    assert (t.early, bench.records) == (Early.NO, [(t, Outcome.ANSWERED, t.answer)])


def test_the_deadline_releases_and_marks(bench: Bench) -> None:
    t = bench.answer(API)
    bench.loop.pass_time(0.099)
    assert not bench.sent
    bench.loop.pass_time(0.002)
    assert (len(bench.sent), t.early) == (1, Early.HOLD_DEADLINE)
    assert (bench.counts.update_timeouts, bench.counts.early[Early.HOLD_DEADLINE]) == (1, 1)


def test_a_late_acknowledgement_sends_nothing_twice_and_is_a_lease(bench: Bench) -> None:
    bench.answer(API)
    bench.loop.pass_time(0.2)
    bench.acknowledge()
    assert len(bench.sent) == 1
    bench.answer(API)
    assert (len(bench.sent), len(bench.agent.given)) == (2, 1)


def test_each_has_its_own_deadline(bench: Bench) -> None:
    first = bench.answer(API)
    bench.loop.pass_time(0.06)
    second = bench.answer(OTHER, name="b.example.com")
    bench.loop.pass_time(0.06)
    assert (first.done, second.done) == (True, False)
    bench.loop.pass_time(0.06)
    assert second.early == Early.HOLD_DEADLINE


def test_the_agent_dead_the_answer_goes_at_once_and_the_mapping_is_kept(bench: Bench) -> None:
    bench.agent.connected = False
    t = bench.answer(API)
    assert (len(bench.sent), t.early) == (1, Early.AGENT_DEAD)
    assert bench.agent.kept == [Kept(1, "api.example.com.", (PACKED,), 60)]
    assert bench.counts.early[Early.AGENT_DEAD] == 1


def test_an_agent_that_dies_lets_go_of_what_it_had(bench: Bench) -> None:
    early, late = bench.answer(API), bench.answer(OTHER, name="b.example.com")
    bench.loop.pass_time(0.05)
    for held in bench.agent.given:
        bench.answers.agent_gone(held)
    assert [t.early for t in (early, late)] == [Early.AGENT_DEAD] * 2
    assert [k.name for k in bench.agent.kept] == ["api.example.com.", "b.example.com."]


def test_one_that_had_been_released_at_the_deadline_keeps_its_mark(bench: Bench) -> None:
    t = bench.answer(API)
    bench.loop.pass_time(0.2)
    bench.answers.agent_gone(bench.agent.given[0])
    assert (t.early, len(bench.agent.kept)) == (Early.HOLD_DEADLINE, 1)


def test_a_refused_mapping_is_counted_and_marked(bench: Bench) -> None:
    """The kernel's maps are full: the answer goes, but nobody takes it for an open address."""
    t = bench.answer(API)
    bench.acknowledge(seconds=0)
    assert (len(bench.sent), t.early, bench.counts.refused_mappings) == (1, Early.REFUSED, 1)
    assert bench.counts.early[Early.REFUSED] == 1
    bench.answer(API)
    assert len(bench.agent.given) == 2  # no lease came of it


def test_hold_off_hands_over_and_waits_for_nothing() -> None:
    bench = Bench(hold=0.0)
    t = bench.answer(API)
    assert (len(bench.sent), t.early) == (1, Early.HOLD_OFF)
    assert len(bench.agent.given) == 1
    bench.acknowledge()
    assert bench.answer(API).early == Early.NO  # it is there: nothing is early about it


# --- leases


def test_a_lease_spares_the_call_only_for_what_it_covers(bench: Bench) -> None:
    bench.answer(API, ttl=60)
    bench.acknowledge(seconds=100)
    assert bench.answer(API, ttl=60).done  # spared
    assert len(bench.agent.given) == 1
    assert not bench.answer(API, ttl=101).done  # a longer TTL than was promised
    assert not bench.answer(API, OTHER, ttl=60).done  # one more address
    assert not bench.answer(API, ttl=60, endpoint=2).done  # another endpoint
    assert not bench.answer(API, ttl=60, name="b.example.com").done  # another name
    assert len(bench.agent.given) == 5


def test_a_lease_counts_in_lab_time() -> None:
    bench = Bench(time_scale=10.0)
    bench.answer(API, ttl=60)
    bench.acknowledge(seconds=8)
    assert bench.answer(API, ttl=60).done  # 60 s of the lab are 6 s
    assert not bench.answer(API, ttl=90).done


def test_while_the_speed_of_time_changes_no_lease_is_used(bench: Bench) -> None:
    bench.answer(API, ttl=60)
    bench.acknowledge(seconds=100)
    bench.answers.set_time(1.0, leases=False)
    asked = bench.answer(API, ttl=60)
    assert not asked.done
    bench.acknowledge(seconds=100)
    bench.acknowledge(seconds=100)  # ... as its time is not known, it is asked again, once
    assert asked.done
    bench.answers.set_time(0.1, leases=True)
    assert not bench.answer(API, ttl=60).done, "promises of another time are forgotten"
    bench.acknowledge(seconds=700)
    assert bench.answer(API, ttl=60).done
    assert not bench.answer(API, ttl=71).done, "71 s of the lab are 710 s"


def test_leases_are_forgotten_on_the_agent_s_word(bench: Bench) -> None:
    bench.answer(API)
    bench.acknowledge()
    bench.answers.forget_leases()
    assert not bench.answer(API).done


def test_no_client_is_given_a_ttl_longer_than_the_promise(bench: Bench) -> None:
    """One that joined a slow hand-over: the promise, made earlier, is asked for again."""
    t = bench.answer(API, ttl=60)
    bench.answers.acknowledged(bench.agent.given[0], boottime() + 59 * SECOND)
    assert (t.done, len(bench.agent.given)) == (False, 2)
    assert bench.agent.given[1].mapping == bench.agent.given[0].mapping
    bench.acknowledge()
    assert (t.done, t.early) == (True, Early.NO)


def test_it_is_asked_for_again_once(bench: Bench) -> None:
    t = bench.answer(API, ttl=60)
    for number in range(2):
        bench.answers.acknowledged(bench.agent.given[number], boottime())
    assert (t.done, len(bench.agent.given)) == (True, 2)


# --- the same mapping, the same name


def test_those_that_learn_the_same_share_one_call(bench: Bench) -> None:
    for _ in range(5):
        bench.answer(API)
    assert len(bench.agent.given) == 1
    bench.acknowledge()
    assert len(bench.sent) == 5


def test_two_mappings_of_one_name_each_have_their_own_waiters(bench: Bench) -> None:
    first, second = bench.answer(API), bench.answer(OTHER)
    bench.acknowledge(0)
    assert (first.done, second.done) == (True, False)
    bench.acknowledge(1)
    assert (second.done, second.early) == (True, Early.NO)


def test_in_whichever_order_they_are_acknowledged(bench: Bench) -> None:
    first, second = bench.answer(API), bench.answer(OTHER)
    bench.acknowledge(1)
    assert (first.done, second.done) == (False, True)
    bench.acknowledge(0)
    assert first.done


def test_the_name_s_lock_keeps_the_order(bench: Bench) -> None:
    """Endpoint 2 has a lease for the name; endpoint 1's answer came first and goes first."""
    bench.answer(API, endpoint=2)
    bench.acknowledge()
    first = bench.answer(API, endpoint=1)
    second = bench.answer(API, endpoint=2)
    assert (first.done, second.done) == (False, False)
    bench.acknowledge()
    assert [t for t, _, _ in bench.records][-2:] == [first, second]


def test_one_that_only_waited_for_the_lock_is_not_early(bench: Bench) -> None:
    """Its own addresses are in the kernel."""
    bench.answer(API, endpoint=2)
    bench.acknowledge()
    first, second = bench.answer(API, endpoint=1), bench.answer(API, endpoint=2)
    bench.loop.pass_time(0.2)
    assert (first.early, second.early) == (Early.HOLD_DEADLINE, Early.NO)
    assert second.done


def test_without_the_lock_it_goes_at_once() -> None:
    bench = Bench(name_lock=False)
    bench.answer(API, endpoint=2)
    bench.acknowledge()
    bench.answer(API, endpoint=1)
    assert bench.answer(API, endpoint=2).done


# --- what is not learned from


@pytest.mark.parametrize("rcode", [2, 3, 5])
def test_errors_pass_as_they_are(bench: Bench, rcode: int) -> None:
    t = ask(sent=bench.sent)
    bench.answers.answered(t, reply(t, API, rcode=rcode), boottime())
    assert (bench.agent.given, len(bench.sent)) == ([], 1)
    assert bench.sent[0][3] & 15 == rcode


def test_no_addresses_nothing_to_wait_for(bench: Bench) -> None:
    assert bench.answer().done
    assert not bench.agent.given


def test_what_cannot_be_read_is_servfail(bench: Bench) -> None:
    t = ask(sent=bench.sent)
    bench.answers.answered(t, reply(t, API)[:-1], boottime())
    assert bench.sent[0][3] & 15 == SERVFAIL
    assert (bench.agent.given, bench.counts.malformed) == ([], 1)
    assert bench.records[0][1] == Outcome.FAILED


def test_one_that_cannot_be_read_leaves_what_is_known_as_it_was() -> None:
    bench = Bench()
    first = bench.answer(API)
    bench.answers.answered(
        broken := ask(question=first.question), reply(first, OTHER)[:-1], boottime()
    )
    assert broken.done
    second = bench.answer(API)
    assert (first.done, second.done) == (False, False)  # its addresses are still to be waited for
    bench.acknowledge()
    assert first.done
    assert second.done


def test_a_failure_after_the_end_changes_nothing(bench: Bench) -> None:
    t = bench.answer()
    bench.answers.failed(t)
    assert (len(bench.sent), bench.counts.failed) == (1, 0)


def test_silent_failures_say_nothing_and_are_counted(bench: Bench) -> None:
    t = ask(sent=bench.sent)
    bench.answers.failed(t, silent=True)
    assert (bench.sent, bench.counts.failed, len(bench.records)) == ([], 1, 1)


# --- bounds


def test_a_silent_agent_is_not_given_without_end() -> None:
    bench = Bench(kept_mappings=10)
    for number in range(30):
        t = bench.answer(API, name=f"n{number}.example.com")
    assert len(bench.agent.given) == 11
    assert bench.counts.lost_mappings == 19
    assert (t.done, t.early) == (True, Early.HOLD_DEADLINE)
    for held in list(bench.agent.given):
        bench.answers.acknowledged(held, boottime() + 100 * SECOND)
    assert not bench.answer(API, name="again.example.com").done  # there is room again


def test_leases_are_bounded(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    monkeypatch.setattr("fqdnlab.dns.proxy.answers._MOST_LEASES", 4)
    for number in range(11):
        bench.answer(API, name=f"n{number}.example.com")
        bench.acknowledge()
    assert len(bench.answers._leases) <= 4
