"""`Lab` over a backend that is elsewhere: lost links, clocks that are ahead, a lab begun anew."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from fqdnlab.cli.flow_request import flow_request
from fqdnlab.errors import ConflictError, LateError, UnavailableError, UsageError
from fqdnlab.lab import Lab, machine_service
from fqdnlab.lab.backends import backend_of
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.testing import eventually
from tests.backend_kit import SERVICES, Linked
from tests.lab_kit import cnp, dns, names

A, API = "198.51.100.7", "api.example.com"
AHEAD = 1000.0
POLICY = cnp("names", dns(API), names(API))


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Linked:
    return Linked(tmp_path_factory.mktemp("links"), AHEAD)


@pytest.fixture(scope="module")
def lab(linked: Linked) -> Iterator[Lab]:
    with machine_service(), Lab(f"link-{os.getpid()}", linked, min_ttl=7) as made:
        web = made.endpoint("web", labels={"app": "web"})
        made.world[API] = [A]
        made.apply(POLICY)
        assert web.connect(API, 443).address == A
        yield made


def test_the_same_client_reaches_it(lab: Lab, linked: Linked) -> None:
    assert backend_of(lab.name) is linked
    with Lab.attach(lab.name, linked) as other:
        assert [e.name for e in other.endpoints()] == ["web"]
        assert other.settings.min_ttl == 7
        assert other.explain("web", API, 443).verdict == "FORWARDED"
    assert lab.status().sentence, "the other client's end leaves the links"
    with pytest.raises(UsageError, match="there is no lab 'nobody'"):
        Lab.attach("nobody", linked)
    with pytest.raises(ConflictError):
        Lab(lab.name, linked, min_ttl=8)


def test_a_dead_agent_behind_a_living_link_is_a_dead_agent_and_at_once(lab: Lab) -> None:
    lab.agent_status()
    lab.agent.kill()
    for _ in range(2):
        begin = time.monotonic()
        with pytest.raises(UnavailableError, match="the agent is dead") as told:
            lab.agent_status()
        assert time.monotonic() - begin < 3, "not after the call's whole time"
        assert "lab.agent.restart()" in told.value.remedy
    lab.agent.restart()
    assert lab.agent_status().policy_revision


def test_one_that_hangs_is_late(lab: Lab) -> None:
    lab.agent.stop()
    node = lab.nodes["node"]
    with pytest.raises(LateError, match="the agent did not answer in time"):
        node.agent_peer.call(node.agent_stub.Status, pb.AgentStatusRequest(), 0.3)
    lab.agent.cont()
    assert lab.agent_status().policy_revision


def test_a_lost_link_is_named_and_comes_back_by_itself(lab: Lab, linked: Linked) -> None:
    long = lab.endpoint("web").popen(["sleep", "60"])
    eventually(lambda: long.pid, 10, "the command to run")
    lab.flows()
    relays = [linked.relays[service] for service in SERVICES]
    for relay in relays:
        relay.stop()
    for ask in (lab.status, lab.agent_status, lab.flows, long.wait, lambda: lab.apply(POLICY)):
        with pytest.raises(UnavailableError, match="the link to node is lost") as told:
            ask()
        assert "by itself" in told.value.remedy
    with pytest.raises(UnavailableError, match="the link to internet is lost"):
        lab.world.records()
    assert "the link to node is lost" in lab.mappings().attrs["note"]
    for relay in relays:
        relay.start()
    assert lab.status().sentence == "all processes run"
    assert not lab.apply(POLICY).late
    assert lab.world[API] == [A]
    assert len(lab.flows())
    assert lab.endpoint("web").connect(API, 443).ok


def test_every_time_is_the_clients(lab: Lab) -> None:
    ours = time.time() - AHEAD  # its clock is said to be so much ahead, and is not
    lab.observer.restart()
    before = len(lab.flows())
    with lab.endpoint("web").capture() as capture:
        assert lab.endpoint("web").connect(API, 443)
        capture.wait_for(3)
    eventually(lambda: len(lab.flows()) > before + 2, 10, "flows")
    told = {
        "flow": lab.flows()["time"].iloc[-1].timestamp(),
        "query": lab.queries()["time"].iloc[-1].timestamp(),
        "fault": lab.faults()["time"].iloc[-1].timestamp(),
        "mapping": lab.mappings()["lookup_time"].max().timestamp(),
        "expiry": lab.mappings()["expiration_time"].max().timestamp() - 60,
        "since": max(p.since for p in lab.status().process),
        "evidence": lab.gather().evidence.time,
        "packet": capture.frames()[-1][0],
        "explained": lab.facts().time,
        "restarted": lab.agent.state().since,
    }
    assert {what: t for what, t in told.items() if not ours - 60 < t < ours + 60} == {}
    wanted = {"last": 0, "endpoint": (), "verdict": (), "name": (), "address": (), "port": (),
              "protocol": (), "since": None, "until": None}  # fmt: skip
    flow = lab.flows()["time"].iloc[-1].to_pydatetime()
    assert list(lab.flow_lines(flow_request(False, {**wanted, "since": flow})))
    none = lab.flow_lines(flow_request(False, {**wanted, "until": flow.replace(year=2000)}))
    assert not [line for line in none if '"flow"' in line], "what was lost is told all the same"


def test_a_machines_faults_are_noted_and_what_it_cannot_is_said(lab: Lab) -> None:
    machine = lab.nodes["node"].vm
    before = len(lab.faults())
    machine.suspend()
    row = lab.faults().iloc[-1]
    assert len(lab.faults()) == before + 1
    assert (row["process"], row["action"], row["note"]) == ("vm", "suspend", "node")
    for cannot in (machine.resume, machine.reset, machine.cut_link, machine.mend_link,
                   machine.echo_seconds, lab.snapshots, lambda: lab.snapshot("clean"),
                   lambda: lab.restore("clean")):  # fmt: skip
        with pytest.raises(UsageError, match="no machines of its own"):
            cannot()
    assert len(lab.faults()) == before + 1, "what was not done is not noted"


def test_asked_through_a_lab_that_was_let_go_of_it_says_so(lab: Lab, linked: Linked) -> None:
    let_go = Lab.attach(lab.name, linked)
    web = let_go.endpoint("web")
    let_go.flows()
    let_go.close()
    ways: list[Callable[[], object]] = [
        let_go.status,
        let_go.flows,
        let_go.mappings,
        let_go.agent.kill,
        lambda: web.connect(API, 443),
        lambda: web.popen(["true"]),
        lambda: let_go.world.set(API, [A]),
    ]
    for way in ways:
        with pytest.raises(UsageError, match="this lab was taken down, or closed"):
            way()
    let_go.close()


def test_reset_begins_anew_with_the_same_settings(lab: Lab) -> None:
    lab.world.fault(API, silent=True)
    lab.reset()
    lab.backend.down(lab.name)  # as after a reset that failed half-way
    lab.reset()
    assert lab.endpoints() == []
    assert (len(lab.policies()), len(lab.flows()), len(lab.faults())) == (0, 0, 0)
    assert lab.world.faults() == []
    assert API not in lab.world
    assert lab.settings.min_ttl == 7
    assert '"min_ttl": 7' in lab.status().settings
    assert lab.endpoint("web", labels={"app": "web"}).ip4 == "10.10.0.1"
