"""Rows of tables, their words, and JSON lines."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.datapath import abi
from fqdnlab.model.dnsrecord import Early, Outcome, pack_record
from fqdnlab.model.flow_words import dns_result, packet_result
from fqdnlab.model.flows import COLUMNS, QUERY_COLUMNS, Table, queries, rows
from fqdnlab.model.hubble_json import HubbleJsonError, from_line, to_dict, to_line
from fqdnlab.observer.dnswire import read_message
from fqdnlab.observer.history import Kind
from fqdnlab.observer.names import NameHistory
from fqdnlab.pb import flow_pb2, observer_pb2
from tests.observer_data import API, answer, dns_record, question
from tests.unit.observer.kit import NOW, OFFSET, SECOND, decoder, dropped, event, flow_of


def a_story(path: Path) -> list[flow_pb2.Flow]:
    """An answer, an allowed packet, a dropped one (two flows), a refused question."""
    names = NameHistory()
    message = answer("api.example.com", [API], ttl=30)
    names.answer(1, read_message(message), NOW)
    made = decoder(path, names)
    record = pack_record(dns_record(message, at=NOW, latency=3_000_000))[2:]
    refused = pack_record(dns_record(question("evil.org"), Outcome.DENIED, at=NOW + 4))[2:]
    drop = dropped(133, identity=9, daddr=abi.ip16("203.0.113.5"), dport=80, time=NOW + 3)
    return [
        flow_of(made, Kind.DNS_REQUEST, record),
        flow_of(made, Kind.DNS_RESPONSE, record),
        flow_of(made, Kind.VERDICT, event(time=NOW + 2)),
        flow_of(made, Kind.VERDICT, drop),
        flow_of(made, Kind.DROP, drop),
        flow_of(made, Kind.DNS_REQUEST, refused),
    ]


def test_one_row_a_packet_one_a_record(tmp_path: Path) -> None:
    seen = rows(a_story(tmp_path))
    assert [(r["kind"], r["result"]) for r in seen] == [
        ("dns", "ASKED"),
        ("dns", "RESOLVED"),
        ("packet", "ALLOWED"),
        ("packet", "DENIED"),
        ("dns", "REFUSED"),
    ]
    assert all(tuple(r) == COLUMNS for r in seen)
    allowed, denied = seen[2], seen[3]
    assert allowed["time"] == datetime.fromtimestamp((NOW + OFFSET) / SECOND, tz=UTC)
    assert (allowed["endpoint"], allowed["name"]) == ("web", "api.example.com")
    assert (allowed["address"], allowed["port"], allowed["protocol"]) == (API, 443, "TCP")
    assert allowed["policy"] == "default/web-egress"
    assert allowed["rule"].startswith("default/web-egress egress[1]")
    assert allowed["verdict"] == "FORWARDED"
    assert allowed["tcp_flags"] == "SYN"
    assert (denied["reason"], denied["reason_text"]) == ("POLICY_DENIED", "Policy denied")
    assert denied["verdict"] == "DROPPED"


def test_a_table_grows(tmp_path: Path) -> None:
    """Flow by flow it comes to the same rows as all at once."""
    story = a_story(tmp_path)
    table = Table()
    for flow in story:
        table.add([flow])
    assert table.rows() == rows(story)
    assert table.queries() == queries(story)
    assert table.rows() == rows(story)


def test_a_drop_alone_is_one_row_too(tmp_path: Path) -> None:
    """Without its verdict flow (cut off by `number`) it is the same packet."""
    made = decoder(tmp_path)
    (row,) = rows([flow_of(made, Kind.DROP, dropped(181, rule=13))])
    assert (row["result"], row["rule"]) == ("DENIED", "default/no-mail egressDeny[0] 25/TCP")


def test_two_packets_of_one_flow_are_two_rows(tmp_path: Path) -> None:
    made = decoder(tmp_path)
    raws = [dropped(133, time=NOW), dropped(133, time=NOW + 1000)]
    assert len(rows(flow_of(made, k, r) for r in raws for k in (Kind.VERDICT, Kind.DROP))) == 2


def test_queries(tmp_path: Path) -> None:
    seen = queries(a_story(tmp_path))
    assert [r["result"] for r in seen] == ["RESOLVED", "REFUSED"]
    assert all(tuple(r) == QUERY_COLUMNS for r in seen)
    resolved, refused = seen
    assert (resolved["query"], resolved["ips"], resolved["ttl"]) == ("api.example.com.", [API], 30)
    assert (resolved["server"], resolved["latency_ms"]) == ("10.96.0.10", 3.0)
    assert resolved["mapping_state"] == "enforced"
    assert (refused["verdict"], refused["ips"], refused["ttl"]) == ("DROPPED", [], None)


def test_a_question_resolved_while_the_agent_is_dead_waits(tmp_path: Path) -> None:
    record = dns_record(answer("api.example.com", [API]), early=Early.AGENT_DEAD, at=NOW)
    raw = pack_record(record)[2:]
    (row,) = queries([flow_of(decoder(tmp_path), Kind.DNS_RESPONSE, raw)])
    assert (row["result"], row["early"], row["early_reason"]) == ("WAITS", True, "agent-dead")


def test_a_flow_of_another_system_has_rows_too() -> None:
    flow = flow_pb2.Flow(verdict=flow_pb2.FORWARDED)
    flow.extensions.type_url = "type.googleapis.com/some.Other"
    (row,) = rows([flow])
    assert (row["endpoint"], row["result"]) == ("", "ALLOWED")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("FORWARDED", 0, ""), "ALLOWED"),
        (("REDIRECTED", 0, ""), "TO-PROXY"),
        (("DROPPED", 133, ""), "DENIED"),
        (("DROPPED", 181, "waits"), "DENIED"),
        (("DROPPED", 133, "waits"), "WAITS"),
        (("DROPPED", 244, ""), "EXPIRED"),
        (("DROPPED", 132, ""), "INVALID"),
    ],
)
def test_words_of_packets(arguments: tuple[str, int, str], word: str) -> None:
    assert packet_result(*arguments) == word


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("DROPPED", True, 0, 0, ""), "REFUSED"),
        (("ERROR", False, 2, 0, ""), "FAILED"),
        (("FORWARDED", True, 0, 0, ""), "ASKED"),
        (("FORWARDED", False, 0, 2, "enforced"), "RESOLVED"),
        (("FORWARDED", False, 0, 2, "waits"), "WAITS"),
        (("FORWARDED", False, 0, 0, ""), "NODATA"),
        (("FORWARDED", False, 3, 0, ""), "NXDOMAIN"),
        (("FORWARDED", False, 5, 0, ""), "UPSTREAM-REFUSED"),
        (("FORWARDED", False, 9, 0, ""), "9"),
    ],
)
def test_words_of_dns(arguments: tuple[str, bool, int, int, str], word: str) -> None:
    assert dns_result(*arguments) == word


def test_json_and_back(tmp_path: Path) -> None:
    for flow in a_story(tmp_path):
        response = observer_pb2.GetFlowsResponse(flow=flow, node_name="n", time=flow.time)
        line = to_line(response)
        assert "\n" not in line
        again = from_line(line, observer_pb2.GetFlowsResponse())
        assert to_dict(again) == to_dict(response)


def test_our_own_drop_reasons_are_numbers(tmp_path: Path) -> None:
    """A program that reads Hubble's JSON knows none of our names."""
    made = decoder(tmp_path)
    for reason, shown in ((240, 240), (245, 245), (133, "POLICY_DENIED"), (7, 7)):
        flow = flow_of(made, Kind.DROP, dropped(reason))
        assert (
            to_dict(observer_pb2.GetFlowsResponse(flow=flow))["flow"]["drop_reason_desc"] == shown
        )


def test_lines_of_a_real_cluster() -> None:
    """Fields that we do not know are skipped; 64-bit numbers are strings; a bare flow is one."""
    line = (
        '{"flow":{"time":"2026-01-02T03:04:05.6Z","uuid":"u","verdict":"DROPPED","drop_reason":133,'
        '"ethernet":{"source":"aa:bb:cc:dd:ee:ff"},"IP":{"source":"10.0.0.1","destination":"1.1.1.1"},'
        '"l7":{"type":"RESPONSE","latency_ns":"12","dns":{"query":"x.","ttl":4294967295}},'
        '"extensions":{"@type":"type.googleapis.com/some.Other","x":1},'
        '"drop_reason_desc":"POLICY_DENIED","trace_observation_point":"TO_STACK"},'
        '"node_name":"kind/worker","time":"2026-01-02T03:04:05.6Z"}'
    )
    seen = from_line(line, observer_pb2.GetFlowsResponse())
    assert seen.flow.drop_reason_desc == flow_pb2.POLICY_DENIED
    assert seen.flow.l7.latency_ns == 12
    assert seen.node_name == "kind/worker"
    bare = '{"verdict":"FORWARDED","IP":{"source":"1.1.1.1"},"node_name":"n"}'
    assert from_line(bare, observer_pb2.GetFlowsResponse()).flow.IP.source == "1.1.1.1"


@pytest.mark.parametrize("line", ["", "[]", "{", '{"flow": 7}', '{"flow": {"verdict": []}}'])
def test_what_is_no_flow_is_said(line: str) -> None:
    with pytest.raises(HubbleJsonError):
        from_line(line, observer_pb2.GetFlowsResponse())


@given(st.text(max_size=80))
def test_any_text_is_a_flow_or_an_error(text: str) -> None:
    try:
        seen = from_line(text, observer_pb2.GetFlowsResponse())
    except HubbleJsonError:
        return
    assert isinstance(seen, observer_pb2.GetFlowsResponse)
