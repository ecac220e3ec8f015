"""Known flows are judged anew after every change that can alter a verdict on them."""

from __future__ import annotations

import pytest

from .kit import SECOND, WEB, Agent, endpoint

#: A DNS server by name: the resolver is asked for it, and what it resolves to is redirected.
SERVER = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: server, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toCIDR: [198.51.100.0/24]
  - toFQDNs: [{matchName: dns.example.com}]
    toPorts:
    - ports: [{port: "53", protocol: UDP}]
      rules: {dns: [{matchPattern: "*"}]}
"""


def tables(operations: object) -> list[str]:
    return [o.table for o in operations]  # type: ignore[attr-defined]


def test_a_new_address_that_names_only_open_needs_none() -> None:
    agent = Agent(WEB)
    agent.learn("api.example.com.", "198.51.100.7")
    assert tables(agent.learn("api.example.com.", "198.51.100.8")) == ["ipcache"]


def test_an_address_that_becomes_a_redirected_server_needs_one() -> None:
    agent = Agent(SERVER)
    assert agent.verdict("198.51.100.53", 53, proto=17) == "allow"
    operations = agent.learn("dns.example.com.", "198.51.100.53")
    assert agent.verdict("198.51.100.53", 53, proto=17) == "redirect"
    assert tables(operations)[-2:] == ["ipcache", "epoch"]


def test_an_address_that_becomes_another_needs_one() -> None:
    agent = Agent(WEB)
    agent.learn("api.example.com.", "198.51.100.7")
    assert tables(agent.learn("a.cdn.example.com.", "198.51.100.7"))[-1] == "epoch"


@pytest.mark.parametrize("live", [True, False])
def test_a_mapping_that_expires_needs_one(live: bool) -> None:
    agent = Agent(WEB)
    agent.learn("api.example.com.", "198.51.100.7", ttl=10)
    operations = agent.collect(60 * SECOND, *(["198.51.100.7"] if live else []))
    assert tables(operations)[-1] == "epoch"


def test_policies_and_endpoints_need_one() -> None:
    agent = Agent()
    assert tables(agent.apply(WEB))[-1] == "epoch"
    more = [endpoint(), endpoint(2)]
    assert tables(agent.run(agent.state.set_endpoints(more)))[-1] == "epoch"
    gone = agent.state.delete_policy(("CiliumNetworkPolicy", "default", "web"))
    assert tables(agent.run(gone))[-1] == "epoch"
