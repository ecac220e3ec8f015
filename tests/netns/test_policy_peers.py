"""Policies of every kind of peer and port, and what real packets then meet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from fqdnlab.lab import Lab, machine_service
from tests.lab_kit import RESOLVER, Site, cnp, dns, names, ports

A, B, C = "198.51.100.7", "198.51.100.200", "203.0.113.9"
A6, B6 = "2001:db8:1::7", "2001:db8:2::7"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with machine_service(), Lab(f"peers-{os.getpid()}") as lab:
        lab.endpoint("web", labels={"app": "web", "tier": "front"})
        lab.endpoint("db", labels={"app": "db"})
        lab.endpoint("far", labels={"app": "db"}, namespace="prod")
        yield Site(lab)


@pytest.fixture(autouse=True)
def _fresh(site: Site) -> Iterator[None]:
    yield
    site.forget()


def test_without_a_policy_all_is_reached(site: Site) -> None:
    site.check("web", {(A, 443): "open", (A6, 80): "open", (A, 4242): "refused"})
    assert site.ping("web", A, 5)
    assert site.ping("web", A6, 5)


def test_networks_with_exceptions(site: Site) -> None:
    rule = {
        "toCIDRSet": [
            {"cidr": "198.51.100.0/24", "except": ["198.51.100.192/26"]},
            {"cidr": "2001:db8::/32", "except": ["2001:db8:2::/48"]},
        ]
    }
    with site.policy(cnp("net", rule)):
        site.check(
            "web",
            {
                (A, 443): "open",
                (A, 80): "open",
                (B, 443): "dropped",
                (C, 443): "dropped",
                (A6, 443): "open",
                (B6, 443): "dropped",
            },
        )
        assert site.ping("web", A, 5), "a rule without ports allows every protocol"
        assert not site.ping("web", B)
    site.check("web", {(B, 443): "open", (C, 443): "open", (B6, 443): "open"})


def test_an_excepted_network_that_another_item_names_is_open(site: Site) -> None:
    rule = {
        "toCIDRSet": [{"cidr": "198.51.100.0/24", "except": ["198.51.100.192/26"]}],
        "toPorts": ports("443"),
    }
    with site.policy(cnp("net", rule, {"toCIDR": [f"{B}/32"], "toPorts": ports("443")})):
        site.check("web", {(A, 443): "open", (B, 443): "open", ("198.51.100.201", 443): "dropped"})


@pytest.mark.parametrize(
    ("entity", "open_"),
    [
        ("world", {A, A6}),
        ("cluster", {"10.10.0.2", RESOLVER}),
        ("all", {A, A6, "10.10.0.2", RESOLVER}),
        ("host", set()),
    ],
)
def test_entities(site: Site, entity: str, open_: set[str]) -> None:
    with site.policy(cnp("entity", {"toEntities": [entity]})), site.listen("db", 53):
        everything = {A, A6, "10.10.0.2", RESOLVER}
        site.check("web", {(a, 53): "open" if a in open_ else "dropped" for a in everything})


def test_the_node_itself_is_never_reached(site: Site) -> None:
    with site.policy(cnp("all", {"toEntities": ["all"]})):
        inside = ("10.10.255.254", "172.31.0.1", "fd31::1", "127.0.53.2", "fd00:53::2")
        site.check("web", {(a, 53): "dropped" for a in inside if not a.startswith("127.")})


@pytest.mark.parametrize("address", ["10.10.0.2", "fd10::2"])
def test_endpoints_of_the_lab_by_their_labels(site: Site, address: str) -> None:
    rule = {"toEndpoints": [{"matchLabels": {"app": "db"}}], "toPorts": ports("5432")}
    far = address[:-1] + "3"
    with site.listen("db", 5432), site.listen("far", 5432), site.listen("db", 5433):
        site.check("web", {(address, 5432): "open", (far, 5432): "open"})
        with site.policy(cnp("db", rule)):
            site.check(
                "web",
                {
                    (address, 5432): "open",
                    (address, 5433): "dropped",
                    (far, 5432): "dropped",  # of another namespace
                    (A, 5432): "dropped",
                },
            )


def test_all_endpoints_are_those_of_the_policys_namespace(site: Site) -> None:
    everywhere = {"toEndpoints": [{"matchExpressions": [_exists("io.kubernetes.pod.namespace")]}]}
    with site.listen("db", 5432), site.listen("far", 5432):
        with site.policy(cnp("own", {"toEndpoints": [{}]})):
            site.check(
                "web",
                {("10.10.0.2", 5432): "open", ("10.10.0.3", 5432): "dropped", (A, 80): "dropped"},
            )
        with site.policy(cnp("every", everywhere)):
            site.check("web", {("10.10.0.3", 5432): "open", (A, 80): "dropped"})


def _exists(key: str) -> dict[str, str]:
    return {"key": f"k8s:{key}", "operator": "Exists"}


def test_deny_beats_allow_whatever_is_narrower(site: Site) -> None:
    allow = {"toCIDR": [f"{A}/32"], "toPorts": ports("443")}
    with site.policy(
        cnp("net", allow, {"toEntities": ["world"]}, egressDeny=[{"toCIDR": ["198.51.100.0/24"]}])
    ):
        site.check("web", {(A, 443): "dropped", (B, 80): "dropped", (C, 443): "open"})


def test_deny_on_one_port_leaves_the_others(site: Site) -> None:
    deny = [{"toEntities": ["world"], "toPorts": ports("80")}]
    with site.policy(cnp("port", {"toEntities": ["world"]}, egressDeny=deny)):
        site.check("web", {(A, 80): "dropped", (A, 443): "open", (A6, 80): "dropped"})


def test_a_deny_by_network_bites_a_learned_address(site: Site) -> None:
    allow = (dns("*"), names("api.example.com"))
    with site.policy(cnp("names", *allow)):
        site.learn("web", "api.example.com", A, C)
        site.check("web", {(A, 443): "open", (C, 443): "open"})
        with site.policy(cnp("deny", egressDeny=[{"toCIDR": ["198.51.100.0/24"]}])):
            site.check("web", {(A, 443): "dropped", (C, 443): "open"})
        site.check("web", {(A, 443): "open"})


def test_port_ranges(site: Site) -> None:
    rule = {"toCIDR": [f"{A}/32", f"{A6}/128"], "toPorts": ports("1000", end=2001)}
    wanted = {999: "dropped", 1000: "refused", 1500: "refused", 2001: "refused", 2002: "dropped"}
    with site.policy(cnp("range", rule)):
        site.check("web", {(A, port): word for port, word in wanted.items()})
        site.check("web", {(A6, port): word for port, word in wanted.items()})


def test_a_named_port_matches_nothing_outside(site: Site) -> None:
    with site.policy(cnp("named", {"toEntities": ["world"], "toPorts": ports("https")})):
        site.check("web", {(A, 443): "dropped", (A, 80): "dropped"})


def test_any_protocol_is_no_ping_and_no_ports_is(site: Site) -> None:
    where = {"toCIDR": [f"{A}/32", f"{A6}/128"]}
    with site.policy(cnp("any", {**where, "toPorts": ports("0", protocol="ANY")})):
        site.check("web", {(A, 443): "open", (A6, 443): "open"})
        assert site.ask("web", "x.example", server=A).rcode == "NXDOMAIN"
        assert not site.ping("web", A)
        assert not site.ping("web", A6)
    with site.policy(cnp("every", where)):
        assert site.ping("web", A, 5)
        assert site.ping("web", A6, 5)


def test_icmps_allow_what_they_name(site: Site) -> None:
    fields = [{"family": "IPv4", "type": 8}, {"family": "IPv6", "type": 128}]
    with site.policy(cnp("ping", {"toEntities": ["world"], "icmps": [{"fields": fields}]})):
        assert site.ping("web", A, 5)
        assert site.ping("web", A6, 5)
        site.check("web", {(A, 443): "dropped"})
    only4 = [{"fields": fields[:1]}]
    with site.policy(cnp("ping4", {"toEntities": ["world"], "icmps": only4})):
        assert site.ping("web", A, 5)
        assert not site.ping("web", A6)


def test_without_default_deny_only_what_is_denied_is_dropped(site: Site) -> None:
    text = cnp(
        "open",
        dns("api.example.com"),
        enableDefaultDeny={"egress": False},
        egressDeny=[{"toCIDR": [f"{A}/32"]}],
    )
    with site.policy(text):
        site.check("web", {(A, 443): "dropped", (B, 443): "open", (A6, 443): "open"})
        site.lab.world["other.example"] = [B]
        assert site.ask("web", "other.example").addresses == (B,), "DNS rules are widened by *"
        with site.policy(cnp("closed", names("api.example.com"))):
            site.check("web", {(B, 443): "dropped"})  # one policy with default deny suffices


@pytest.mark.parametrize("lists", ["egress", "both"])
def test_a_rule_that_selects_nothing_denies_all(site: Site, lists: str) -> None:
    text = cnp("none", {}) if lists == "egress" else cnp("none", {"toEndpoints": []}, ingress=[])
    with site.policy(text):
        site.check("web", {(A, 443): "dropped", (A6, 443): "dropped", (RESOLVER, 53): "dropped"})
        assert not site.ping("web", A)
    site.check("web", {(A, 443): "open"})


def test_ingress_alone_denies_nothing(site: Site) -> None:
    with site.policy(cnp("in", ingress=[{"fromEntities": ["cluster"]}])) as applied:
        assert applied.policies[0].enforced
        assert [f.path for f in applied.policies[0].fields] == ["spec.ingress"]
        site.check("web", {(A, 443): "open"})


def test_two_policies_add_up_and_each_goes_by_itself(site: Site) -> None:
    with site.policy(cnp("one", {"toCIDR": [f"{A}/32"]})):
        with site.policy(cnp("two", {"toCIDR": [f"{B}/32"]})):
            site.check("web", {(A, 443): "open", (B, 443): "open", (C, 443): "dropped"})
            site.check("db", {(C, 443): "open"})
        site.check("web", {(A, 443): "open", (B, 443): "dropped"})
    site.check("web", {(C, 443): "open"})


def test_a_kubernetes_policy(site: Site) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "k8s", "namespace": "default"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "policyTypes": ["Egress"],
            "egress": [
                {
                    "to": [{"ipBlock": {"cidr": "198.51.100.0/24", "except": [f"{B}/32"]}}],
                    "ports": [{"port": 443, "protocol": "TCP"}],
                },
                {"to": [{"podSelector": {"matchLabels": {"app": "db"}}}]},
            ],
        },
    }
    with site.policy(json.dumps(policy) + "\n"), site.listen("db", 5432), site.listen("far", 5432):
        site.check(
            "web",
            {
                (A, 443): "open",
                (A, 80): "dropped",
                (B, 443): "dropped",
                ("10.10.0.2", 5432): "open",
                ("10.10.0.3", 5432): "dropped",
            },
        )


def test_a_clusterwide_policy_selects_in_every_namespace(site: Site) -> None:
    text = cnp(
        "wide",
        {"toCIDR": [f"{A}/32"]},
        kind="CiliumClusterwideNetworkPolicy",
        selects={"matchLabels": {"app": "db"}},
    )
    with site.policy(text) as applied:
        assert sorted(applied.policies[0].endpoints) == ["db", "far"]
        for endpoint in ("db", "far"):
            site.check(endpoint, {(A, 443): "open", (C, 443): "dropped"})
        site.check("web", {(C, 443): "open"})


def test_a_namespaced_policy_selects_in_its_own(site: Site) -> None:
    text = cnp("prod", {"toCIDR": [f"{A}/32"]}, namespace="prod", selects={})
    with site.policy(text) as applied:
        assert list(applied.policies[0].endpoints) == ["far"]
        site.check("far", {(C, 443): "dropped"})
        site.check("db", {(C, 443): "open"})


def test_expressions_select_endpoints(site: Site) -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["front", "edge"]},
        {"key": "app", "operator": "NotIn", "values": ["db"]},
    ]
    text = cnp("some", {"toCIDR": [f"{A}/32"]}, selects={"matchExpressions": expressions})
    with site.policy(text) as applied:
        assert list(applied.policies[0].endpoints) == ["web"]
        site.check("web", {(C, 443): "dropped"})


def test_withdrawing_a_rule_cuts_its_flows(site: Site) -> None:
    kept, gone = {"toCIDR": [f"{A}/32"]}, {"toCIDR": [f"{A6}/128"]}
    with (
        site.policy(cnp("flows", kept, gone)),
        site.hold("web", A) as stays,
        site.hold("web", A6) as cut,
    ):
        assert stays.alive()
        assert cut.alive()
        site.lab.apply(cnp("flows", kept))
        assert stays.alive()
        assert not cut.alive(0.5)
