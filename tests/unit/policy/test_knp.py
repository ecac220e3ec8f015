"""Kubernetes' own NetworkPolicy: its egress as Cilium reads it, and what the API server refuses."""

from __future__ import annotations

import ipaddress

import pytest

from fqdnlab.model.policy import CIDRPeer, LabelSelector, PortProtocol, PortRule, Rule
from fqdnlab.model.status import policy_report
from tests.unit.policy.kit import check, faults, policy

HEAD = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
"""
WEB = {"k8s:app": "web", "k8s:io.kubernetes.pod.namespace": "shop"}
DNS = {
    "k8s:k8s-app": "kube-dns",
    "k8s:io.kubernetes.pod.namespace": "kube-system",
    "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": "kube-system",
}


def rule(text: str) -> Rule:
    (found,) = policy(f"egress: [{text}]", HEAD).rules()
    return found


def test_the_subject() -> None:
    found = policy("egress: [{}]", HEAD)
    assert found.key == ("NetworkPolicy", "shop", "web")
    assert found.selects(WEB)
    assert not found.selects({**WEB, "k8s:io.kubernetes.pod.namespace": "other"})
    assert not found.selects({"container:app": "web", "k8s:io.kubernetes.pod.namespace": "shop"})


def test_an_empty_rule_allows_all() -> None:
    for text in ("{}", "{to: [], ports: []}", "{to: ~}"):
        found = rule(text)
        assert (found.peers, found.ports) == (None, None)


def test_ports() -> None:
    found = rule(
        "{ports: [{port: 53, protocol: UDP}, {}, {protocol: SCTP}, {port: http},"
        " {port: 80, endPort: 90}]}"
    )
    assert found.peers is None
    assert found.ports == (
        PortRule(
            (
                PortProtocol(53, 0, "UDP"),
                PortProtocol(0, 0, "TCP"),
                PortProtocol(0, 0, "SCTP"),
                PortProtocol(0, 0, "TCP", "http"),
                PortProtocol(80, 90, "TCP"),
            )
        ),
    )


def test_blocks() -> None:
    assert rule("{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}").peers == (
        CIDRPeer(ipaddress.ip_network("10.0.0.0/8"), (ipaddress.ip_network("10.1.0.0/16"),)),
    )


@pytest.mark.parametrize(
    ("peer", "web", "dns"),
    [
        ("{podSelector: {}}", True, False),
        ("{podSelector: {matchLabels: {app: web}}}", True, False),
        ("{podSelector: {matchLabels: {app: db}}}", False, False),
        ("{namespaceSelector: {}}", True, True),
        (
            "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}",
            False,
            True,
        ),
        (
            "{namespaceSelector: {matchExpressions:"
            " [{key: kubernetes.io/metadata.name, operator: DoesNotExist}]}}",
            True,
            False,
        ),
        ("{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}", False, True),
    ],
)
def test_selectors(peer: str, web: bool, dns: bool) -> None:
    found = rule(f"{{to: [{peer}]}}")
    assert found.peers is not None
    (selector,) = found.peers
    assert isinstance(selector, LabelSelector)
    assert (selector.matches(WEB), selector.matches(DNS)) == (web, dns)
    assert not selector.matches({"reserved:host": ""})


@pytest.mark.parametrize(
    ("spec", "egress"),
    [
        ("egress: [{}]", True),
        ("egress: []", False),
        ("ingress: [{}]", False),
        ("{}", False),
        ("policyTypes: [Egress]", True),
        ("policyTypes: [Ingress]", False),
        ("policyTypes: [Ingress, Egress]\negress: ~", True),
        ("policyTypes: [Ingress]\negress: [{}]", True),
    ],
)
def test_default_deny(spec: str, egress: bool) -> None:
    (found,) = policy(spec if spec != "{}" else "", HEAD).specs
    assert (found.egress, found.default_deny) == (egress, egress)


def test_ingress_is_shown_and_voids_nothing() -> None:
    report = policy_report(policy("egress: [{}]\ningress: [{}]", HEAD), "acns")
    assert report.enforced
    assert [remark.path for remark in report.beside] == ["spec.ingress"]


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ("egress: [{to: [{}]}]", "spec.egress[0].to[0]", "at least one of podSelector"),
        (
            "egress: [{to: [{podSelector: {}, ipBlock: {cidr: '::/0'}}]}]",
            "spec.egress[0].to[0].ipBlock",
            "no podSelector",
        ),
        ("egress: [{to: [{ipBlock: {cidr: x/1}}]}]", "spec.egress[0].to[0].ipBlock.cidr", "a netw"),
        (
            "egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]",
            "spec.egress[0].to[0].ipBlock.except[0]",
            "not all of it",
        ),
        ("egress: [{ports: [{port: 0}]}]", "spec.egress[0].ports[0].port", "from 1 to 65535"),
        ("egress: [{ports: [{port: '80'}]}]", "spec.egress[0].ports[0].port", "name of a port"),
        ("egress: [{ports: [{protocol: ANY}]}]", "spec.egress[0].ports[0].protocol", "one of TCP"),
        ("egress: [{ports: [{endPort: 9}]}]", "spec.egress[0].ports[0].endPort", "a number"),
        (
            "egress: [{ports: [{port: 80, endPort: 9}]}]",
            "spec.egress[0].ports[0].endPort",
            "no less",
        ),
        ("egress: [{toFQDNs: []}]", "spec.egress[0].toFQDNs", "unknown field"),
        ("policyTypes: [egress]", "spec.policyTypes[0]", "one of Ingress, Egress"),
        (
            "egress: [{to: [{podSelector: {matchLabels: {-a: b}}}]}]",
            "spec.egress[0].to[0].podSelector.matchLabels.-a",
            "1 to 63",
        ),
    ],
)
def test_refused(spec: str, path: str, words: str) -> None:
    text = HEAD + "".join(f"  {line}\n" for line in spec.splitlines())
    assert list(faults(text)) == [path]
    assert words in faults(text)[path][1]
    assert faults(text)[path][0] == 6


def test_null_is_no_field_here() -> None:
    found = policy("egress: [~]\ningress: ~", HEAD)
    assert [(r.peers, r.ports) for r in found.rules()] == [(None, None)]
    text = HEAD.replace("app: web", "app: ~")
    assert check(text + "  egress: [{}]\n").accepted
    assert not policy("egress: [{}]", text).selects(WEB)
    assert policy("egress: [{}]", text).selects({**WEB, "k8s:app": ""})


def test_other_versions_are_refused() -> None:
    text = HEAD.replace("networking.k8s.io/v1", "extensions/v1beta1")
    assert "networking.k8s.io/v1 is expected" in faults(text)["apiVersion"][1]
