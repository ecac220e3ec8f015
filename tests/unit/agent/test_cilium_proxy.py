"""What Cilium's Standalone DNS Proxy does otherwise than ours, and must be served all the same."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fqdnlab.agent.cluster import Learned
from fqdnlab.agent.fqdndata import FQDNData
from fqdnlab.agent.publisher import Publisher
from fqdnlab.agent.service import Core
from fqdnlab.agent.snapshot import policy_state
from fqdnlab.pb import fqdndata_pb2 as pb
from tests.unit.agent.kit import WEB, Agent

V4, V6 = bytes([198, 51, 100, 7]), bytes.fromhex("20010db8000000000000000000000007")


def test_an_acknowledgement_without_a_number_is_of_what_was_sent() -> None:
    publisher = Publisher()
    core = cast(Core, SimpleNamespace(publisher=publisher))
    acknowledges = threading.Event()

    def acks() -> Any:
        acknowledges.wait(10)
        yield pb.PolicyStateResponse(response=pb.RESPONSE_CODE_NO_ERROR)
        gone.wait(10)

    gone = threading.Event()
    context = SimpleNamespace(peer=lambda: "cilium", add_callback=lambda _: None)
    stream = FQDNData(core, lambda: None).StreamPolicyState(acks(), cast(Any, context))
    first = publisher.publish(pb.PolicyState(egress_l7_dns_policy=[pb.DNSPolicy()]))
    assert next(stream).request_id == str(first)
    assert publisher.wait(first, 0.0) == ["proxy cilium"]
    acknowledges.set()
    assert publisher.wait(first, 10.0) == []
    second = publisher.publish(pb.PolicyState())
    assert next(stream).request_id == str(second)
    gone.set()


def test_each_address_of_an_endpoint_comes_by_itself() -> None:
    """It finds an endpoint by the first address of an EndpointInfo only."""
    snapshot = policy_state(Agent(WEB).state)
    infos = [i for m in snapshot.identity_to_endpoint_mapping for i in m.endpoint_info]
    assert [len(i.ip) for i in infos] == [1] * len(infos)
    assert {i.ip[0] for i in infos if i.id == 1} == {
        bytes([10, 10, 0, 1]),
        bytes([0xFD, 0x10, *[0] * 13, 1]),
    }


@pytest.mark.parametrize(
    ("fields", "answer", "learned"),
    [
        ({}, "NO_ERROR", [(1, "api.example.com.", (V4,), 60)]),
        ({"source_ip": b"fd10::1"}, "NO_ERROR", [(1, "api.example.com.", (V4,), 60)]),
        ({"record_ip": [b"2001:db8::7"]}, "NO_ERROR", [(1, "api.example.com.", (V6,), 60)]),
        ({"record_ip": []}, "NO_ERROR", []),  # its call for the question
        ({"response_code": 3}, "NO_ERROR", []),
        ({"source_ip": b"10.10.9.9"}, "ERROR_ENDPOINT_NOT_FOUND", []),
        ({"source_ip": b""}, "ERROR_INVALID_ARGUMENT", []),
        ({"record_ip": [V4]}, "ERROR_INVALID_ARGUMENT", []),  # octets, where text is the contract
        ({"record_ip": [b"\xff\xfe"]}, "ERROR_INVALID_ARGUMENT", []),
        ({"fqdn": "full.example.com."}, "SERVER_FAILURE", [(1, "full.example.com.", (V4,), 60)]),
    ],
)
def test_a_mapping_by_a_unary_call(
    fields: dict[str, Any], answer: str, learned: list[tuple[int, str, tuple[bytes, ...], int]]
) -> None:
    told: list[Learned] = []

    def learn(mappings: list[Learned]) -> list[int]:
        told.extend(mappings)
        return [0 if m.name.startswith("full.") else 1 for m in mappings]

    core = SimpleNamespace(lock=threading.RLock(), state=Agent(WEB).state, learn=learn)
    given: dict[str, Any] = {
        "fqdn": "api.example.com.",
        "record_ip": [b"198.51.100.7"],
        "ttl": 60,
        "source_ip": b"10.10.0.1",
    }
    service = FQDNData(cast(Core, core), lambda: None)
    reply = service.UpdateMappingRequest(pb.FQDNMapping(**(given | fields)), cast(Any, None))
    assert pb.ResponseCode.Name(reply.response) == f"RESPONSE_CODE_{answer}"
    assert [(m.endpoint, m.name, m.addresses, m.ttl) for m in told] == learned
