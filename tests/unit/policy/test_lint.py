"""The usual mistakes: found where they are, and not where they are not."""

from __future__ import annotations

import pytest

from fqdnlab.model.lint import lint
from fqdnlab.model.lint_names import coverage
from fqdnlab.model.policy import FQDNSelector
from tests.unit.policy.kit import NEXT, policy

DNS = """\
- toEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': kube-system}}]
  toPorts: [{ports: [{port: '53', protocol: ANY}], rules: {dns: [{matchPattern: '*.example.com'}]}}]
"""
WEB = "- toFQDNs: [{matchName: api.example.com}]\n"


def found(rules: str) -> list[tuple[str, int, str]]:
    remarks = lint(policy("egress:\n" + rules))
    assert not any(remark.voids for remark in remarks)
    return [(r.path.removeprefix("spec."), r.line - NEXT, r.reason) for r in remarks]


def test_nothing_is_said_of_what_is_right() -> None:
    assert found(DNS + WEB) == []
    assert found("- {}\n") == []
    assert found("- toEntities: [world]\n") == []


def test_names_without_any_dns_rule() -> None:
    ((path, line, reason),) = found("- toEntities: [cluster]\n" + WEB)
    assert (path, line) == ("egress[1].toFQDNs[0]", 2)
    assert reason.startswith("no rules.dns in this policy")


def test_names_that_no_dns_rule_covers() -> None:
    ((path, line, reason),) = found(DNS + "- toFQDNs: [{matchName: api.example.org}]\n")
    assert (path, line) == ("egress[1].toFQDNs[0]", 3)
    assert "look up any name of matchName api.example.org" in reason
    ((_, _, partly),) = found(DNS + "- toFQDNs: [{matchPattern: '**.example.com'}]\n")
    assert "look up some names of matchPattern **.example.com" in partly


def test_a_dns_rule_that_selects_no_server_covers_nothing() -> None:
    rules = DNS.replace("[{matchLabels: {'k8s:io.kubernetes.pod.namespace': kube-system}}]", "[]")
    reasons = [reason for _, _, reason in found(rules + WEB)]
    assert any(reason.startswith("no rules.dns in this policy") for reason in reasons)


@pytest.mark.parametrize(
    ("selector", "others", "least", "most"),
    [
        (FQDNSelector("a.x.io"), ["*.x.io"], 1, 1),
        (FQDNSelector("A.X.io"), ["a.x.IO."], 1, 1),
        (FQDNSelector("a.b.x.io"), ["*.x.io"], 0, 0),
        (FQDNSelector("a.b.x.io"), ["*.x.io", "**.x.io"], 1, 1),
        (FQDNSelector("", "*.x.io"), ["*.x.io"], 1, 1),
        (FQDNSelector("", "*.x.io"), ["*"], 1, 1),
        (FQDNSelector("", "*.x.io"), ["**.io"], 1, 1),
        (FQDNSelector("", "*.x.io"), ["a*.x.io"], 0, 0),
        (FQDNSelector("", "a*.x.io"), ["*.x.io"], 1, 1),
        (FQDNSelector("", "*.x.io"), ["x*.x.io"], 0.1, 0.9),
        (FQDNSelector("", "**.x.io"), ["*.x.io"], 0.1, 0.9),
        (FQDNSelector("", "*"), ["*.io"], 0, 0),
        (FQDNSelector("", "*"), ["**."], 1, 1),
        (FQDNSelector("", "a**.*.io"), ["**.io"], 1, 1),
    ],
)
def test_coverage(selector: FQDNSelector, others: list[str], least: float, most: float) -> None:
    share = coverage(selector, [FQDNSelector("", other) for other in others])
    assert least <= share <= most


@pytest.mark.parametrize(
    ("plain", "opens"),
    [
        ("{toEndpoints: [{matchLabels: {%s: kube-system}}], toPorts: [%s]}", True),
        ("{toEndpoints: [{matchLabels: {%s: kube-system, k8s-app: dns}}], toPorts: [%s]}", True),
        ("{toEndpoints: [{matchLabels: {%s: default}}], toPorts: [%s]}", False),
        ("{toEntities: [cluster], toPorts: [%.0s%s]}", True),
        ("{toEntities: [world], toPorts: [%.0s%s]}", False),
        ("{toEntities: [all], toPorts: [%.0s%s]}", False),
        ("{toPorts: [%.0s%s]}", False),
        ("{toEndpoints: [{matchLabels: {%s: kube-system}}]}%.0s", False),
        ("{toEndpoints: [], toPorts: [%.0s%s]}", False),
    ],
)
def test_a_plain_rule_for_the_same_port_and_peer(plain: str, opens: bool) -> None:
    text = plain % ("'k8s:io.kubernetes.pod.namespace'", "{ports: [{port: '53', protocol: UDP}]}")
    reasons = [reason for path, _, reason in found(f"- {text}\n" + DNS) if "[0]" in path]
    assert any("opens every name: 53/UDP" in reason for reason in reasons) is opens


@pytest.mark.parametrize(
    "ports",
    [
        "{port: '53', endPort: 54}",
        "{port: '0'}",
        "{port: '54'}",
        "{port: dns}",
    ],
)
def test_a_plain_rule_for_other_ports_opens_nothing(ports: str) -> None:
    plain = DNS.splitlines()[0] + f"\n  toPorts: [{{ports: [{ports}]}}]\n"
    assert not any("opens every name" in reason for _, _, reason in found(plain + DNS))


def test_plain_and_filtered_in_one_rule() -> None:
    rules = DNS.replace("toPorts: [", "toPorts: [{ports: [{port: '53'}]}, ")
    ((path, _, reason),) = found(rules)
    assert path == "egress[0].toPorts[0]"
    assert "53/SCTP, 53/TCP, 53/UDP" in reason
    assert "egress[0].toPorts[1]" in reason


@pytest.mark.parametrize(
    ("left", "right", "opens"),
    [
        ("toCIDR: [10.0.0.0/8]", "toCIDR: [10.96.0.10/32]", True),
        ("toCIDR: [10.0.0.0/8]", "toCIDR: [192.0.2.0/24]", False),
        ("toCIDR: [10.0.0.0/8]", "toCIDR: ['::/0']", False),
        ("toEntities: [world]", "toCIDR: [192.0.2.0/24]", True),
        ("toEntities: [world]", "toEntities: [world]", True),
        ("toEntities: [host]", "toEntities: [remote-node]", False),
        ("toFQDNs: [{matchName: a}]", "toFQDNs: [{matchName: a}]", True),
        ("toFQDNs: [{matchName: a}]", "toFQDNs: [{matchName: b}]", False),
        ("toEndpoints: [{}]", "toCIDR: ['::/0']", False),
        ("toEntities: [all]", "toEntities: [all]", True),
    ],
)
def test_peers_that_may_be_the_same(left: str, right: str, opens: bool) -> None:
    ports = "{ports: [{port: '53'}]%s}"
    dns = ", rules: {dns: [{matchPattern: '*'}]}"
    rules = f"- {{{left}, toPorts: [{ports % ''}]}}\n- {{{right}, toPorts: [{ports % dns}]}}\n"
    assert any("opens every name" in reason for _, _, reason in found(rules)) is opens


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (f"matchName: {'a' * 64}.io", "a label has at most 63"),
        (f"matchPattern: '{'a' * 60}*{'b' * 4}.io'", "a label has at most 63"),
        (f"matchName: {'.'.join(['a' * 50] * 5)}", "a name has at most 253"),
        ("matchName: 10.0.0.1", "this is an address"),
        ("matchName: a.b.svc.cluster.local", "never selects endpoints of the cluster"),
    ],
)
def test_what_can_never_match(selector: str, words: str) -> None:
    ((path, _, reason),) = found(DNS + f"- toFQDNs: [{{{selector}}}]\n")
    assert path == "egress[1].toFQDNs[0]"
    assert words in reason


def test_services_may_be_looked_up() -> None:
    assert found(DNS.replace("*.example.com", "*.svc.cluster.local")) == []


@pytest.mark.parametrize(
    ("rule", "path", "words"),
    [
        ("{toFQDNs: [], toPorts: [{ports: [{port: '443'}]}]}", "egress[0]", "empty toFQDNs"),
        ("{toEntities: [all], toPorts: [{}]}", "egress[0].toPorts[0]", "no ports"),
        (
            "{toEntities: [all], toPorts: [{ports: [{port: http}]}]}",
            "egress[0].toPorts[0].ports[0]",
            "'http' is a name",
        ),
        ("{icmps: [{fields: [{type: 300}]}]}", "egress[0].icmps", "no ICMP type"),
    ],
)
def test_what_selects_nothing(rule: str, path: str, words: str) -> None:
    ((place, _, reason),) = found(f"- {rule}\n")
    assert place == path
    assert words in reason
    assert "selects nothing" in reason
