"""Facts made by hand: one endpoint, one policy, and maps as the agent would fill them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fqdnlab.agent.cluster import Endpoint, Learned, cluster_labels
from fqdnlab.agent.state import AgentState
from fqdnlab.datapath.maptext import KEYS, VALUES
from fqdnlab.explain.facts import DecidingRule, Facts, Known, Workload
from fqdnlab.explain.kernel import KernelMaps
from fqdnlab.explain.way import rule_at
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.settings import LabSettings
from fqdnlab.world.client_names import RecordsOf

WEB = Workload(
    1, "web", "default", cluster_labels("default", {"app": "web"}), ("10.10.0.1", "fd10::1")
)
POLICY = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: web-egress
spec:
  endpointSelector:
    matchLabels: {app: web}
  egress:
  - toEndpoints:
    - matchLabels:
        k8s:io.kubernetes.pod.namespace: kube-system
        k8s-app: kube-dns
    toPorts:
    - ports: [{port: "53", protocol: ANY}]
      rules:
        dns: [{matchPattern: "*.example.com"}]
  - toFQDNs: [{matchPattern: "*.example.com"}]
    toPorts:
    - ports: [{port: "443", protocol: TCP}]
  egressDeny:
  - toCIDR: [203.0.113.0/24]
"""
API = Known("web", "api.example.com.", "198.51.100.7", 60, 100.0, 160.0)


def agent_of(facts: Facts) -> AgentState:
    """The agent's state for the same policies, endpoints and mappings."""
    state = AgentState(LabSettings())
    for who in facts.endpoints:
        labels = tuple(
            (k.removeprefix("k8s:"), v)
            for k, v in who.labels
            if not k.startswith(("k8s:io.kubernetes", "k8s:io.cilium"))
        )
        ip4, ip6 = who.addresses
        one = Endpoint(who.id, who.name, who.namespace, labels, f"lxc{who.id}", who.id, ip4, ip6)
        state.content.note(state.put_endpoint(one))
    state.content.note(state.set_policies(facts.policies or ()))
    return state


def with_maps(facts: Facts, learned: Iterable[Known]) -> Facts:
    """`facts` with the kernel's maps as the agent fills them after `learned`."""
    state = agent_of(facts)
    for known in learned:
        packed = ipaddress.ip_address(known.address).packed
        told = Learned(1, known.name, (packed,), known.ttl, 0)
        state.content.note(state.learn(told, 0))
    content = {
        "endpoints": state.content.endpoint,
        "ipcache_host": state.content.ipcache,
        "ipcache_cidr": state.content.cidr,
        "policy": state.content.policy,
    }
    entries = [
        (name, KEYS[name](key), VALUES[name](value))
        for name, rows in content.items()
        for key, value in rows.items()
    ]
    rules: dict[int, DecidingRule] = {}
    for ref, number in state.rules.items():
        rule = rule_at(facts, ref)
        assert rule is not None
        rules[number] = replace(rule, index=number)
    labels = {n: tuple(i.label_list()) for i, n in state.identities.items()}
    return replace(facts, maps=KernelMaps(entries), rules=rules, labels=labels)


def facts(
    text: str = POLICY,
    known: Iterable[Known] = (API,),
    zones: dict[str, list[str]] | None = None,
    **changes: Any,
) -> Facts:
    """A lab's facts; `changes` in place of fields."""
    records = tuple(
        RecordsOf(name, "AAAA" if ":" in a else "A", 60, (a,))
        for name, addresses in (zones or {"api.example.com": ["198.51.100.7"]}).items()
        for a in addresses
    )
    made = Facts(
        "lab",
        200.0,
        endpoints=(WEB,),
        policies=parse_policies(text, "policy.yaml"),
        mappings=tuple(known),
        queries=(),
        zones=records,
        processes={"agent": "running", "proxy": "running", "observer": "running"},
    )
    return replace(with_maps(made, made.mappings or ()), **changes)
