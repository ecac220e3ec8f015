"""What the timeline draws, before it is drawn."""

from __future__ import annotations

from typing import Any

from fqdnlab.plots.intervals import Interval, Outage, mapping_intervals, outages


def record(
    time: float,
    ips: tuple[str, ...],
    ttl: int = 10,
    state: str = "enforced",
    verdict: str = "FORWARDED",
) -> dict[str, Any]:
    return {
        "time": time,
        "query": "api.example.com.",
        "ips": ips,
        "ttl": ttl,
        "verdict": verdict,
        "mapping_state": state,
    }


def test_an_outage_lasts_from_kill_to_restart_or_to_the_end() -> None:
    faults = [
        {"time": 3.0, "process": "agent", "action": "kill"},
        {"time": 5.0, "process": "proxy", "action": "upgrade"},
        {"time": 9.0, "process": "agent", "action": "restart"},
        {"time": 11.0, "process": "agent", "action": "stop"},
    ]
    assert outages(faults, 20.0) == [
        Outage("agent", "killed", 3.0, 9.0),
        Outage("proxy", "upgraded", 5.0, 5.0),
        Outage("agent", "hung", 11.0, 20.0),
    ]


def test_a_restart_without_a_kill_is_no_outage() -> None:
    assert outages([{"time": 1.0, "process": "agent", "action": "restart"}], 5.0) == []
    faults = [
        {"time": 1.0, "process": "agent", "action": a} for a in ("stop", "upgrade", "upgrade")
    ]
    assert [(o.what, o.stop) for o in outages(faults, 9.0)] == [("hung", 1.0), ("upgraded", 1.0)]


def test_machines_and_their_links_are_away_too() -> None:
    """By node, where there are several; a reset is a moment."""
    faults = [
        {"time": 1.0, "process": "vm", "action": "suspend", "node": "node"},
        {"time": 2.0, "process": "link", "action": "cut", "node": "node2"},
        {"time": 3.0, "process": "agent", "action": "kill", "node": "node"},
        {"time": 4.0, "process": "vm", "action": "resume", "node": "node"},
        {"time": 5.0, "process": "agent", "action": "restart", "node": "node2"},
        {"time": 6.0, "process": "vm", "action": "reset", "node": "node2"},
    ]
    found = outages(faults, 9.0)
    assert [(o.text, o.start, o.stop) for o in found] == [
        ("node machine suspended", 1.0, 4.0),
        ("node2 link cut", 2.0, 6.0),
        ("node agent killed", 3.0, 9.0),
        ("node2 machine reset", 6.0, 6.0),
    ]


def test_an_answer_waits_for_its_own_nodes_agent() -> None:
    rows = [record(5, ("192.0.2.9",), state="waits") | {"node": "node2"}]
    away = [
        Outage("agent", "killed", 3.0, 8.0, "node"),
        Outage("agent", "hung", 4.0, 12.0, "node2"),
    ]
    assert [(i.state, i.stop) for i in mapping_intervals(rows, away, 100.0)] == [
        ("waits", 12.0),
        ("enforced", 22.0),
    ]


def test_answers_for_the_same_address_join_while_they_overlap() -> None:
    rows = [record(0, ("192.0.2.1",)), record(8, ("192.0.2.1",)), record(30, ("192.0.2.1",))]
    assert mapping_intervals(rows, [], 100.0) == [
        Interval("api.example.com", "192.0.2.1", 0.0, 18.0, "enforced"),
        Interval("api.example.com", "192.0.2.1", 30.0, 40.0, "enforced"),
    ]


def test_what_waits_for_the_agent_has_its_whole_ttl_once_it_is_back() -> None:
    rows = [record(5, ("192.0.2.9",), state="waits")]
    assert mapping_intervals(rows, [Outage("agent", "killed", 3.0, 12.0)], 100.0) == [
        Interval("api.example.com", "192.0.2.9", 5.0, 12.0, "waits"),
        Interval("api.example.com", "192.0.2.9", 12.0, 22.0, "enforced"),
    ]


def test_what_never_stops_waiting_waits_to_the_end() -> None:
    rows = [record(5, ("192.0.2.9",), state="waits")]
    (one,) = mapping_intervals(rows, [Outage("agent", "killed", 3.0, 50.0)], 50.0)
    assert (one.state, one.stop) == ("waits", 50.0)


def test_a_refusal_is_a_moment_and_never_joins() -> None:
    rows = [record(1, (), verdict="DROPPED"), record(1, (), verdict="DROPPED")]
    assert [i.state for i in mapping_intervals(rows, [], 9.0)] == ["refused", "refused"]
