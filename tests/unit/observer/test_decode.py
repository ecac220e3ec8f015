"""Kernel events and DNS records as Hubble's flows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fqdnlab.datapath import abi
from fqdnlab.model.dnsrecord import Early, Outcome, pack_record
from fqdnlab.model.flows import extension
from fqdnlab.model.hubble_json import to_line
from fqdnlab.observer.context import Clock, pack_extension
from fqdnlab.observer.dnswire import read_message
from fqdnlab.observer.history import Kind, Slot
from fqdnlab.observer.names import NameHistory
from fqdnlab.pb import control_pb2, flow_pb2, observer_pb2
from tests.observer_data import API, RULES, answer, dns_record, question
from tests.unit.observer.kit import (
    NOW,
    OFFSET,
    SECOND,
    decoder,
    dropped,
    event,
    flow_of,
    write_rules,
)

ANY_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def dns(made: object, record: object, kind: Kind = Kind.DNS_RESPONSE) -> flow_pb2.Flow:
    return flow_of(made, kind, pack_record(record)[2:])  # type: ignore[arg-type]


def test_an_allowed_flow(tmp_path: Path) -> None:
    names = NameHistory()
    names.answer(1, read_message(answer("api.example.com", [API])), NOW - SECOND)
    flow = flow_of(decoder(tmp_path, names), Kind.VERDICT, event())
    assert flow.verdict == flow_pb2.FORWARDED
    assert (flow.event_type.type, flow.event_type.sub_type) == (5, 0)
    assert flow.time.ToNanoseconds() == NOW + OFFSET
    assert (flow.source.pod_name, flow.source.ID, flow.source.identity) == ("web", 1, 257)
    assert list(flow.destination.labels) == ["fqdn:api.example.com.", "reserved:world-ipv4"]
    assert list(flow.destination_names) == ["api.example.com"]
    assert flow.traffic_direction == flow_pb2.EGRESS
    assert flow.HasField("is_reply")
    assert not flow.is_reply.value
    assert flow.policy_match_type == 2
    (policy,) = flow.egress_allowed_by
    assert (policy.namespace, policy.name, policy.revision) == ("default", "web-egress", 7)
    assert policy.kind == "CiliumNetworkPolicy"
    assert flow.Summary == "TCP Flags: SYN"
    known = extension(flow)
    assert known["rule"].startswith("default/web-egress egress[1]")
    assert known["mapping_state"] == "enforced"
    assert known["boottime_ns"] == str(NOW)


def test_default_deny_has_no_deciding_policy(tmp_path: Path) -> None:
    made = decoder(tmp_path)
    raw = dropped(133, identity=9, dport=80)
    verdict, drop = (flow_of(made, kind, raw) for kind in (Kind.VERDICT, Kind.DROP))
    for flow in (verdict, drop):
        assert flow.verdict == flow_pb2.DROPPED
        assert flow.drop_reason_desc == flow_pb2.POLICY_DENIED
        assert not flow.egress_denied_by
        assert not flow.HasField("is_reply")
    assert (verdict.event_type.type, verdict.event_type.sub_type) == (5, 0)
    assert (drop.event_type.type, drop.event_type.sub_type) == (1, 133)
    assert extension(drop)["drop_text"] == "Policy denied"


def test_a_deny_rule_is_named_on_the_verdict_only(tmp_path: Path) -> None:
    made = decoder(tmp_path)
    raw = dropped(181, rule=13, identity=9, dport=25)
    assert [p.name for p in flow_of(made, Kind.VERDICT, raw).egress_denied_by] == ["no-mail"]
    assert not flow_of(made, Kind.DROP, raw).egress_denied_by


def test_redirected_to_the_proxy(tmp_path: Path) -> None:
    raw = event(verdict=abi.VERDICT_REDIRECT, dport=53, proxy_port=53, proto=17, tcp_flags=0)
    flow = flow_of(decoder(tmp_path), Kind.VERDICT, raw)
    assert flow.verdict == flow_pb2.REDIRECTED
    assert flow.proxy_port == 53
    assert (flow.l4.UDP.destination_port, flow.Summary) == (53, "UDP")


def test_towards_the_endpoint(tmp_path: Path) -> None:
    raw = event(saddr=abi.ip16(API), daddr=abi.ip16("10.10.0.1"), dir=abi.DIR_INGRESS, rule=0)
    flow = flow_of(decoder(tmp_path), Kind.VERDICT, raw)
    assert flow.traffic_direction == flow_pb2.INGRESS
    assert flow.destination.pod_name == "web"
    assert flow.source.identity == 16777217
    assert not flow.ingress_allowed_by


def test_ipv6_and_icmp(tmp_path: Path) -> None:
    raw = event(
        saddr=abi.ip16("fd10::1"),
        daddr=abi.ip16("2001:db8::7"),
        family=6,
        proto=58,
        icmp_type=128,
        identity=10,
    )
    flow = flow_of(decoder(tmp_path), Kind.VERDICT, raw)
    assert (flow.IP.source, flow.IP.destination) == ("fd10::1", "2001:db8::7")
    assert flow.IP.ipVersion == flow_pb2.IPv6
    assert flow.l4.ICMPv6.type == 128
    assert flow.Summary == "ICMPv6 EchoRequest"
    assert list(flow.destination.labels) == ["reserved:world-ipv6"]


def test_ipv6_and_icmp_in_hubble_s_json(tmp_path: Path) -> None:
    """As protojson writes them: numbers that are 0 are left out, the message is not."""

    def flow(**given: object) -> dict[str, Any]:
        made = flow_of(decoder(tmp_path), Kind.VERDICT, event(**given))
        found: dict[str, Any] = json.loads(to_line(observer_pb2.GetFlowsResponse(flow=made)))
        return found["flow"]

    six = {"saddr": abi.ip16("fd10::1"), "daddr": abi.ip16("2001:db8::7"), "family": 6}
    echo = flow(**six, proto=58, icmp_type=128)
    assert echo["IP"] == {"source": "fd10::1", "destination": "2001:db8::7", "ipVersion": "IPv6"}
    assert echo["l4"] == {"ICMPv6": {"type": 128}}
    too_big = flow(proto=1, icmp_type=3, icmp_code=4)
    assert too_big["l4"] == {"ICMPv4": {"type": 3, "code": 4}}
    assert too_big["IP"]["ipVersion"] == "IPv4"
    assert too_big["Summary"] == "ICMPv4 DestinationUnreachable"
    assert flow(proto=1)["l4"] == {"ICMPv4": {}}
    udp = flow(**six, proto=17, sport=5, dport=53)
    assert udp["l4"] == {"UDP": {"source_port": 5, "destination_port": 53}}
    assert flow(proto=132)["l4"] == {"SCTP": {"source_port": 50000, "destination_port": 443}}


def test_a_name_is_the_source_endpoint_s_own(tmp_path: Path) -> None:
    """What one endpoint resolved names no flow of another, whatever the identity says."""
    names = NameHistory()
    names.answer(2, read_message(answer("api.example.com", [API])), NOW - SECOND)
    made = decoder(tmp_path, names)
    assert list(flow_of(made, Kind.VERDICT, event()).destination_names) == []
    mine = flow_of(made, Kind.VERDICT, event(ep_id=2))
    assert list(mine.destination_names) == ["api.example.com"]


def test_an_echo_reply_is_icmp_too(tmp_path: Path) -> None:
    flow = flow_of(decoder(tmp_path), Kind.VERDICT, event(proto=1))
    assert flow.l4.WhichOneof("protocol") == "ICMPv4"


def test_another_endpoint_of_the_lab_is_named(tmp_path: Path) -> None:
    rules = copy.deepcopy(RULES)
    rules["endpoints"]["2"] = {
        "name": "db",
        "namespace": "prod",
        "identity": 300,
        "ip4": "10.10.0.2",
    }
    write_rules(tmp_path / "rules.json", rules, SECOND)
    flow = flow_of(
        decoder(tmp_path), Kind.VERDICT, event(daddr=abi.ip16("10.10.0.2"), identity=300)
    )
    assert (flow.destination.namespace, flow.destination.pod_name) == ("prod", "db")
    assert flow.destination.ID == 2


def test_states_of_mappings(tmp_path: Path) -> None:
    names = NameHistory()
    made = decoder(tmp_path, names)
    moved = "203.0.113.9"
    names.answer(1, read_message(answer("api.example.com", [moved])), NOW - SECOND, "agent-dead")
    raw = dropped(133, identity=9, daddr=abi.ip16(moved))
    assert extension(flow_of(made, Kind.DROP, raw))["mapping_state"] == "waits"
    names.answer(1, read_message(answer("api.example.com", [moved])), NOW - SECOND)
    assert extension(flow_of(made, Kind.DROP, raw))["mapping_state"] == "none"
    full = "203.0.113.11"  # the agent refused it: nothing comes of waiting
    names.answer(1, read_message(answer("a.org", [full])), NOW - SECOND, "refused")
    raw = dropped(133, identity=9, daddr=abi.ip16(full))
    assert extension(flow_of(made, Kind.DROP, raw))["mapping_state"] == "none"
    raw = dropped(133, identity=9, daddr=abi.ip16(moved))
    zombie = dropped(244, identity=9, daddr=abi.ip16(moved))
    assert extension(flow_of(made, Kind.DROP, zombie))["mapping_state"] == "zombie"
    unknown = dropped(133, identity=9, daddr=abi.ip16("203.0.113.10"))
    assert "mapping_state" not in extension(flow_of(made, Kind.DROP, unknown))


def test_an_answer(tmp_path: Path) -> None:
    made = decoder(tmp_path)
    record = dns_record(answer("api.example.com", [API], ttl=30), at=NOW, latency=2_000_000)
    flow = dns(made, record)
    assert flow.Type == flow_pb2.L7
    assert flow.event_type.type == 129
    assert flow.verdict == flow_pb2.FORWARDED
    assert (flow.IP.source, flow.IP.destination) == ("10.96.0.10", "10.10.0.1")
    assert (flow.l4.UDP.source_port, flow.l4.UDP.destination_port) == (53, 40000)
    assert flow.is_reply.value
    assert flow.traffic_direction == flow_pb2.EGRESS
    assert flow.destination.pod_name == "web"
    assert flow.l7.type == flow_pb2.RESPONSE
    assert flow.l7.latency_ns == 2_000_000
    seen = flow.l7.dns
    assert (seen.query, list(seen.ips), seen.ttl, seen.rcode) == ("api.example.com.", [API], 30, 0)
    assert (list(seen.qtypes), list(seen.rrtypes)) == (["A"], ["A"])
    assert seen.observation_source == "proxy"
    asked = dns(made, record, Kind.DNS_REQUEST)
    assert asked.l7.type == flow_pb2.REQUEST
    assert not asked.is_reply.value
    assert not asked.l7.dns.ips
    assert asked.l4.UDP.destination_port == 53


def test_a_refused_question(tmp_path: Path) -> None:
    record = dns_record(question("evil.example.org"), Outcome.DENIED, at=NOW)
    flow = dns(decoder(tmp_path), record, Kind.DNS_REQUEST)
    assert flow.verdict == flow_pb2.DROPPED
    assert flow.drop_reason_desc == 0
    assert flow.l7.type == flow_pb2.REQUEST
    assert flow.l7.dns.rcode == 0


def test_a_failed_question(tmp_path: Path) -> None:
    record = dns_record(question("slow.example.org"), Outcome.FAILED, at=NOW)
    flow = dns(decoder(tmp_path), record)
    assert flow.verdict == flow_pb2.ERROR
    assert flow.l7.dns.rcode == 2


@pytest.mark.parametrize(
    ("early", "word", "state"),
    [
        (Early.NO, None, "enforced"),
        (Early.AGENT_DEAD, "agent-dead", "waits"),
        (Early.HOLD_DEADLINE, "hold-deadline", "waits"),
        (Early.HOLD_OFF, "hold-off", "enforced"),
        (Early.REFUSED, "refused", "none"),
    ],
)
def test_early_answers_are_marked(tmp_path: Path, early: int, word: str, state: str) -> None:
    record = dns_record(answer("api.example.com", [API]), early=early, at=NOW)
    known = extension(dns(decoder(tmp_path), record))
    assert known.get("early_reason") == word
    assert known.get("early", False) == bool(word)
    assert known["mapping_state"] == state


def test_the_extension_is_a_struct_of_flow_extension_s_fields(tmp_path: Path) -> None:
    fields = set(control_pb2.FlowExtension.DESCRIPTOR.fields_by_name)
    made = decoder(tmp_path)
    for flow in (
        flow_of(made, Kind.DROP, dropped(244)),
        dns(made, dns_record(answer("a.org", [API]), early=1, at=NOW)),
    ):
        assert extension(flow)
        assert set(extension(flow)) <= fields


VALUES = st.text(max_size=300) | st.booleans() | st.integers(0, 2**53)


@given(st.dictionaries(st.sampled_from(["rule", "length", "early", "endpoint"]), VALUES))
def test_a_struct_by_hand_is_the_library_s(known: dict[str, str | int | bool]) -> None:
    flow = flow_pb2.Flow()
    pack_extension(flow, known)
    expected = struct_pb2.Struct()
    expected.update({k: v for k, v in known.items() if v})
    seen = struct_pb2.Struct()
    assert flow.extensions.Unpack(seen)
    assert seen == expected


@ANY_FILE
@given(st.binary(max_size=100), st.sampled_from([Kind.VERDICT, Kind.DROP, Kind.DNS_RESPONSE]))
def test_any_octets_make_a_flow(tmp_path: Path, raw: bytes, kind: Kind) -> None:
    flow = flow_pb2.Flow()
    decoder(tmp_path).fill(flow, 3, Slot(NOW, kind, raw))
    assert flow.uuid
    assert to_line(observer_pb2.GetFlowsResponse(flow=flow))


@ANY_FILE
@given(st.binary(min_size=80, max_size=80), st.sampled_from([Kind.VERDICT, Kind.DROP]))
def test_any_event_makes_a_line(tmp_path: Path, raw: bytes, kind: Kind) -> None:
    raw = (NOW % 2**40).to_bytes(8, "little") + raw[8:]  # any but the year
    flow = flow_of(decoder(tmp_path), kind, raw)
    assert to_line(observer_pb2.GetFlowsResponse(flow=flow))


def test_uuids_differ_and_stay(tmp_path: Path) -> None:
    made = decoder(tmp_path)
    uuids = {flow_of(made, Kind.VERDICT, event(), number).uuid for number in range(50)}
    assert len(uuids) == 50
    assert flow_of(made, Kind.VERDICT, event(), 7).uuid in uuids


def test_the_wall_clock_is_followed_when_it_is_set() -> None:
    clock = Clock(0)  # as if somebody had set it by decades
    clock.refresh()
    assert abs(clock.to_wall(Clock.boottime()) - __import__("time").time_ns()) < SECOND
