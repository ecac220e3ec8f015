"""A lab of two nodes: policy told once holds on both, one's death does not touch the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from fqdnlab.errors import PolicyError, UnavailableError, UsageError
from fqdnlab.lab import Lab
from fqdnlab.notebook.hub import hub
from fqdnlab.testing import eventually
from tests.backend_kit import Split
from tests.lab_kit import cnp, dns, names
from tests.split_kit import internet_place, machines, node_place

A, API = "198.51.100.7", "api.example.com"
POLICY = cnp("names", dns(API), names(API))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    places = {"internet": internet_place(), "node": node_place(1), "node2": node_place(2)}
    with (
        machines(tmp_path_factory.mktemp("machines"), **places) as three,
        Lab("two", Split(three, {"node2": -500.0})) as made,
    ):
        for number, node in enumerate(made.nodes, 1):
            made.endpoint(f"web{number}", {"app": "web"}, node=node)
        made.world[API] = [A]
        applied = made.apply(POLICY)
        assert list(applied.policies[0].endpoints) == ["web1", "web2"]
        yield made


def reached(lab: Lab) -> list[bool]:
    return [e.connect(API, 443).ok for e in lab.endpoints()]


def test_endpoints_are_on_their_nodes_under_one_name_each(lab: Lab) -> None:
    assert {e.name: e.node for e in lab.endpoints()} == {"web1": "node", "web2": "node2"}
    assert lab.endpoint("web2").node == "node2", "found wherever it is"
    with pytest.raises(UsageError, match="on node2"):
        lab.endpoint("web2", {"app": "web"}, node="node")
    with pytest.raises(UsageError, match=r"no node 'node3'.*one of node, node2"):
        lab.endpoint("web3", node="node3")
    lab.endpoint("gone", node="node2")
    lab.delete_endpoint("gone")
    assert "gone" not in [e.name for e in lab.endpoints()]


def test_one_world_is_asked_by_both(lab: Lab) -> None:
    assert [e.ip4 for e in lab.endpoints()] == ["10.10.0.1", "10.10.4.1"]
    for node in lab.nodes:
        zones = lab.gather(node).zones
        assert zones is not None, "it is no process of a node, and is asked all the same"
        assert API in {record.name for record in zones}
    curl = [e.run(["curl", "-sS", f"https://{API}/"]) for e in lab.endpoints()]
    assert [c.exit for c in curl] == [0, 0], "its CA is known on both"
    assert 0 < lab.nodes["node2"].vm.echo_seconds() < 10


def test_policy_told_once_holds_on_both(lab: Lab) -> None:
    assert reached(lab) == [True, True]
    denied = [e.connect("203.0.113.9", 443, timeout=0.3).ok for e in lab.endpoints()]
    assert denied == [False, False]
    (status,) = lab.policy_statuses()
    assert list(status.endpoints) == ["web1", "web2"]
    assert list(lab.policies()["node"]) == ["node", "node2"]


def test_tables_are_of_both_in_one_order_and_on_one_axis(lab: Lab) -> None:
    reached(lab)
    eventually(lambda: set(lab.queries()["node"]) == set(lab.nodes), 10, "questions of both")
    flows = lab.flows()
    assert set(flows["node"]) == {"node", "node2"}
    assert list(flows["time"]) == sorted(flows["time"])
    own = [lab.nodes[n].table.rows()[-1]["time"].timestamp() for n in lab.nodes]
    assert 400 < own[1] - own[0] < 600, "the second's clock is said to be behind, and is not"
    for frame in (lab.mappings(), lab.identities(), lab.maps(), lab.metrics()):
        assert set(frame["node"]) == {"node", "node2"}
        assert list(frame.columns)[-1] == "node"
    assert set(lab.mappings()["endpoint"]) == {"web1", "web2"}
    assert len(set(lab.flow_lines())) >= len(flows)


def test_what_is_of_one_node_is_asked_of_one(lab: Lab, tmp_path: object) -> None:
    for ask in (lab.status, lab.agent_status, lab.dump, lambda: lab.agent):
        with pytest.raises(UsageError, match=r'lab\.nodes\["node"\]'):
            ask()
    with pytest.raises(UsageError, match="say which: node='node'"):
        lab.record(f"{tmp_path}/run.fqdnlab")
    with lab.record(f"{tmp_path}/run.fqdnlab", node="node2") as recorder:
        assert lab.endpoint("web2").connect(API, 443).ok
        lab.facts("node2")
    text = recorder.path.read_text()
    assert "web2" in text
    assert "web1" not in text
    assert lab.explain("web2", API, 443).verdict == "FORWARDED"
    row = lab.flows().query("endpoint == 'web2'").iloc[-1]
    assert lab.explain(row).endpoint == "web2"
    assert lab.explain(row["uuid"]).endpoint == "web2"


def test_an_invalid_policy_changes_neither(lab: Lab) -> None:
    before = lab.policies()
    with pytest.raises(PolicyError):
        lab.apply(POLICY.replace("matchName", "matchname"))
    assert lab.policies().equals(before)


def test_panels_show_the_node_that_is_asked_for(lab: Lab) -> None:
    with pytest.raises(UsageError, match=r"no node 'node3'.*one of node, node2"):
        lab.dashboard("node3")
    shown = {node: lab.dashboard(node).panels for node in lab.nodes}
    first = lab.panel("says")
    assert first.node == "node"
    first.close()
    try:
        reached(lab)
        for number, (node, panels) in enumerate(shown.items(), 1):
            reader = hub(lab.name, node)
            eventually(lambda r=reader: r.rows(60), 10, f"flows of {node}")  # type: ignore[misc]
            assert {row["endpoint"] for row in reader.rows(60)} == {f"web{number}"}
            facts = f"{node} · 1 endpoint"  # state is read by another thread than flows
            eventually(lambda p=panels, f=facts: p["says"].facts.startswith(f), 10, facts)  # type: ignore[misc]
            eventually(lambda p=panels: p["traffic"].endpoints, 10)  # type: ignore[misc]
            assert panels["traffic"].endpoints == [f"web{number}"]
        shown["node2"]["faults"].do_fault({"process": "agent", "action": "kill"})
        eventually(lambda: words(shown["node2"])["agent"].startswith("killed"), 10, "its card")
        eventually(lambda: words(shown["node"])["agent"] == "at work", 10, "the other's card")
        assert lab.nodes["node"].agent.state().state == "running"
        lab.nodes["node2"].agent.restart()
        page = shown["node2"]["timeline"]._page()
        assert "agent killed" in page
        assert "web1" not in page
    finally:
        for panel in chain.from_iterable(panels.values() for panels in shown.values()):
            panel.close()
        for node in lab.nodes:
            hub(lab.name, node).stop()


def words(panels: dict[str, Any]) -> dict[str, str]:
    """Process → what its card says."""
    return {card["name"]: card["word"] for card in panels["faults"].cards}


def test_the_death_of_one_agent_does_not_touch_the_other(lab: Lab) -> None:
    reached(lab)
    lab.nodes["node2"].agent.kill()
    assert lab.nodes["node"].agent.state().state == "running"
    with pytest.raises(UnavailableError, match="the agent of node2 is dead") as told:
        lab.apply(cnp("more", names("b.example.com")))
    assert 'lab.nodes["node2"].agent.restart()' in told.value.remedy
    assert list(lab.nodes["node"].policy_statuses()[0].endpoints) == ["web1"]
    assert len(lab.nodes["node"].policy_statuses()) == 1, "it was told to nobody"
    assert "node2: " in lab.mappings().attrs["note"]
    assert set(lab.mappings()["endpoint"]) == {"web1"}
    assert reached(lab) == [True, True], "the second's kernel goes on with what it holds"
    row = lab.faults().iloc[-1]
    assert (row["node"], row["process"], row["action"]) == ("node2", "agent", "kill")
    lab.nodes["node2"].agent.restart()
    lab.apply(cnp("more", names("b.example.com")))
    lab.delete_policy("more", "default")
    assert [len(n.policy_statuses()) for n in lab.nodes.values()] == [1, 1]


def test_half_told_says_who_has_it_and_how_to_finish(lab: Lab) -> None:
    """An agent that answers that it lives, and dies before it is told."""
    second = lab.nodes["node2"]
    answer = second.agent_status

    def last_words() -> object:
        found = answer()
        second.agent.kill()
        return found

    second.agent_status = last_words  # type: ignore[method-assign,assignment]
    try:
        with pytest.raises(UnavailableError, match="told to node, not to node2") as told:
            lab.apply(cnp("half", names("b.example.com")))
    finally:
        second.agent_status = answer  # type: ignore[method-assign]
    assert "then the same again" in told.value.remedy
    second.agent.restart()
    lab.apply(cnp("half", names("b.example.com")))
    lab.delete_policy("half", "default")
    with pytest.raises(UsageError, match="half"):
        lab.delete_policy("half", "default")


def test_a_dead_observer_is_named_with_its_node(lab: Lab) -> None:
    lab.nodes["node2"].observer.kill()
    with pytest.raises(UnavailableError, match="the observer of node2 is dead"):
        lab.flows()
    lab.nodes["node2"].observer.restart()
    assert set(lab.flows()["node"]) == {"node", "node2"}
