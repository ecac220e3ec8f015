"""Policies of names: what is learned, for whom it opens, what opens nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from fqdnlab.lab import Lab, machine_service
from fqdnlab.testing import eventually
from tests.lab_kit import KUBE_DNS, RESOLVER, WEB, Asked, Site, cnp, dns, names, ports

A, B, C = "198.51.100.7", "198.51.100.200", "203.0.113.9"
A6 = "2001:db8:1::7"
SHARED = "203.0.113.77"
API, CDN = "api.example.com", "img.cdn.example.com"
REFUSED, TIMEOUT = Asked("REFUSED"), Asked("TIMEOUT")
OTHER = {"matchLabels": {"app": "other"}}
PLAIN_DNS = {"toEndpoints": [{"matchLabels": KUBE_DNS}], "toPorts": ports("53", protocol="UDP")}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    # A TTL is over in a moment, yet nothing is collected unless asked for: each test begins anew.
    rush = {"time_scale": 600.0, "collection_interval": 36_000.0}
    with machine_service(), Lab(f"names-{os.getpid()}", **rush) as lab:
        lab.endpoint("web", labels={"app": "web"})
        lab.endpoint("other", labels={"app": "other"})
        yield Site(lab)


@pytest.fixture(autouse=True)
def _fresh(site: Site) -> Iterator[None]:
    yield
    site.forget()
    eventually(lambda: _closed(site), 10, "all names to be forgotten")


def _closed(site: Site) -> bool:
    site.lab.collect()
    return set(site.lab.mappings()["state"]) <= {"zombie"}


def test_names_open_their_addresses_on_their_ports(site: Site) -> None:
    with site.policy(cnp("names", dns(API, "*.cdn.example.com"), names(API, "*.cdn.example.com"))):
        site.check("web", {(A, 443): "dropped", (A6, 443): "dropped"})
        site.learn("web", API, A, A6)
        site.check("web", {(A, 443): "open", (A6, 443): "open", (A, 80): "dropped"})
        site.lab.world["evil.example"] = [C]
        assert site.ask("web", "evil.example") == REFUSED
        assert site.ask("web", "a.b.cdn.example.com") == REFUSED
        site.learn("web", CDN, B)
        site.check("web", {(B, 443): "open", (C, 443): "dropped"})
        assert not site.ping("web", A)


def test_a_selectors_name_is_taken_whatever_its_case_and_final_dot(site: Site) -> None:
    with site.policy(cnp("case", dns("API.Example.com"), names("Api.EXAMPLE.com."))):
        site.lab.world[API] = [A]
        assert site.ask("web", "aPi.eXample.COM").addresses == (A,)
        site.check("web", {(A, 443): "open"})


def test_what_one_learns_is_open_for_all_that_select_the_name(site: Site) -> None:
    other = cnp("other", dns("*"), names("*.example.com"), selects=OTHER)
    with site.policy(cnp("web", dns(API), names(API)), other):
        site.learn("other", API, A)
        site.check("web", {(A, 443): "open"})
        site.learn("other", "www.example.com", B)
        site.check("other", {(B, 443): "open"})
        site.check("web", {(B, 443): "dropped"})


def test_without_rules_dns_ones_own_look_up_gains_nothing(site: Site) -> None:
    learner = cnp("other", dns("*"), selects=OTHER)
    with site.policy(cnp("web", PLAIN_DNS, names(API))) as applied:
        assert any("rules.dns" in f.reason for f in applied.policies[0].lint)
        site.lab.world[API] = [A]
        assert site.ask("web", API).addresses == (A,), "DNS passes, unproxied"
        site.check("web", {(A, 443): "dropped"})
        with site.policy(learner):
            site.learn("other", API, A)
            site.check("web", {(A, 443): "open"})


def test_rules_dns_without_to_fqdns_resolves_and_opens_nothing(site: Site) -> None:
    with site.policy(cnp("dns", dns("*.example.com"))):
        site.learn("web", API, A)
        site.check("web", {(A, 443): "dropped"})
        assert site.ask("web", "evil.example") == REFUSED


def test_endpoints_without_rules_dns_are_not_redirected(site: Site) -> None:
    before = len(site.lab.queries())
    site.lab.world[API] = [A]
    assert site.ask("other", API).addresses == (A,)
    with site.policy(cnp("dns", dns("*"))):
        assert site.ask("other", API).addresses == (A,)
        assert site.ask("web", API).addresses == (A,)
    seen = eventually(lambda: list(site.lab.queries()["endpoint"][before:]), 10, "the question")
    assert seen == ["web"]


def test_a_server_that_no_rule_names_is_dropped_or_passes_but_never_refuses(site: Site) -> None:
    site.lab.world["evil.example"] = [C]
    with site.policy(cnp("dns", dns(API))):
        assert site.ask("web", "evil.example", server="192.0.2.53", patience=0.3) == TIMEOUT
        elsewhere = {"toCIDR": ["192.0.2.53/32"], "toPorts": ports("53", protocol="UDP")}
        with site.policy(cnp("plain", elsewhere)):
            assert site.ask("web", "evil.example", server="192.0.2.53").addresses == (C,)
            assert site.ask("web", "evil.example") == REFUSED


def test_a_plain_rule_for_the_same_port_and_peer_opens_every_name(site: Site) -> None:
    text = cnp("both", dns(API), PLAIN_DNS, names("*.example.com"))
    with site.policy(text) as applied:
        assert any("every name" in f.reason for f in applied.policies[0].lint)
        site.learn("web", "www.example.com", A)
        site.check("web", {(A, 443): "open"})  # redirected all the same: it was learned


@pytest.mark.parametrize(
    "wider",
    [
        {**PLAIN_DNS, "toPorts": ports("1", protocol="UDP", end=1024)},
        {"toEntities": ["all"], "toPorts": ports("53", protocol="UDP")},
        {"toEndpoints": [{"matchLabels": KUBE_DNS}]},
    ],
    ids=["range", "all-entities", "no-ports"],
)
def test_a_wider_plain_rule_leaves_the_filter_in_force(
    site: Site, wider: dict[str, object]
) -> None:
    with site.policy(cnp("wide", dns(API), wider)):
        site.lab.world[API] = [A]
        assert site.ask("web", API).addresses == (A,)
        assert site.ask("web", "evil.example") == REFUSED


def test_a_name_that_resolves_into_the_cluster_opens_nothing(site: Site) -> None:
    inside = ("10.10.0.2", "fd10::2", RESOLVER)
    with site.policy(cnp("names", dns("*"), names("*.example.com"))), site.listen("other", 443):
        site.learn("web", "in.example.com", *inside, C)
        site.check("web", {(a, 443): "dropped" for a in inside} | {(C, 443): "open"})


def test_a_chain_of_names_belongs_to_the_name_that_was_asked(site: Site) -> None:
    with site.policy(cnp("names", dns("*"), names(API))):
        site.lab.world.cname(API, "edge.cdn.example.net")
        site.lab.world["edge.cdn.example.net"] = [A]
        assert site.ask("web", API).addresses == (A,)
        site.check("web", {(A, 443): "open"})
        site.lab.world["edge.cdn.example.net"] = [B]
        assert site.ask("web", "edge.cdn.example.net").addresses == (B,)
        site.check("web", {(B, 443): "dropped"})


def test_a_learned_address_still_belongs_to_the_world(site: Site) -> None:
    world = {"toEntities": ["world"], "toPorts": ports("80")}
    network = {"toCIDR": ["198.51.100.0/24"], "toPorts": ports("8443")}
    with site.policy(cnp("names", dns("*"), names(API), world, network)):
        site.learn("web", API, A)
        wanted = {443: "open", 80: "open", 8443: "refused", 22: "dropped"}
        site.check("web", {(A, port): word for port, word in wanted.items()})


def test_an_address_that_two_names_share_is_open_by_either_and_shown(site: Site) -> None:
    with site.policy(cnp("names", dns("*"), names(API))):
        site.learn("web", "other.example.net", SHARED)
        site.check("web", {(SHARED, 443): "dropped"})
        site.learn("web", API, SHARED)
        site.check("web", {(SHARED, 443): "open"})
        seen = site.lab.mappings()
        shared = seen[seen["ip"] == SHARED].set_index("name")["shared_with"]
        assert shared[f"{API}."] == ["other.example.net."]
        assert shared["other.example.net."] == [f"{API}."]


def test_an_address_that_gains_a_name_keeps_its_flows(site: Site) -> None:
    with site.policy(cnp("names", dns("*"), names(API, "*.cdn.example.com", port="80"))):
        site.learn("web", API, A)
        with site.hold("web", A) as flow:
            for number in range(20):
                site.learn("web", f"n{number}.cdn.example.com", A)
                assert flow.alive(1.0), f"after {number} more names"


def test_dns_on_another_port_is_filtered_there(site: Site) -> None:
    with site.policy(cnp("port", dns(API, port="5353"))):
        assert site.ask("web", "evil.example", port=5353) == REFUSED
        assert site.ask("web", API, patience=0.3) == TIMEOUT


def test_a_policy_with_an_unsupported_field_has_no_effect_at_all(site: Site) -> None:
    http = {
        "toEntities": ["world"],
        "toPorts": [
            {
                "ports": [{"port": "80", "protocol": "TCP"}],
                "rules": {"http": [{"method": "GET", "path": "/a"}]},
            }
        ],
    }
    text = cnp("part", dns(API), http, egressDeny=[{"toCIDR": [f"{A}/32"]}])
    with site.policy(text) as applied:
        status = applied.policies[0]
        assert not status.enforced
        assert "spec.egress[1].toPorts[0].rules.http" in [f.path for f in status.fields]
        site.check("web", {(A, 443): "open", (B, 443): "open", (A, 80): "open"})
        site.lab.world["evil.example"] = [C]
        assert site.ask("web", "evil.example").addresses == (C,)
        frame = site.lab.policies()
        assert list(frame["enforced"]) == [False]
        assert "rules.http" in frame["why"][0]
        with site.policy(cnp("whole", {"toCIDR": [f"{B}/32"]})):  # the others hold all the same
            site.check("web", {(A, 443): "dropped", (B, 443): "open"})


def test_an_empty_list_of_names_opens_nothing(site: Site) -> None:
    with site.policy(cnp("none", {"toFQDNs": [], "toPorts": ports("443")})) as applied:
        assert applied.policies[0].lint
        site.check("web", {(A, 443): "dropped"})


def test_the_same_policy_under_the_profile_acns(site: Site) -> None:
    text = cnp("star", dns("*"), names(API))
    with Lab(f"acns-{os.getpid()}", profile="acns") as lab:
        lab.endpoint("web", labels=WEB["matchLabels"])
        azure = Site(lab)
        with azure.policy(text) as applied:
            status = applied.policies[0]
            assert not status.enforced
            assert [(f.profile, f.path) for f in status.fields] == [
                ("acns", "spec.egress[0].toPorts[0].rules.dns[0].matchPattern")
            ]
            azure.check("web", {(C, 443): "open"})
        with azure.policy(cnp("named", dns(API), names(API))) as applied:
            assert applied.policies[0].enforced
            azure.check("web", {(C, 443): "dropped"})
    with site.policy(text) as applied:
        assert applied.policies[0].enforced
        site.check("web", {(C, 443): "dropped"})
