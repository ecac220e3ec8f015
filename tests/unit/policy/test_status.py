"""Enforced, or accepted and not enforced: which fields, under which profile."""

from __future__ import annotations

import pytest

from fqdnlab.model.status import policy_report
from tests.unit.policy.kit import HEAD, NEXT, document, policy

DNS = "toPorts: [{{ports: [{{port: '53'}}], rules: {{dns: [{{{}}}]}}}}]"


def test_what_is_enforced_under_both() -> None:
    found = policy(
        f"egress: [{{{DNS.format('matchPattern: *.example.com')}}}]".replace(
            "*.example.com", "'*.example.com'"
        )
    )
    for profile in ("cilium", "acns"):
        report = policy_report(found, profile)
        assert (report.enforced, report.word, report.reason) == (True, "enforced", "")
        assert report.rows() == [{"path": "", "profile": profile, "enforced": True, "reason": ""}]


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("toServices: [{}]", "toServices"),
        ("toGroups: [{}]", "toGroups"),
        ("toCIDRSet: [{cidrGroupRef: a}]", "toCIDRSet[0].cidrGroupRef"),
        ("toCIDRSet: [{cidrGroupSelector: {}}]", "toCIDRSet[0].cidrGroupSelector"),
        ("authentication: {mode: required}", "authentication"),
        (
            "toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}}]",
            "toPorts[0].rules.http",
        ),
        ("toPorts: [{ports: [{port: '443'}], serverNames: [a.b]}]", "toPorts[0].serverNames"),
        (
            "toPorts: [{ports: [{port: '443'}], terminatingTLS: {secret: {name: a}}}]",
            "toPorts[0].terminatingTLS",
        ),
        (
            "toPorts: [{ports: [{port: '443'}], originatingTLS: {secret: {name: a}}}]",
            "toPorts[0].originatingTLS",
        ),
        (
            "toPorts: [{ports: [{port: '443'}], listener: {envoyConfig: {name: a}, name: b}}]",
            "toPorts[0].listener",
        ),
        (
            "toPorts: [{ports: [{port: '0', protocol: GRE}]}]",
            "toPorts[0].ports[0].protocol",
        ),
    ],
)
def test_what_is_enforced_under_neither(rule: str, path: str) -> None:
    """One such field, in one of several rules, and the whole policy is without effect."""
    found = policy(f"egress:\n- toEntities: [world]\n- {{{rule}}}")
    for profile in ("cilium", "acns"):
        report = policy_report(found, profile)
        assert not report.enforced
        assert report.word == "accepted, not enforced"
        ((place, line),) = [(o.path, o.line) for o in report.obstacles]
        assert (place, line) == (f"spec.egress[1].{path}", NEXT + 2)
        assert path in report.reason


@pytest.mark.parametrize(
    "selector",
    [
        "matchPattern: '*'",
        "matchPattern: '**.'",
        "matchPattern: '*.svc.cluster.local'",
        "matchName: web.shop.svc.cluster.local",
        "matchName: WEB.shop.SVC.",
        "matchPattern: '**.cluster.local.'",
    ],
)
def test_what_acns_alone_does_not_take(selector: str) -> None:
    found = policy(f"egress: [{{{DNS.format(selector)}}}]")
    assert policy_report(found, "cilium").enforced
    report = policy_report(found, "acns")
    assert not report.enforced
    assert {o.path.split(".")[-2] for o in report.obstacles} == {"dns[0]"}


def test_stars_alone_in_to_fqdns_are_taken() -> None:
    found = policy("egress: [{toFQDNs: [{matchPattern: '*'}]}]")
    assert policy_report(found, "acns").enforced


def test_names_of_services_in_to_fqdns_are_not_taken_by_acns() -> None:
    found = policy("egress: [{toFQDNs: [{matchPattern: '*.svc.cluster.local'}]}]")
    assert policy_report(found, "cilium").enforced
    assert not policy_report(found, "acns").enforced


def test_ingress_is_beside_the_point() -> None:
    found = policy("egress: [{toEntities: [all]}]\ningress: [{}]\ningressDeny: [{fromCIDR: []}]")
    report = policy_report(found, "cilium")
    assert report.enforced
    assert [b.path for b in report.beside] == ["spec.ingress", "spec.ingressDeny"]
    assert [(row["path"], row["enforced"]) for row in report.rows()] == [
        ("", True),
        ("spec.ingress", False),
        ("spec.ingressDeny", False),
    ]
    assert policy_report(policy("egress: [{}]\ningress: []"), "cilium").beside == ()


def test_a_policy_of_the_node_has_no_effect() -> None:
    head = HEAD.replace("CiliumNetwork", "CiliumClusterwideNetwork").replace("endpoint", "node")
    assert not policy_report(policy("egress: [{}]", head), "cilium").enforced
    assert policy_report(policy("ingress: [{}]", head), "cilium").enforced


def test_what_has_no_effect_anyway_voids_nothing() -> None:
    found = policy(
        "egress: [{authentication: {mode: disabled}, toServices: [], toEntities: [all]}]\n"
        "description: words\nlabels: [{key: a}]\nlog: {value: x}\n"
    )
    assert policy_report(found, "acns").enforced


def test_there_are_two_profiles() -> None:
    assert document("")  # the kit makes text
    with pytest.raises(ValueError, match="one of cilium, acns"):
        policy_report(policy("egress: [{}]"), "azure")
