"""FQDNData as Cilium's Standalone DNS Proxy speaks it to our agent: unary mappings, snapshots."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator

import grpc
import pytest

from fqdnlab.lab import Lab, machine_service
from fqdnlab.paths import LabPaths
from fqdnlab.pb import fqdndata_pb2 as pb
from fqdnlab.pb import fqdndata_pb2_grpc
from fqdnlab.testing import eventually
from tests.lab_kit import Site, cnp, dns, names

A, A6, C = "198.51.100.7", "2001:db8:1::7", "203.0.113.9"
API = "api.example.com"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with machine_service(), Lab(f"unary-{os.getpid()}") as lab:
        lab.endpoint("web", labels={"app": "web"})
        lab.apply(cnp("names", dns(API), names(API)))
        yield Site(lab)


@pytest.fixture
def stub(site: Site) -> Iterator[fqdndata_pb2_grpc.FQDNDataStub]:
    with grpc.insecure_channel(f"unix:{LabPaths(site.lab.name).fqdndata_socket}") as channel:
        yield fqdndata_pb2_grpc.FQDNDataStub(channel)


def mapping(*addresses: str, **more: object) -> pb.FQDNMapping:
    given = {"fqdn": f"{API}.", "ttl": 60, "source_ip": b"10.10.0.1", **more}
    return pb.FQDNMapping(record_ip=[a.encode() for a in addresses], **given)


@pytest.mark.parametrize("fqdn", [f"{API}.", "API.Example.COM"])
def test_one_mapping_by_a_unary_call(
    site: Site, stub: fqdndata_pb2_grpc.FQDNDataStub, fqdn: str
) -> None:
    reply = stub.UpdateMappingRequest(mapping(A, A6, fqdn=fqdn), timeout=10)
    assert reply.response == pb.RESPONSE_CODE_NO_ERROR
    site.check("web", {(A, 443): "open", (A6, 443): "open", (C, 443): "dropped"})
    assert set(site.lab.mappings()["name"]) == {f"{API}."}


def test_the_call_for_the_question_and_a_refusal_teach_nothing(
    site: Site, stub: fqdndata_pb2_grpc.FQDNDataStub
) -> None:
    for message in (mapping(), mapping(C, response_code=5)):
        reply = stub.UpdateMappingRequest(message, timeout=10)
        assert reply.response == pb.RESPONSE_CODE_NO_ERROR
    site.check("web", {(C, 443): "dropped"})


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (mapping(C, source_ip=b"10.10.9.9"), pb.RESPONSE_CODE_ERROR_ENDPOINT_NOT_FOUND),
        (mapping(C, source_ip=b"\xff"), pb.RESPONSE_CODE_ERROR_INVALID_ARGUMENT),
        (mapping("no address"), pb.RESPONSE_CODE_ERROR_INVALID_ARGUMENT),
    ],
)
def test_what_cannot_be_is_answered_with_its_code(
    site: Site, stub: fqdndata_pb2_grpc.FQDNDataStub, message: pb.FQDNMapping, code: int
) -> None:
    assert stub.UpdateMappingRequest(message, timeout=10).response == code
    site.check("web", {(C, 443): "dropped"})


def test_snapshots_come_whole_and_one_at_a_time(
    site: Site, stub: fqdndata_pb2_grpc.FQDNDataStub
) -> None:
    replies: queue.SimpleQueue[pb.PolicyStateResponse | None] = queue.SimpleQueue()
    stream = stub.StreamPolicyState(iter(replies.get, None))
    first = next(stream)
    assert [list(p.dns_pattern) for p in first.egress_l7_dns_policy] == [[API]]
    assert {p.source_endpoint_id for p in first.egress_l7_dns_policy} == {1}
    servers = {
        (s.dns_server_port, s.dns_server_proto)
        for p in first.egress_l7_dns_policy
        for s in p.dns_servers
    }
    assert servers == {(53, 6), (53, 17)}
    told = {i.identity for i in first.identity_to_endpoint_mapping}
    assert {
        s.dns_server_identity for p in first.egress_l7_dns_policy for s in p.dns_servers
    } <= told
    late = site.lab.apply(cnp("more", dns("more.example")), timeout=2.0)
    assert len(late.late) == 1, "this one has not acknowledged"
    replies.put(
        pb.PolicyStateResponse(response=pb.RESPONSE_CODE_NO_ERROR, request_id=first.request_id)
    )
    second = next(stream)
    assert int(second.request_id) > int(first.request_id)
    patterns = [pattern for p in second.egress_l7_dns_policy for pattern in p.dns_pattern]
    assert sorted(patterns) == [API, "more.example"]
    replies.put(
        pb.PolicyStateResponse(response=pb.RESPONSE_CODE_NO_ERROR, request_id=second.request_id)
    )
    revision = int(second.request_id)
    eventually(lambda: site.lab.agent_status().proxy_acked_revision >= revision, 10, "both proxies")
    replies.put(None)
    stream.cancel()
    site.lab.delete_policy("more")


def test_addresses_that_are_none_end_no_stream(
    site: Site, stub: fqdndata_pb2_grpc.FQDNDataStub
) -> None:
    """Nor do they keep what stands beside them from being learned."""
    rubbish = pb.Mapping(seq=1, endpoint_id=1, fqdn=f"{API}.", ip=[b"short"], ttl=60)
    good = pb.Mapping(seq=2, endpoint_id=1, fqdn=f"{API}.", ip=[bytes((203, 0, 113, 9))], ttl=60)
    acks = stub.StreamMappings(iter([pb.MappingBatch(mapping=[rubbish, good])]), timeout=10)
    first = next(acks).ack
    assert [bool(ack.valid_until_ns) for ack in first] == [False, True]
    site.check("web", {(C, 443): "open"})
