"""What Cilium's Standalone DNS Proxy does otherwise than ours, and must be served all the same."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

from fqdnlab.agent.fqdndata import FQDNData
from fqdnlab.agent.publisher import Publisher
from fqdnlab.agent.service import Core
from fqdnlab.agent.snapshot import policy_state
from fqdnlab.pb import fqdndata_pb2 as pb
from tests.unit.agent.kit import WEB, Agent


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
