"""What `apply` promises: whole or not at all, in force when it returns, who is late is named."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from fqdnlab.errors import LateError, PolicyError, StateError, UnavailableError, UsageError
from fqdnlab.lab import Lab, machine_service
from fqdnlab.pb import control_pb2
from fqdnlab.testing import eventually
from tests.lab_kit import Site, cnp, dns, names, ports

A, B, C = "198.51.100.7", "198.51.100.200", "203.0.113.9"
API = "api.example.com"
ONE = cnp("one", dns(API), names(API), {"toCIDR": [f"{A}/32"]})
TWO = cnp("two", {"toCIDR": [f"{B}/32"]})


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with (
        machine_service(),
        Lab(f"apply-{os.getpid()}", max_policy=600, max_ipcache=300) as lab,
    ):
        lab.endpoint("web", labels={"app": "web"})
        yield Site(lab)


@pytest.fixture(autouse=True)
def _fresh(site: Site) -> Iterator[None]:
    yield
    for process in (site.lab.agent, site.lab.proxy):
        state = process.state().state
        if state == "dead":
            process.start()
        elif state == "stopped":
            process.cont()
    eventually(lambda: site.lab.agent_status().proxy_connected, 10, "the proxy")
    site.forget()


def test_when_it_returns_the_kernel_and_the_proxy_have_it(site: Site) -> None:
    for _ in range(4):
        with site.policy(ONE) as applied:
            assert (applied.note, applied.late) == ("", ())
            assert site.tcp("web", (C, 443)) == ["dropped"]
            assert site.ask("web", "evil.example").rcode == "REFUSED"
        assert site.ask("web", "evil.example").rcode == "NXDOMAIN"


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a: [", "", 2),  # where it ends and should not
        ("just text\n", "", 1),
        ("kind: Pod\napiVersion: v1\nmetadata: {name: x}\n", "kind", 1),
        (cnp("x", {"toFQDNs": [{"matchName": "a b"}]}), "spec.egress[0].toFQDNs[0].matchName", 1),
        (cnp("x", {"toPorts": ports("70000")}), "spec.egress[0].toPorts[0].ports[0].port", 1),
        (cnp("x", {"toCIDR": "10.0.0.0/8"}), "spec.egress[0].toCIDR", 1),
        (
            cnp("x", egressDeny=[{"toFQDNs": [{"matchName": API}]}]),
            "spec.egressDeny[0].toFQDNs",
            1,
        ),
    ],
)
def test_an_invalid_document_is_told_with_its_place_and_changes_nothing(
    site: Site, text: str, path: str, line: int
) -> None:
    with site.policy(ONE):
        before = site.lab.agent_status().policy_revision
        with pytest.raises(PolicyError) as failure:
            site.lab.apply(f"{TWO}---\n{text}\n")
        assert (path, line + 2) in [(p, n) for p, n, _ in failure.value.places]
        assert all(message for _, _, message in failure.value.places)
        assert site.lab.agent_status().policy_revision == before
        assert list(site.lab.policies()["name"]) == ["one"]
        site.check("web", {(A, 443): "open", (B, 443): "dropped"})


def test_a_file_that_cannot_be_read_is_named(site: Site) -> None:
    with pytest.raises(UsageError, match=r"no-such-file\.yaml"):
        site.lab.apply("no-such-file.yaml")


def test_a_policy_is_replaced_by_one_of_its_name(site: Site) -> None:
    with site.policy(ONE):
        site.lab.apply(cnp("one", {"toCIDR": [f"{B}/32"]}))
        site.check("web", {(A, 443): "dropped", (B, 443): "open"})


def test_what_is_not_there_is_not_deleted(site: Site) -> None:
    with site.policy(ONE), pytest.raises(UsageError, match="'two' must name one policy"):
        site.lab.delete_policy("two")


def test_two_of_one_name_must_be_told_apart(site: Site) -> None:
    with site.policy(ONE, cnp("one", {}, namespace="prod")):
        with pytest.raises(UsageError, match="prod/one"):
            site.lab.delete_policy("one")
        site.lab.delete_policy("one", "prod")
        assert list(site.lab.policies()["namespace"]) == ["default"]
        site.lab.apply(cnp("one", {}, namespace="prod"))  # for the end


def test_with_the_proxy_dead_it_is_applied_and_dns_waits(site: Site) -> None:
    site.lab.proxy.kill()
    eventually(lambda: not site.lab.agent_status().proxy_connected, 10, "the agent to see it")
    applied = site.lab.apply(ONE)
    assert "DNS waits" in applied.note
    site.check("web", {(A, 443): "open", (C, 443): "dropped"})
    assert site.ask("web", API, patience=0.3).rcode == "TIMEOUT", "DNS fails closed"
    site.lab.proxy.start()
    site.lab.world[API] = [A]
    found = eventually(lambda: site.ask("web", API, patience=0.5).addresses, 10, "DNS")
    assert found == (A,)


def test_a_proxy_that_hangs_is_named(site: Site) -> None:
    site.lab.proxy.stop()
    begin = time.monotonic()
    applied = site.lab.apply(ONE, timeout=0.3)
    assert 0.3 <= time.monotonic() - begin < 5
    assert len(applied.late) == 1
    assert "proxy" in applied.late[0]
    assert applied.late[0] in applied.note
    site.check("web", {(A, 443): "open", (C, 443): "dropped"})
    site.lab.proxy.cont()
    revision = site.lab.agent_status
    eventually(lambda: not site.lab.apply(ONE, timeout=0.5).late, 10, "its acknowledgement")
    assert revision().proxy_connected


def test_with_the_agent_dead_nothing_is_changed_and_the_restart_is_named(site: Site) -> None:
    site.lab.apply(ONE)
    site.lab.agent.kill()
    for change in (lambda: site.lab.apply(TWO), lambda: site.lab.delete_policy("one")):
        with pytest.raises(UnavailableError, match=r"lab\.agent\.restart\(\)"):
            change()
    site.check("web", {(A, 443): "open", (B, 443): "dropped"})
    site.lab.agent.restart()
    assert list(site.lab.policies()["name"]) == ["one"]
    site.check("web", {(A, 443): "open", (B, 443): "dropped"})


def test_an_agent_that_hangs_is_late_and_then_does_it_whole(site: Site) -> None:
    site.lab.agent.stop()
    node = site.lab.nodes["node"]
    listing = node.agent_stub.ListPolicies  # as `apply`, but not 10 s beyond its time-out
    with pytest.raises(LateError, match="the agent did not answer in time"):
        node.agent_peer.call(listing, control_pb2.ListPoliciesRequest(), 0.3)
    site.lab.agent.cont()
    assert not site.lab.apply(ONE).late


def test_a_full_map_refuses_the_whole_and_leaves_what_was(site: Site) -> None:
    many = [{"toCIDR": [f"{C}/32"], "toPorts": ports(str(port))} for port in range(1, 1000)]
    with site.policy(ONE):
        before = set(site.lab.maps()["value"]), site.lab.agent_status().policy_revision
        with pytest.raises(StateError, match="nothing was changed") as failure:
            site.lab.apply(f"{TWO}---\n{cnp('many', *many)}")
        assert "max_policy" in failure.value.remedy
        assert list(site.lab.policies()["name"]) == ["one"]
        assert (set(site.lab.maps()["value"]), site.lab.agent_status().policy_revision) == before
        site.check("web", {(A, 443): "open", (B, 443): "dropped", (C, 1): "dropped"})
        with site.policy(TWO):
            site.check("web", {(B, 443): "open"})


def test_a_full_ipcache_refuses_addresses_and_no_policies(site: Site) -> None:
    with site.policy(cnp("names", dns("*"), names("*.example.com"))):
        for number in range(14):
            addresses = [f"100.64.{number}.{n}" for n in range(25)]
            site.learn("web", f"n{number}.example.com", *addresses)
        assert any("refused" in w for w in site.lab.agent_status().warnings)
        with site.policy(TWO):
            site.check("web", {(B, 443): "open", ("100.64.0.1", 443): "open"})
        full = site.lab.mappings()
        kernel = set(site.lab.maps("ipcache_host")["key"])
        assert set(full["ip"]) <= kernel, "what is not in the kernel is not called known"
