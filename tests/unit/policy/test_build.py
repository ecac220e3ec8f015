"""What an accepted policy means: whom it selects, whom it lets them reach."""

from __future__ import annotations

import ipaddress

import pytest

from fqdnlab.model.policy import (
    CIDRPeer,
    Entity,
    FQDNSelector,
    ICMPType,
    LabelSelector,
    PortProtocol,
    PortRule,
)
from tests.unit.policy.kit import HEAD, policy, rule

WEB = {"k8s:app": "web", "k8s:io.kubernetes.pod.namespace": "default"}
DNS = {"k8s:k8s-app": "kube-dns", "k8s:io.kubernetes.pod.namespace": "kube-system"}
HOST = {"reserved:host": ""}
WIDE = HEAD.replace("CiliumNetwork", "CiliumClusterwideNetwork")


def endpoints(text: str, head: str = HEAD) -> LabelSelector:
    (found,) = policy(f"egress: [{{toEndpoints: [{text}]}}]", head).rules()
    assert found.peers is not None
    (selector,) = found.peers
    assert isinstance(selector, LabelSelector)
    return selector


def test_the_subject_is_of_the_namespace() -> None:
    found = policy("egress: [{}]")
    assert found.selects(WEB)
    assert not found.selects({**WEB, "k8s:io.kubernetes.pod.namespace": "other"})
    assert not found.selects({**WEB, "k8s:app": "db"})
    assert not found.selects(HOST)


def test_the_subject_stays_in_its_namespace_whatever_it_asks_for() -> None:
    text = "{app: web, 'k8s:io.kubernetes.pod.namespace': other}"
    found = policy("egress: [{}]", HEAD.replace("{app: web}", text))
    assert found.selects(WEB)


def test_a_clusterwide_subject_is_of_any_namespace() -> None:
    found = policy("egress: [{}]", WIDE)
    assert found.selects({**WEB, "k8s:io.kubernetes.pod.namespace": "other"})


@pytest.mark.parametrize(
    ("key", "labels", "selected"),
    [
        ("app", {"k8s:app": "web"}, True),
        ("app", {"container:app": "web"}, True),
        ("any:app", {"container:app": "web"}, True),
        ("k8s:app", {"container:app": "web"}, False),
        ("k8s:app", {"k8s:app": "web"}, True),
    ],
)
def test_sources_of_labels(key: str, labels: dict[str, str], selected: bool) -> None:
    found = policy("egress: [{}]", WIDE.replace("{app: web}", f"{{'{key}': web}}"))
    assert found.selects(labels) is selected


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("{key: app, operator: In, values: [web, db]}", True),
        ("{key: app, operator: In, values: [db]}", False),
        ("{key: app, operator: NotIn, values: [db]}", True),
        ("{key: tier, operator: NotIn, values: [db]}", True),
        ("{key: app, operator: Exists}", True),
        ("{key: tier, operator: DoesNotExist}", True),
        ("{key: 'k8s:app', operator: DoesNotExist}", False),
    ],
)
def test_expressions(expression: str, selected: bool) -> None:
    assert endpoints(f"{{matchExpressions: [{expression}]}}").matches(WEB) is selected


def test_to_endpoints_is_of_the_namespace() -> None:
    every = endpoints("{}")
    assert every.matches(WEB)
    assert not every.matches(DNS)
    assert not every.matches(HOST)


@pytest.mark.parametrize(
    "key", ["'k8s:io.kubernetes.pod.namespace'", "io.kubernetes.pod.namespace"]
)
def test_to_endpoints_may_name_a_namespace(key: str) -> None:
    assert endpoints(f"{{matchLabels: {{{key}: kube-system}}}}").matches(DNS)
    assert not endpoints(f"{{matchLabels: {{{key}: kube-system}}}}").matches(WEB)
    assert endpoints(f"{{matchExpressions: [{{key: {key}, operator: Exists}}]}}").matches(DNS)


def test_to_endpoints_may_name_labels_of_a_namespace() -> None:
    label = "io.cilium.k8s.namespace.labels.team"
    selector = endpoints(f"{{matchLabels: {{'k8s:{label}': dns}}}}")
    assert selector.matches({**DNS, f"k8s:{label}": "dns"})
    assert not selector.matches(DNS)


def test_to_endpoints_clusterwide_is_all_of_the_cluster() -> None:
    every = endpoints("{}", WIDE)
    assert every.matches(WEB)
    assert every.matches(DNS)
    assert not every.matches(HOST)


@pytest.mark.parametrize(
    "selector",
    [
        "{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [x]}]}",
        "{matchExpressions: [{key: io.cilium.k8s.namespace.labels.a, operator: DoesNotExist}]}",
        "{matchExpressions: [{key: app, operator: NotIn, values: [x]}]}",
    ],
)
def test_what_asks_for_absence_is_still_of_the_cluster(selector: str) -> None:
    for head in (HEAD, WIDE):
        found = endpoints(selector, head)
        assert found.matches(WEB)
        assert not found.matches({})
        assert not found.matches({"reserved:world-ipv4": ""})
        assert not found.matches(HOST)


def test_reserved_labels_get_no_namespace() -> None:
    assert endpoints("{matchLabels: {'reserved:host': ''}}").matches(HOST)


def test_peers_of_each_kind() -> None:
    assert rule("{toFQDNs: [{matchName: A.b}, {matchPattern: '*.c'}]}").peers == (
        FQDNSelector(match_name="A.b"),
        FQDNSelector(match_pattern="*.c"),
    )
    assert rule("{toEntities: [world, host]}").peers == (Entity("world"), Entity("host"))
    assert rule("{toEntities: [cluster-mesh]}").peers == (Entity("cluster"),)
    network = ipaddress.ip_network
    assert rule("{toCIDR: [10.1.2.3/8, '::/0']}").peers == (
        CIDRPeer(network("10.0.0.0/8")),
        CIDRPeer(network("::/0")),
    )
    assert rule("{toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}").peers == (
        CIDRPeer(network("10.0.0.0/8"), (network("10.1.0.0/16"),)),
    )


def test_a_rule_that_says_nothing_selects_nothing() -> None:
    found = rule("{}")
    assert found.peers == ()
    assert policy("egress: [{}]").specs[0].default_deny
    assert rule("{toPorts: []}").peers == ()
    assert rule("{icmps: []}").peers == ()


@pytest.mark.parametrize(
    "kind", ["toEndpoints", "toCIDR", "toCIDRSet", "toEntities", "toFQDNs", "toNodes", "toGroups"]
)
def test_an_empty_list_of_peers_selects_nothing(kind: str) -> None:
    assert rule(f"{{{kind}: []}}").peers == ()
    assert rule(f"{{{kind}: [], toPorts: [{{ports: [{{port: '80'}}]}}]}}").peers == ()


def test_an_empty_list_beside_peers_selects_nothing() -> None:
    assert rule("{toEndpoints: [], toCIDR: ['::/0']}").peers == ()


def test_ports() -> None:
    assert rule("{toEntities: [all]}").ports is None
    assert rule("{toEntities: [all], toPorts: []}").ports is None
    assert rule("{toEntities: [all], toPorts: [{}]}").ports == (PortRule(()),)
    assert rule("{toEntities: [all], toPorts: [{ports: []}]}").ports == (PortRule(()),)
    found = rule(
        "{toPorts: [{ports: [{port: '53'}, {port: '0', protocol: TCP}, {port: HTTP, endPort: 9},"
        " {port: '80', endPort: 90, protocol: SCTP}, {port: '010', protocol: UDP}]}]}"
    )
    assert found.peers is None
    assert found.ports == (
        PortRule(
            (
                PortProtocol(53),
                PortProtocol(0, 0, "TCP"),
                PortProtocol(0, name="http"),
                PortProtocol(80, 90, "SCTP"),
                PortProtocol(8, 0, "UDP"),
            )
        ),
    )


def test_dns_rules() -> None:
    plain, filtered = policy(
        """\
        egress:
        - toPorts: [{ports: [{port: '53'}], rules: {dns: []}}]
        - toPorts: [{ports: [{port: '53'}], rules: {dns: [{matchName: a}, {matchPattern: '*'}]}}]
        """
    ).rules()
    assert plain.ports == (PortRule((PortProtocol(53),)),)
    assert filtered.ports is not None
    assert filtered.ports[0].dns == (FQDNSelector("a"), FQDNSelector("", "*"))


def test_icmp() -> None:
    found = rule("{icmps: [{fields: [{type: 8}, {type: EchoReply}, {family: IPv6, type: '128'}]}]}")
    assert found.peers is None
    assert found.icmps == (ICMPType(4, 8), ICMPType(4, 0), ICMPType(6, 128))
    assert rule("{icmps: [{fields: [{family: IPv6, type: EchoReply}]}]}").icmps == (
        ICMPType(6, 129),
    )
    assert rule("{icmps: [{fields: [{type: 256}, {type: -1}]}]}").icmps == ()
    assert rule("{icmps: [{}]}").icmps == ()


def test_rules_know_their_place() -> None:
    found = list(policy("egress:\n- {}\n- toEntities: [all]\negressDeny:\n- {}\n").rules())
    assert [(r.path, r.line, r.index, r.deny) for r in found] == [
        ("spec.egress[0]", 7, 0, False),
        ("spec.egress[1]", 8, 1, False),
        ("spec.egressDeny[0]", 10, 0, True),
    ]


@pytest.mark.parametrize(
    ("spec", "egress", "denies"),
    [
        ("egress: [{}]", True, True),
        ("egressDeny: [{}]", True, True),
        ("ingress: [{}]", False, False),
        ("ingress: [{}]\negress: []", False, False),
        ("ingress: [{}]\nenableDefaultDeny: {egress: true}", False, False),
        ("egress: [{}]\nenableDefaultDeny: {egress: false}", True, False),
        ("egress: [{}]\nenableDefaultDeny: {egress: true}", True, True),
        ("egress: [{}]\nenableDefaultDeny: {ingress: false}", True, True),
        ("egress: [{}]\nenableDefaultDeny: {egress: off}", True, False),
    ],
)
def test_default_deny(spec: str, egress: bool, denies: bool) -> None:
    (found,) = policy(spec).specs
    assert (found.egress, found.default_deny) == (egress, denies)
    assert policy(spec).selects(WEB) is egress


def test_several_specs() -> None:
    text = "egress: [{}]\nspecs:\n- {endpointSelector: {}, egress: [{toEntities: [all]}]}\n"
    found = policy("", HEAD.rstrip() + "\n  egress: [{}]\n" + text.split("\n", 1)[1])
    assert [s.rules[0].path for s in found.specs] == ["spec.egress[0]", "specs[0].egress[0]"]
