"""The observer's process over the real kernel's events: what it tells, and to whom."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fqdnlab.model.dnsrecord import Early, Outcome
from fqdnlab.model.flows import extension, rows
from fqdnlab.observer.client import FlowTail, read_flows
from fqdnlab.pb import flow_pb2, observer_pb2
from fqdnlab.testing import eventually
from tests.bpf.packets import ICMP6, TCP, icmp, ip, tcp
from tests.observer_data import API, EP4, EP6, RULES, answer, dns_record, question
from tests.observer_kit import Kit, observer_kit

OTHER = "203.0.113.5"


@pytest.fixture
def kit() -> Iterator[Kit]:
    with observer_kit() as made:
        yield made


def test_from_the_kernel_to_a_row(kit: Kit) -> None:
    """The thin whole: an answer, an allowed packet, a dropped one, each one row."""
    kit.tell(dns_record(answer("api.example.com", [API])))
    kit.send(ip(EP4, API, TCP, tcp(50000, 443)))
    kit.send(ip(EP4, OTHER, TCP, tcp(50001, 443)))
    seen = rows(kit.wait_for(5))
    packets = [r for r in seen if r["kind"] == "packet"]
    assert [(r["address"], r["name"], r["result"]) for r in packets] == [
        (API, "api.example.com", "ALLOWED"),
        (OTHER, "", "DENIED"),
    ]
    assert packets[0]["policy"] == "default/web-egress"
    assert [r["result"] for r in seen if r["kind"] == "dns"] == ["ASKED", "RESOLVED"]


def test_a_false_time_holds_nothing_up(kit: Kit) -> None:
    kit.tell(dns_record(question("far.org"), Outcome.DENIED, at=2**63))
    kit.tell(dns_record(question("now.org"), Outcome.DENIED))
    assert {f.l7.dns.query for f in kit.wait_for(2)} == {"far.org.", "now.org."}


def test_the_name_that_held_when_the_packet_passed(kit: Kit) -> None:
    now = _boottime()
    kit.tell(dns_record(answer("old.example.com", [OTHER], ttl=1), at=now - 3_000_000_000))
    kit.wait_for(2)
    kit.send(ip(EP4, OTHER, TCP, tcp(50000, 443)))
    kit.wait_for(4)
    kit.tell(dns_record(answer("new.example.com", [OTHER]), at=_boottime() + 1_000_000_000))
    kit.wait_for(6)
    drops = kit.flows(whitelist=[flow_pb2.FlowFilter(destination_ip=[OTHER])])
    assert [list(f.destination_names) for f in drops] == [["old.example.com"]] * 2


def test_an_expired_mapping_and_one_that_waits(kit: Kit) -> None:
    zombie, moved = "198.51.100.20", "198.51.100.21"
    kit.address(zombie, 9, established=16777217)
    kit.send(ip(EP4, zombie, TCP, tcp(50000, 443)))
    kit.tell(dns_record(answer("api.example.com", [moved]), early=Early.AGENT_DEAD))
    kit.send(ip(EP4, moved, TCP, tcp(50001, 443)))
    seen = {r["address"]: r for r in rows(kit.wait_for(6)) if r["kind"] == "packet"}
    assert (seen[zombie]["result"], seen[zombie]["mapping_state"]) == ("EXPIRED", "zombie")
    assert (seen[moved]["result"], seen[moved]["mapping_state"]) == ("WAITS", "waits")
    assert seen[moved]["name"] == "api.example.com"


def test_ipv6(kit: Kit) -> None:
    kit.send(ip(EP6, "2001:db8::7", ICMP6, icmp(128)))
    flow = kit.wait_for(2)[0]
    assert flow.IP.ipVersion == flow_pb2.IPv6
    assert flow.source.pod_name == "web"


def test_rules_are_read_again(kit: Kit) -> None:
    """An endpoint's new name is used from then on; what passed before keeps the old one."""
    kit.send(ip(EP4, API, TCP, tcp(50000, 443)))
    kit.wait_for(1)
    renamed = copy.deepcopy(RULES)
    renamed["endpoints"]["1"]["name"] = "shop"
    kit.write_rules(renamed)
    kit.send(ip(EP4, API, TCP, tcp(50001, 443)))
    assert [f.source.pod_name for f in kit.wait_for(2)] == ["web", "shop"]


def test_follow_sees_what_comes_in_order(kit: Kit) -> None:
    channel = kit.channel()
    request = observer_pb2.GetFlowsRequest(follow=True, number=1)
    kit.send(ip(EP4, API, TCP, tcp(40000, 443)))
    kit.wait_for(1)
    stream = read_flows(channel, request, timeout=20)
    assert next(stream).flow.l4.TCP.source_port == 40000  # the last one, as asked
    for port in range(40001, 40051):
        kit.send(ip(EP4, API, TCP, tcp(port, 443)))
    seen = [next(stream).flow.l4.TCP.source_port for _ in range(50)]
    assert seen == list(range(40001, 40051))


def test_batches_are_the_same_flows(kit: Kit) -> None:
    for port in range(300):
        kit.send(ip(EP4, OTHER, TCP, tcp(50000 + port, 443)))
    kit.wait_for(600)
    for request in (
        observer_pb2.GetFlowsRequest(),
        observer_pb2.GetFlowsRequest(number=7),
        observer_pb2.GetFlowsRequest(whitelist=[flow_pb2.FlowFilter(source_port=["50003"])]),
        observer_pb2.GetFlowsRequest(field_mask={"paths": ["uuid", "source.pod_name"]}),
    ):
        one_by_one = list(kit.stub().GetFlows(request, timeout=10))
        assert list(read_flows(kit.channel(), request, timeout=10)) == one_by_one
        assert one_by_one


def test_a_tail_reads_each_flow_once(kit: Kit) -> None:
    tail = FlowTail(kit.channel())
    assert list(tail.fresh()) == []
    seen: list[int] = []
    for port in range(40000, 40400):
        kit.send(ip(EP4, API, TCP, tcp(port, 443)))
        if port % 50 == 0:
            seen += [r.flow.l4.TCP.source_port for r in tail.fresh()]
    kit.wait_for(400)
    seen += [r.flow.l4.TCP.source_port for r in tail.fresh()]
    assert seen == list(range(40000, 40400))
    assert list(tail.fresh()) == []
    kit.stop()
    kit.start()
    kit.send(ip(EP4, API, TCP, tcp(50000, 443)))
    kit.wait_for(1)
    assert [r.flow.l4.TCP.source_port for r in _patient(tail)] == [50000]


def _patient(tail: FlowTail) -> list[observer_pb2.GetFlowsResponse]:
    """What is fresh, once the channel has found the new observer."""

    def there() -> list[observer_pb2.GetFlowsResponse]:
        try:
            return list(tail.fresh())
        except grpc.RpcError as error:
            raise OSError(str(error)) from error

    return eventually(there, 10.0, "a fresh flow")


def test_a_tail_that_is_too_slow_is_told() -> None:
    with observer_kit(flow_history=10) as kit:
        tail = FlowTail(kit.channel())
        kit.send(ip(EP4, API, TCP, tcp(40000, 443)))
        kit.wait_for(1)
        assert len(list(tail.fresh())) == 1
        for port in range(40001, 40031):
            kit.send(ip(EP4, API, TCP, tcp(port, 443)))

        def seen_all() -> bool:
            status = kit.stub().ServerStatus(observer_pb2.ServerStatusRequest(), timeout=5)
            return status.seen_flows == 31

        eventually(seen_all, 5.0, "31 flows")
        first, *rest = tail.fresh()
        assert first.lost_events.num_events_lost == 20
        assert first.lost_events.source == flow_pb2.HUBBLE_RING_BUFFER
        assert len(rest) == 10


def test_history_is_bounded() -> None:
    with observer_kit(flow_history=10) as kit:
        for port in range(20):
            kit.send(ip(EP4, API, TCP, tcp(50000 + port, 443)))

        def last() -> bool:
            ports = [f.l4.TCP.source_port for f in kit.flows()]
            assert ports == list(range(50010, 50020)), ports
            return True

        eventually(last, 5.0, "the last ten flows")
        status = kit.stub().ServerStatus(observer_pb2.ServerStatusRequest(), timeout=5)
        assert (status.num_flows, status.max_flows, status.seen_flows) == (10, 10, 20)


def test_a_field_mask(kit: Kit) -> None:
    kit.send(ip(EP4, API, TCP, tcp(50000, 443)))
    kit.wait_for(1)
    paths = ["IP.source", "source.labels", "verdict", "ethernet", "source_service.name"]
    (flow,) = kit.flows(field_mask={"paths": paths})
    assert flow.IP.source == EP4
    assert not flow.IP.destination
    assert list(flow.source.labels) == ["k8s:app=web"]
    assert not flow.source.pod_name
    assert not flow.uuid
    assert extension(flow) == {}


def test_requests_that_cannot_be(kit: Kit) -> None:
    for request in (
        observer_pb2.GetFlowsRequest(first=True, follow=True),
        observer_pb2.GetFlowsRequest(whitelist=[flow_pb2.FlowFilter(source_ip=["x"])]),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            list(kit.stub().GetFlows(request, timeout=5))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_health_nodes_namespaces_and_agent_events(kit: Kit) -> None:
    health = health_pb2_grpc.HealthStub(kit.channel())
    asked = health_pb2.HealthCheckRequest(service="hubble.server.Observer")
    assert health.Check(asked, timeout=5).status == health_pb2.HealthCheckResponse.SERVING
    (node,) = kit.stub().GetNodes(observer_pb2.GetNodesRequest(), timeout=5).nodes
    assert (node.name, node.state) == (f"fqdnlab/{kit.lab}", 1)
    spaces = kit.stub().GetNamespaces(observer_pb2.GetNamespacesRequest(), timeout=5).namespaces
    assert [(s.cluster, s.namespace) for s in spaces] == [("fqdnlab", "default")]
    assert not list(kit.stub().GetAgentEvents(observer_pb2.GetAgentEventsRequest(), timeout=5))


def test_metrics_agree_with_the_kernel(kit: Kit) -> None:
    kit.send(ip(EP4, API, TCP, tcp(50000, 443)))
    for _ in range(3):
        kit.send(ip(EP4, OTHER, TCP, tcp(50001, 443)))
    kit.wait_for(7)
    text = kit.metrics()
    assert 'cilium_drop_count_total{reason="Policy denied",direction="EGRESS"} 3' in text
    assert 'cilium_forward_count_total{direction="EGRESS"} 1' in text
    assert 'hubble_drop_total{reason="POLICY_DENIED",protocol="TCP"} 6' in text


def _boottime() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
