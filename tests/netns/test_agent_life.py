"""The agent's death and return: what goes on without it, what it finds, what it never loses."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fqdnlab.agent.recorder import replay
from fqdnlab.datapath import abi
from fqdnlab.lab import Lab, machine_service
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.paths import LabPaths
from fqdnlab.testing import eventually
from tests.lab_kit import Site, cnp, dns, names

A, B, C = "198.51.100.7", "198.51.100.200", "203.0.113.9"
API, WWW = "api.example.com", "www.example.com"
POLICY = cnp("names", dns("*"), names("*.example.com", port="80"), {"toCIDR": ["192.0.2.0/24"]})


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with machine_service(), Lab(f"life-{os.getpid()}", hold=2.0) as made:
        yield made


@pytest.fixture
def site(lab: Lab) -> Site:
    """Each test finds a living agent, one policy, two endpoints, and one name learned."""
    found = Site(lab)
    found.forget()
    for one in lab.endpoints():
        one.delete()
    lab.endpoint("web", labels={"app": "web"})
    lab.endpoint("db", labels={"app": "db"})
    lab.apply(POLICY)
    found.learn("web", API, A)
    return found


def writes(site: Site) -> dict[str, int]:
    """Entries that this agent has written, by map."""
    url = f"http://127.0.0.1:{site.lab.status().metrics_port}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    lines = opener.open(url, timeout=10).read().decode().splitlines()
    found = [line for line in lines if line.startswith("fqdnlab_map_writes_total{")]
    return {line.split('"')[1]: int(line.split()[-1]) for line in found}


def state_file(site: Site, name: str) -> Path:
    return LabPaths(site.lab.name).state("agent") / name


def kernel(site: Site) -> set[tuple[str, str, str]]:
    return {tuple(row) for row in site.lab.maps().itertuples(index=False)}


def test_it_comes_back_without_a_write_and_cuts_nothing(site: Site) -> None:
    before = kernel(site)
    with site.hold("web", A) as flow, site.hold("web", "192.0.2.1") as other:
        site.lab.agent.kill()
        assert flow.alive()
        site.check("web", {(A, 80): "open", (C, 80): "dropped", (A, 443): "dropped"})
        site.lab.agent.start()
        assert sum(writes(site).values()) == 0, "nothing had changed"
        assert not site.lab.agent_status().warnings
        assert kernel(site) == before
        assert flow.alive()
        assert other.alive()
    assert list(site.lab.policies()["name"]) == ["names"]
    assert list(site.lab.mappings()["ip"]) == [A]
    site.check("web", {(A, 80): "open", (C, 80): "dropped"})
    site.learn("web", WWW, B)
    site.check("web", {(B, 80): "open"})


def test_one_more_address_of_a_known_name_costs_one_write(site: Site) -> None:
    before = writes(site)
    site.learn("web", API, A, B)
    assert {k: v - before[k] for k, v in writes(site).items()} == {
        "policy": 0,
        "ipcache": 1,
        "cidr": 0,
        "endpoint": 0,
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("web", "wob"),
        lambda text: json.dumps({**json.loads(text), "version": 99}),
        lambda text: "[]",
        lambda text: "",
    ],
    ids=["cut", "changed", "foreign-version", "foreign-shape", "empty"],
)
def test_a_corrupt_snapshot_is_set_aside_and_made_up_for(site: Site, damage: object) -> None:
    assert callable(damage)
    site.lab.agent.kill()
    path = state_file(site, "state.json")
    path.write_text(damage(path.read_text()))
    state_file(site, "mappings.jsonl").write_text("")
    with site.hold("web", A) as flow:
        site.lab.agent.start()
        warnings = site.lab.agent_status().warnings
        assert any("state.json.corrupt" in w for w in warnings), warnings
        assert state_file(site, "state.json.corrupt").exists()
        assert sum(writes(site).values()) == 0, "kernel and policies said it all"
        assert flow.alive()
    site.check("web", {(A, 80): "open", (C, 80): "dropped", (A, 443): "dropped"})
    site.check("db", {(C, 80): "open"})
    assert list(site.lab.policies()["name"]) == ["names"]
    site.learn("web", WWW, B)
    site.check("web", {(B, 80): "open"})


def test_lost_policies_never_open_anything(site: Site) -> None:
    site.lab.agent.kill()
    state_file(site, "policies.json").write_text("{")
    with site.hold("web", A) as flow:
        site.lab.agent.start()
        assert any("policies are lost" in w for w in site.lab.agent_status().warnings)
        assert flow.alive()
    site.check("web", {(A, 80): "open", (C, 80): "dropped"})
    assert site.ask("web", API).addresses == (A,), "the proxy goes on by what it has"
    site.lab.endpoint("new", labels={"app": "web"})
    site.check("new", {(A, 80): "dropped"})
    site.lab.agent.restart()  # it is not forgotten by a second start
    site.check("web", {(A, 80): "open", (C, 80): "dropped"})
    site.lab.apply(POLICY)
    site.check("new", {(A, 80): "open", (C, 80): "dropped"})
    site.check("web", {(A, 80): "open", (C, 80): "dropped"})
    site.check("db", {(C, 80): "open"})


def test_what_was_learned_while_it_was_dead_is_handed_over(site: Site) -> None:
    site.lab.agent.kill()
    site.learn("web", WWW, B)
    site.check("web", {(B, 80): "dropped", (A, 80): "open"})
    site.lab.agent.start()
    eventually(lambda: site.tcp("web", (B, 80)) == ["open"], 10, "the address to be let in")
    assert set(site.lab.mappings()["ip"]) == {A, B}


def test_endpoints_that_came_and_went_meanwhile(site: Site) -> None:
    site.lab.agent.kill()
    site.lab.delete_endpoint("web")
    late = site.lab.endpoint("late", labels={"app": "web"})
    assert site.tcp("late", (C, 80)) != ["open"]
    site.lab.agent.start()
    site.check("late", {(C, 80): "dropped", ("192.0.2.9", 80): "open"})
    sources = set(site.lab.mappings()["source"])
    assert "lookup" not in sources, "what an endpoint learned goes with it"
    shown = site.lab.maps("endpoints")["value"]
    known = {one.name: str(one.id) for one in site.lab.endpoints()}
    assert {v.split()[1] for v in shown} == {known["db"], str(late.id)}


def test_a_dump_replays(site: Site) -> None:
    site.learn("web", WWW, B, A)
    site.lab.collect()
    dump = site.lab.dump()
    assert dump["whole"]
    kinds = [event["kind"] for event in dump["events"]]
    assert kinds[-1] == "collect"
    assert [k for k in kinds if k != "collect"][-1] == "learn"  # a pass may come by itself, too
    assert {"start", "put", "apply", "learn"} <= set(kinds)
    state, faults = replay(dump, parse_policies)
    assert faults == []
    told = {abi.ip_text(address) for address in state.content.ipcache}
    assert told == set(site.lab.maps("ipcache_host")["key"])
