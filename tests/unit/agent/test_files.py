"""What is saved and read again; what is lost is made up for; a dump replays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fqdnlab.agent.cluster import Endpoint, Learned
from fqdnlab.agent.mappings import Mapping
from fqdnlab.agent.operations import Operation, removals_first
from fqdnlab.agent.rebuilt import rebuild_numbers
from fqdnlab.agent.recorder import Recorder, in_words, replay
from fqdnlab.agent.rulesfile import write_rules
from fqdnlab.agent.state import AgentState
from fqdnlab.agent.store import Store, read_saved
from fqdnlab.agent.undo import Before
from fqdnlab.datapath import abi
from fqdnlab.model.policy_parser import check_documents, parse_policies
from fqdnlab.model.settings import LabSettings
from tests.unit.agent.kit import SECOND, WEB, Agent, endpoint

API, CDN = "api.example.com.", "img.cdn.example.com."
A, B = "198.51.100.7", "2001:db8::8"


def saved(tmp_path: Path) -> tuple[Agent, Store]:
    agent, store = Agent(WEB), Store(tmp_path)
    agent.learn(API, A, B)
    agent.learn(CDN, A, ttl=5)
    agent.collect(6 * SECOND, A)
    store.save(agent.state)
    return agent, store


def again(folder: Path, agent: Agent) -> tuple[AgentState, Store, list[str]]:
    """A fresh state with what is on disk, and the kernel as it is."""
    state, store = AgentState(agent.state.settings), Store(folder)
    state.content = agent.state.content
    return state, store, store.load(state, parse_policies)


def test_what_was_saved_needs_no_write(tmp_path: Path) -> None:
    agent, _ = saved(tmp_path)
    state, store, warnings = again(tmp_path, agent)
    assert (warnings, store.policies_read, store.state_read) == ([], True, True)
    assert state.rebuild() == []
    assert {(m.name, m.address, m.zombie) for m in state.mappings} == {
        (m.name, m.address, m.zombie) for m in agent.state.mappings
    }


def test_what_came_since_is_in_the_journal(tmp_path: Path) -> None:
    agent, store = saved(tmp_path)
    agent.state.identities.news()
    agent.learn("new.cdn.example.com.", "203.0.113.5")
    found = agent.state.mappings.find(1, "new.cdn.example.com.", abi.ip16("203.0.113.5"))
    assert found is not None
    store.append([found], agent.state.identities.news())
    store.close()
    with (tmp_path / "mappings.jsonl").open("a") as journal:
        journal.write('[1, "cut off in the mi')  # as a killed agent leaves it
    state, _, warnings = again(tmp_path, agent)
    assert warnings == []
    assert state.rebuild() == [], "the identity it made has its number"
    assert {m.name for m in read_saved(tmp_path).mappings} == {m.name for m in agent.state.mappings}


@pytest.mark.parametrize("head", ["", "\n", "# words\n\n", "---\n", "kind: none\n---\n"])
def test_policies_have_their_lines_and_texts_again(tmp_path: Path, head: str) -> None:
    policies = [p for p in check_documents(head + WEB.lstrip(), "policy.yaml") if p.policy]
    agent, store = Agent(), Store(tmp_path)
    agent.run(agent.state.set_policies([p.policy for p in policies if p.policy]))
    store.save(agent.state)
    state, _, _ = again(tmp_path, agent)
    before, after = (
        [(p.yaml, p.line, [rule.line for rule in p.rules()]) for p in s.policies.values()]
        for s in (agent.state, state)
    )
    assert [line for _, line, _ in after] == [head.count("\n") + 1]
    assert after == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace("example", "exemple"),
        lambda text: json.dumps({**json.loads(text), "version": 1}),
        lambda text: '{"version": 2}',
        lambda text: '{"version": 2, "body": 7, "sha256": ""}',
        lambda text: "null",
        lambda text: "\0\0",
    ],
)
@pytest.mark.parametrize("name", ["state.json", "policies.json"])
def test_a_file_that_is_not_whole_is_set_aside_with_its_name(
    tmp_path: Path, damage: Callable[[str], str], name: str
) -> None:
    agent, _ = saved(tmp_path)
    path = tmp_path / name
    path.write_text(damage(path.read_text()))
    state, store, warnings = again(tmp_path, agent)
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert f"{name}.corrupt" in warnings[0]
    assert (tmp_path / f"{name}.corrupt").exists()
    assert not path.exists()
    assert (store.policies_read, store.state_read) == (
        name != "policies.json",
        name != "state.json",
    )
    assert bool(state.policies) == store.policies_read
    assert bool(state.endpoints) == store.state_read


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.integers(0, 400))
def test_whatever_is_in_a_file_the_agent_starts(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: int
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    agent, _ = saved(folder)
    for name in ("state.json", "policies.json", "mappings.jsonl"):
        path = folder / name
        octets = path.read_bytes()
        path.write_bytes(octets[:place] + junk + octets[place:])
    again(folder, agent)


def test_the_kernel_rules_and_policies_make_up_for_a_lost_snapshot(tmp_path: Path) -> None:
    agent, _ = saved(tmp_path)
    write_rules(tmp_path / "rules.json", agent.state)
    (tmp_path / "state.json").unlink()
    state, _, _ = again(tmp_path, agent)
    rebuild_numbers(state, json.loads((tmp_path / "rules.json").read_text()))
    assert state.endpoints == agent.state.endpoints
    known = dict(state.identities.items())
    assert {i: known.get(i) for i, _ in agent.state.known_identities()} == dict(
        agent.state.known_identities()
    )
    assert dict(state.policy_ids.items()) == dict(agent.state.policy_ids.items())


@pytest.mark.parametrize("rules", [{}, {"endpoints": 7}, {"identities": {"x": 1}}, {"rules": [1]}])
def test_rules_of_another_shape_are_left_out(tmp_path: Path, rules: dict[str, object]) -> None:
    agent, _ = saved(tmp_path)
    state, _, _ = again(tmp_path, agent)
    rebuild_numbers(state, rules)


def test_an_overgrown_journal_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.overgrown(0)
    store.append(Mapping(1, API, abi.ip16(A), 1, 0, n) for n in range(20_001))
    assert store.overgrown(0)
    assert not store.overgrown(10)
    store.close()


# --- held: the policies are lost ----------------------------------------------------------------


def test_without_its_policies_what_is_enforced_stays_and_the_new_reach_nothing() -> None:
    agent = Agent(WEB)
    agent.learn(API, A)
    content, policies = agent.state.content, dict(agent.state.policies)
    agent.state.policies.clear()
    agent.state.held = True
    agent.run(agent.state.put_endpoint(endpoint(2, app="web")))
    agent.learn(API, "203.0.113.5")
    agent.collect(1000 * SECOND)
    assert agent.verdict(A, 443) == "allow"
    assert agent.verdict("203.0.113.9", 443) == "none"
    assert agent.verdict(A, 443, ep=2) == "none"
    agent.run(agent.state.remove_endpoint(1))
    assert len(content.endpoint) == 1
    agent.run(agent.state.set_policies(policies.values()))
    agent.learn(API, A, ep=2, now=1000 * SECOND)
    assert agent.verdict(A, 443, ep=2) == "allow"
    assert agent.verdict("203.0.113.9", 443, ep=2) == "none"


# --- all or nothing -----------------------------------------------------------------------------


def test_going_back_gives_the_numbers_back() -> None:
    agent = Agent(WEB)
    agent.learn(API, A)
    before, kept = Before(agent.state), dict(agent.state.content.policy)
    text = WEB.replace("name: web,", "name: more,") + (
        "  - toCIDR: [198.51.100.0/24]\n  - toEntities: [world]\n"
    )
    operations = agent.state.set_policies(parse_policies(text, "more.yaml"))
    agent.run([o for o in operations if o.table == "policy" and o.value])  # and then no room
    assert agent.state.content.policy != kept
    before.back(agent.state)
    operations = removals_first(agent.state.rebuild())
    agent.run(operations)
    assert agent.state.content.policy == kept
    assert not [o for o in operations if o.table == "policy" and o.value], "nothing is put anew"
    assert agent.state.rebuild() == []


def test_removals_come_first_where_room_is_short() -> None:
    put, gone, epoch = (
        Operation("policy", b"a", b"b"),
        Operation("policy", b"c"),
        Operation("epoch"),
    )
    assert removals_first([put, epoch, gone]) == [gone, put, epoch]


# --- the flight recorder ------------------------------------------------------------------------


def recorded(tmp_path: Path) -> tuple[Agent, Store, Recorder]:
    agent, store = saved(tmp_path)
    recorder = Recorder(16)
    recorder.saved()
    return agent, store, recorder


def test_a_dump_replays_through_json(tmp_path: Path) -> None:
    agent, store, recorder = recorded(tmp_path)
    state = agent.state
    more = parse_policies(WEB.replace("name: web,", "name: two,"), "two.yaml")
    learned = Learned(1, "x.cdn.example.com.", (bytes([203, 0, 113, 1]),), 5, SECOND)
    live = {abi.ip16(A)}
    two: Endpoint = endpoint(2, app="web")
    steps: list[tuple[str, object, int, Callable[[], list[Operation]]]] = [
        ("put", two, 1, lambda: state.put_endpoint(two)),
        ("apply", more, 2, lambda: state.set_policies(more)),
        ("learn", learned, SECOND, lambda: state.learn(learned, SECOND)),
        ("collect", live, 90 * SECOND, lambda: state.collect(90 * SECOND, live)[1]),
        ("delete", more[0].key, 4, lambda: state.delete_policy(more[0].key)),
        ("endpoints", [two], 5, lambda: state.set_endpoints([two])),
        ("remove", 2, 6, lambda: state.remove_endpoint(2)),
    ]
    for kind, what, now, change in steps:
        recorder.note(now, kind, what, agent.run(change()))
    dump = json.loads(json.dumps(recorder.dump(store.base(), state.settings)))
    assert dump["whole"]
    twin, faults = replay(dump, parse_policies)
    assert faults == []
    assert twin.content == state.content
    assert [in_words(e).split()[2] for e in dump["events"]] == [kind for kind, *_ in steps]


def test_a_replay_tells_what_comes_out_otherwise(tmp_path: Path) -> None:
    agent, store, recorder = recorded(tmp_path)
    recorder.note(1, "remove", 1, agent.run(agent.state.remove_endpoint(1))[:-2])
    _, faults = replay(
        json.loads(json.dumps(recorder.dump(store.base(), agent.state.settings))), parse_policies
    )
    assert len(faults) == 1
    assert "remove 1" in faults[0]


def test_a_dump_whose_beginning_is_lost_says_so(tmp_path: Path) -> None:
    _, store, recorder = recorded(tmp_path)
    for now in range(17):
        recorder.note(now, "remove", 99, [])
    dump = recorder.dump(store.base(), LabSettings())
    assert not dump["whole"]
    assert len(dump["events"]) == 16
    with pytest.raises(ValueError, match="not whole"):
        replay(dump, parse_policies)
    recorder.saved()
    assert recorder.dump(store.base(), LabSettings())["whole"]
    recorder.note(18, "apply", (), [], "no room")
    assert not recorder.dump(store.base(), LabSettings())["whole"]
