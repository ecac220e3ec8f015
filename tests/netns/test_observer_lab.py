"""A lab's flows as Hubble would show them: real clients, agent and proxy, Hubble's JSON."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fqdnlab import Lab
from fqdnlab.demo.policies import WEB_EGRESS
from fqdnlab.lab import machine_service
from fqdnlab.lab.endpoint import Endpoint
from fqdnlab.paths import LabPaths
from fqdnlab.testing import eventually

API, API6, MOVED, CDN, EVIL, BARRED = (
    "198.51.100.7",
    "2001:db8::7",
    "198.51.100.8",
    "198.51.100.9",
    "203.0.113.5",
    "192.0.2.25",
)
NO_BARRED = f"""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: no-barred, namespace: default}}
spec:
  endpointSelector: {{matchLabels: {{app: web}}}}
  egressDeny:
  - toCIDR: [{BARRED}/32]
"""
DROP, VERDICT, L7 = 1, 5, 129
Flow = dict[str, Any]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with machine_service(), Lab(f"flows-{os.getpid()}", hold=2.0) as made:
        made.endpoint("web", labels={"app": "web"})
        made.endpoint("shop", labels={"app": "web"})
        made.world["api.example.com"] = [API, API6]
        made.world["a.cdn.example.com"] = [CDN]
        made.world["evil.example.org"] = [EVIL]
        made.apply(WEB_EGRESS)
        made.apply(NO_BARRED)
        yield made


@pytest.fixture
def web(lab: Lab) -> Endpoint:
    return lab.endpoint("web")


def curl(endpoint: Endpoint, url: str, *words: str) -> bool:
    return endpoint.run(["curl", "-sS", "-m", "3", *words, url]).ok


def fails_at(endpoint: Endpoint, address: str) -> None:
    assert not curl(endpoint, f"http://{address}/", "--connect-timeout", "0.3")


def flows(lab: Lab, wanted: Callable[[Flow], bool], least: int = 1) -> list[Flow]:
    """Those flows of the lab, once there are so many."""

    def there() -> list[Flow]:
        found = [json.loads(line)["flow"] for line in lab.flow_lines()]
        chosen = [flow for flow in found if wanted(flow)]
        assert len(chosen) >= least, [flow.get("Summary") for flow in found[-20:]]
        return chosen

    return eventually(there, 5.0, "flows")


def to(address: str, endpoint: str = "web") -> Callable[[Flow], bool]:
    def test(flow: Flow) -> bool:
        return flow["IP"]["destination"] == address and flow["source"].get("pod_name") == endpoint

    return test


def asks(query: str) -> Callable[[Flow], bool]:
    return lambda flow: flow.get("l7", {}).get("dns", {}).get("query") == query


def own(flow: Flow) -> dict[str, Any]:
    """What fqdnlab alone knows."""
    value: dict[str, Any] = flow["extensions"]["value"]
    return value


def test_an_allowed_connection(lab: Lab, web: Endpoint) -> None:
    assert curl(web, "http://api.example.com/", "-4")
    named = lambda f: to(API)(f) and own(f).get("mapping_state") == "enforced"  # noqa: E731
    flow = flows(lab, named)[0]
    assert flow["verdict"] == "FORWARDED"
    assert flow["Type"] == "L3_L4"
    assert flow["event_type"] == {"type": VERDICT}
    assert flow["traffic_direction"] == "EGRESS"
    assert flow["is_reply"] is False
    assert flow["l4"]["TCP"]["destination_port"] == 80
    assert flow["l4"]["TCP"]["flags"] == {"SYN": True}
    assert flow["destination_names"] == ["api.example.com"]
    assert flow["policy_match_type"] == 2  # identity, protocol and port
    (policy,) = flow["egress_allowed_by"]
    assert (policy["namespace"], policy["name"]) == ("default", "web-egress")
    assert policy["kind"] == "CiliumNetworkPolicy"
    assert own(flow)["mapping_state"] == "enforced"


def test_over_ipv6(lab: Lab, web: Endpoint) -> None:
    assert curl(web, "http://api.example.com/", "-6")
    flow = flows(lab, to(API6))[0]
    assert flow["IP"] == {"source": web.ip6, "destination": API6, "ipVersion": "IPv6"}
    assert flow["destination_names"] == ["api.example.com"]
    (answer,) = flows(
        lab, lambda f: f.get("l7", {}).get("type") == "RESPONSE" and "AAAA" in f["Summary"]
    )
    assert answer["l7"]["dns"]["ips"] == [API6]


def test_names_are_those_that_the_endpoint_itself_resolved(lab: Lab) -> None:
    """The mapping is the node's and lets the neighbour through; the name is not its own."""
    shop = lab.endpoint("shop")
    assert curl(shop, "http://api.example.com/", "--resolve", f"api.example.com:80:{API}")
    (flow,) = flows(lab, to(API, "shop"))
    assert flow["verdict"] == "FORWARDED"
    assert "destination_names" not in flow
    assert "fqdn:api.example.com" in flow["destination"]["labels"]


def test_a_drop_without_a_rule_is_two_flows_and_names_no_policy(lab: Lab, web: Endpoint) -> None:
    fails_at(web, EVIL)
    verdict, drop = flows(lab, to(EVIL), 2)[:2]
    assert verdict["event_type"] == {"type": VERDICT}
    assert drop["event_type"] == {"type": DROP, "sub_type": 133}
    for flow in (verdict, drop):
        assert flow["verdict"] == "DROPPED"
        assert flow["drop_reason_desc"] == "POLICY_DENIED"
        assert "egress_denied_by" not in flow
    assert "policy_match_type" not in drop


def test_a_drop_by_a_rule_names_its_policy_on_the_verdict(lab: Lab, web: Endpoint) -> None:
    fails_at(web, BARRED)
    verdict, drop = flows(lab, to(BARRED), 2)[:2]
    assert [p["name"] for p in verdict["egress_denied_by"]] == ["no-barred"]
    assert verdict["drop_reason_desc"] == drop["drop_reason_desc"] == "POLICY_DENY"
    assert drop["event_type"] == {"type": DROP, "sub_type": 181}
    assert "egress_denied_by" not in drop


def test_a_look_up_is_a_request_and_a_response(lab: Lab, web: Endpoint) -> None:
    assert web.run(["dig", "+short", "a.cdn.example.com"]).stdout.split() == [CDN]
    request, response = flows(lab, asks("a.cdn.example.com."), 2)
    for flow in (request, response):
        assert (flow["Type"], flow["event_type"]) == ("L7", {"type": L7})
        assert (flow["verdict"], flow["traffic_direction"]) == ("FORWARDED", "EGRESS")
        assert flow["l7"]["dns"]["observation_source"] == "proxy"
    assert request["l7"]["type"] == "REQUEST"
    assert request["is_reply"] is False
    assert response["l7"]["type"] == "RESPONSE"
    assert response["is_reply"] is True
    assert response["IP"]["source"] == request["IP"]["destination"] == "10.96.0.10"
    assert response["destination"]["pod_name"] == "web"
    assert int(response["l7"]["latency_ns"]) > 0
    assert response["l7"]["dns"]["ips"] == [CDN]
    assert "early" not in own(response)


def test_a_denied_name_is_a_dropped_request(lab: Lab, web: Endpoint) -> None:
    web.run(["dig", "evil.example.org"])
    (flow,) = flows(lab, asks("evil.example.org."))
    assert (flow["verdict"], flow["l7"]["type"]) == ("DROPPED", "REQUEST")
    assert "drop_reason_desc" not in flow
    assert "rcode" not in flow["l7"]["dns"]


def test_metrics(lab: Lab) -> None:
    text = _metrics(lab)
    for series in (
        'cilium_drop_count_total{reason="Policy denied",direction="EGRESS"}',
        'cilium_drop_count_total{reason="Policy denied by denylist",direction="EGRESS"}',
        'cilium_forward_count_total{direction="EGRESS"}',
        'hubble_drop_total{reason="POLICY_DENIED",protocol="TCP"}',
        'hubble_drop_total{reason="POLICY_DENY",protocol="TCP"}',
        'hubble_dns_queries_total{rcode="",qtypes="A",ips_returned="0"}',
        'hubble_dns_queries_total{rcode="Policy denied",qtypes="A",ips_returned="0"}',
        'hubble_dns_responses_total{rcode="No Error",qtypes="A",ips_returned="1"}',
        'hubble_flows_processed_total{protocol="DNS",type="L7",subtype="DNS",verdict="FORWARDED"}',
        'hubble_tcp_flags_total{flag="SYN",family="IPv6"}',
    ):
        assert _value(text, series) > 0, series


def test_what_was_forwarded_is_not_forgotten_with_its_policy(lab: Lab, web: Endpoint) -> None:
    series = 'cilium_forward_count_total{direction="EGRESS"}'
    before = _value(_metrics(lab), series)
    lab.delete_policy("web-egress")
    assert _value(_metrics(lab), series) >= before
    lab.apply(WEB_EGRESS)
    assert curl(web, "http://api.example.com/", "-4")
    assert _value(_metrics(lab), series) > before


def test_with_the_agent_dead(lab: Lab, web: Endpoint) -> None:
    """The observer goes on, and a new one starts: names and rules are still told."""
    lab.agent.kill()
    lab.world["api.example.com"] = [MOVED]
    assert web.run(["dig", "+short", "api.example.com"]).stdout.split() == [MOVED]
    fails_at(web, MOVED)
    response = flows(lab, lambda f: f.get("l7", {}).get("dns", {}).get("ips") == [MOVED])[0]
    assert own(response)["early"] is True
    assert own(response)["early_reason"] == "agent-dead"
    assert own(response)["mapping_state"] == "waits"
    dropped = flows(lab, to(MOVED), 2)[0]
    assert dropped["destination_names"] == ["api.example.com"]
    assert own(dropped)["mapping_state"] == "waits"

    lab.observer.restart()
    assert curl(web, "http://api.example.com/", "--resolve", f"api.example.com:80:{API}")
    allowed = flows(lab, to(API))[0]
    assert allowed["destination_names"] == ["api.example.com"]
    assert [p["name"] for p in allowed["egress_allowed_by"]] == ["web-egress"]
    assert lab.agent.state().state == "dead"


def _metrics(lab: Lab) -> str:
    connection = http.client.HTTPConnection("unix")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.connect(str(LabPaths(lab.name).metrics_socket("observer")))
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _value(text: str, series: str) -> float:
    found = [line for line in text.splitlines() if line.startswith(f"{series} ")]
    assert len(found) == 1, (series, [s for s in text.splitlines() if not s.startswith("#")])
    return float(found[0].rsplit(" ", 1)[1])
