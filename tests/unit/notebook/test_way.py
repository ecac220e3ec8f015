"""The way of a flow: what is lit, what waits, where it ends."""

from __future__ import annotations

from typing import Any

import pytest

from fqdnlab.explain import Explanation, Step
from fqdnlab.notebook.rows import view
from fqdnlab.notebook.seen import Proc
from fqdnlab.notebook.way_model import Counts, count, picture
from tests.unit.notebook.kit import T0, row, seen

SERVER = "10.96.0.10"
DEAD = Proc("agent", "dead", 100, 1, T0, last_exit="killed by SIGKILL")


def explained(
    verdict: str = "FORWARDED",
    result: str = "RESOLVED",
    mapping: str = "enforced",
    now: str = "",
    reason: str = "",
) -> Explanation:
    query = {"result": result, "server": SERVER, "ips": ["198.51.100.7"]}
    steps = [
        Step("query", "Query", "ok", "", query if result else {}),
        Step("mapping", "Mapping", "ok", "", {"mappings": [{"state": mapping}] if mapping else []}),
    ]
    if now:
        steps.append(Step("now", "Since then", "note", "", {"verdict": now}))
    return Explanation(
        "web", "", "lab", False, verdict, "", reason, None, tuple(steps), None
    )  # fmt: skip


NONE = Counts()


def drawn(made: Explanation, counts: Counts = NONE, **more: Any) -> dict[str, Any]:
    processes = more.pop("processes", {})
    fields = {"verdict": made.verdict} | more
    return picture(row(**fields), made, seen(processes=processes), counts)


def lit(found: dict[str, Any]) -> list[str]:
    """Edges in the order of their numbers."""
    some = sorted((e for e in found["edges"] if e["step"]), key=lambda e: e["step"])
    assert [e["step"] for e in some] == list(range(1, len(some) + 1))
    return [e["id"] for e in some]


def edge(found: dict[str, Any], key: str) -> dict[str, Any]:
    return next(e for e in found["edges"] if e["id"] == key)


def state(found: dict[str, Any], node: str) -> str:
    return str(next(n["state"] for n in found["nodes"] if n["id"] == node))


def test_a_packet_that_passed_lights_all_of_both_ways() -> None:
    found = drawn(explained(), tcp_flags="SYN")
    assert lit(found) == [
        "query", "redirect", "ask", "answer", "mapping", "entries", "release", "packet", "forward"
    ]  # fmt: skip
    assert found["cross"] is None
    assert {n["state"] for n in found["nodes"]} == {"ok"}
    assert edge(found, "packet")["text"] == "SYN"
    assert found["told"].startswith("1 query; 2 redirected; 3 asked")


def test_a_mapping_that_waits_is_dashed_and_the_packet_ends_at_the_enforcer() -> None:
    made = explained("DROPPED", "WAITS", "waits", reason="Policy denied")
    found = drawn(made, processes={"agent": DEAD})
    assert edge(found, "mapping")["state"] == "waits"
    assert edge(found, "mapping")["text"] == "mapping kept: agent down"
    assert [edge(found, e)["state"] for e in ("entries", "forward")] == ["pale", "pale"]
    assert found["cross"] == {
        "at": "enforcer", "text": "Policy denied: no entry yet", "count": 0
    }  # fmt: skip
    assert (state(found, "agent"), state(found, "address")) == ("away", "pale")
    assert "stopped at the enforcer: Policy denied" in found["told"]


def test_what_would_pass_now_has_no_cross_and_says_so() -> None:
    found = drawn(explained("DROPPED", "WAITS", "enforced", now="FORWARDED"))
    assert found["cross"] is None
    assert lit(found)[-1] == "forward"
    assert edge(found, "forward")["text"] == "would pass now"
    assert found["note"] == "it was DROPPED; this is what would become of it now"


def test_what_passed_and_would_not_now_has_a_cross() -> None:
    found = drawn(explained("FORWARDED", mapping="zombie", now="DROPPED"))
    assert found["cross"]["at"] == "enforcer"
    assert "DROPPED" not in lit(found)
    assert "it was FORWARDED" in found["note"]


def test_an_address_without_a_name_has_no_look_up() -> None:
    found = drawn(explained("DROPPED", result="", mapping="", reason="Policy denied"))
    assert lit(found) == ["packet"]
    assert found["cross"]["text"] == "Policy denied"
    assert [state(found, n) for n in ("proxy", "server", "address")] == ["pale"] * 3


def test_a_refused_question_ends_at_the_proxy() -> None:
    fields = {"kind": "dns", "result": "REFUSED", "address": SERVER, "ips": []}
    found = drawn(explained("DROPPED", mapping=""), **fields)
    assert lit(found) == ["query", "redirect", "release"]
    assert found["cross"]["at"] == "proxy"
    assert edge(found, "release")["text"] == "refused"
    assert state(found, "address") == "pale"


def test_a_name_that_is_not_there_is_answered_and_brings_no_mapping() -> None:
    fields = {"kind": "dns", "result": "NXDOMAIN", "address": SERVER, "ips": []}
    found = drawn(explained(mapping=""), **fields)
    assert lit(found) == ["query", "redirect", "ask", "answer", "release"]
    assert edge(found, "answer")["text"] == "no such name"


def test_what_comes_in_runs_the_other_way() -> None:
    found = drawn(explained(), direction="INGRESS")
    ends = [(e["from"], e["to"]) for e in found["edges"] if e["id"] in ("packet", "deliver")]
    assert ends == [("address", "enforcer"), ("enforcer", "endpoint")]


def test_a_question_seen_as_a_packet_goes_to_the_proxy() -> None:
    made = explained("REDIRECTED", result="", mapping="")
    assert lit(drawn(made, port=53, protocol="UDP")) == ["packet", "taken"]


@pytest.mark.parametrize("word", ["dead", "stopped"])
def test_processes_that_are_away_are_seen_so(word: str) -> None:
    found = drawn(explained(), processes={"proxy": Proc("proxy", word)})
    assert state(found, "proxy") == "away"


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8::7"])
def test_counts_are_of_the_endpoint_and_the_address(address: str) -> None:
    rows = [
        row(kind="dns", result="RESOLVED", qtype="A", ips=[address]),
        row(kind="dns", result="REFUSED", qtype="A", verdict="DROPPED"),
        row(address=address),
        row(address=address, verdict="DROPPED", result="DENIED"),
        row(address=address, protocol="UDP"),
        row(address=f"{address}1"),
        row(address=address, endpoint="db"),
    ]
    found = count([view(i, one) for i, one in enumerate(rows)], "web", address)
    assert found == Counts(2, 1, 1, 1, 3, 2, 1)


def test_counters_stand_on_the_edges() -> None:
    found = drawn(explained(), Counts(9, 2, 6, 5, 40, 30, 10))
    assert {e["id"]: e["count"] for e in found["edges"]} == {
        "query": 9, "redirect": 9, "ask": 7, "answer": 6, "mapping": 5, "entries": 0,
        "release": 9, "packet": 40, "forward": 30,
    }  # fmt: skip
