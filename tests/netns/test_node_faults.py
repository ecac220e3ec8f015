"""Faults on purpose, and what the node service makes of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import grpc
import pytest

from fqdnlab.lab.machine import MachineClient, machine_service
from fqdnlab.node.processes import Identity, Process, start_time
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.testing import eventually
from tests.node_kit import NodeLab, kill, lab


@pytest.fixture(scope="module")
def client() -> Iterator[MachineClient]:
    with machine_service() as found:
        yield found


@pytest.fixture(scope="module")
def node(client: MachineClient) -> Iterator[NodeLab]:
    with lab(client, f"faults-{os.getpid()}") as made:
        yield made


@pytest.fixture(autouse=True)
def _all_run(node: NodeLab) -> None:
    """Each test finds all processes running."""
    for state in node.status().process:
        if state.state == "stopped":
            node.fault(state.name, "continue")
        if state.state == "dead":
            node.fault(state.name, "start")


@pytest.mark.parametrize("process", ["agent", "observer", "proxy", "world"])
def test_kill_and_start(node: NodeLab, process: str) -> None:
    before = node.process(process)
    reply = node.fault(process, "kill")
    assert start_time(before.pid) is None
    assert (reply.process.state, reply.process.pid) == ("dead", 0)
    found = eventually(lambda: node.process(process).last_exit, 5, "how it ended")
    assert found == "killed by SIGKILL"
    assert f"{process} is dead" in node.status().sentence
    after = node.fault(process, "start").process
    assert after.state == "running"
    assert after.generation == before.generation + 1
    assert start_time(after.pid) is not None


@pytest.mark.parametrize("process", ["agent", "observer", "proxy", "world"])
def test_restart_ends_it_properly(node: NodeLab, process: str) -> None:
    before = node.process(process)
    after = node.fault(process, "restart").process
    assert start_time(before.pid) is None
    assert after.pid != before.pid
    assert after.last_exit == "exit 0"
    assert after.restarts == before.restarts + 1


def test_stop_and_continue(node: NodeLab) -> None:
    assert node.fault("observer", "stop").process.state == "stopped"
    assert node.process("observer").state == "stopped"
    assert node.fault("observer", "continue").process.state == "running"


def test_a_dead_process_stays_dead(node: NodeLab) -> None:
    kill(node.process("observer").pid)  # by nobody we know of
    eventually(lambda: node.process("observer").state == "dead", 5, "the node service to see it")
    assert node.process("observer").pid == 0
    with pytest.raises(grpc.RpcError) as failure:
        node.fault("observer", "stop")
    assert "is dead" in failure.value.details()


def test_an_upgrade_of_the_proxy(node: NodeLab) -> None:
    before = node.process("proxy")
    after = node.fault("proxy", "upgrade").process
    assert after.generation == before.generation + 1
    assert after.pid != before.pid
    assert start_time(before.pid) is None
    assert [p.state for p in node.status().process if p.name == "proxy"] == ["running"]


def test_a_stopped_proxy_is_upgraded_too(node: NodeLab) -> None:
    before = node.process("proxy")
    node.fault("proxy", "stop")
    assert node.fault("proxy", "upgrade").process.state == "running"
    assert start_time(before.pid) is None


@pytest.mark.parametrize("name", ["agent", "observer"])
def test_others_are_upgraded_in_place(node: NodeLab, name: str) -> None:
    before = node.process(name)
    reply = node.fault(name, "upgrade")
    assert reply.process.generation == before.generation + 1
    assert reply.process.state == "running"
    assert f"in place, its state kept: generation {before.generation} ended" in reply.note
    assert start_time(before.pid) is None


def test_the_world_is_not_upgraded(node: NodeLab) -> None:
    """It forgets with its process."""
    with pytest.raises(grpc.RpcError) as failure:
        node.fault("world", "upgrade")
    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("process", "action"), [("kernel", "kill"), ("agent", "scare")])
def test_no_such_fault(node: NodeLab, process: str, action: str) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        node.fault(process, action)
    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_the_log_of_faults(node: NodeLab) -> None:
    pid = node.process("observer").pid
    node.fault("observer", "kill")
    node.fault("observer", "start")
    logged = node.node.ListFaults(pb.ListFaultsRequest(), timeout=20).fault
    assert [(f.process, f.action) for f in logged[-2:]] == [
        ("observer", "kill"),
        ("observer", "start"),
    ]
    assert logged[-2].pid == pid
    assert logged[-2].time <= logged[-1].time


def test_an_endpoint_made_while_the_agent_is_dead_waits_for_it(node: NodeLab) -> None:
    node.fault("agent", "kill")
    made = node.endpoint("early")
    assert not made.link_up

    def routes() -> str:
        with open("/proc/thread-self/net/route") as file:
            return file.read()

    assert "eth0" in node.inside("ep-early", routes)
    assert "lxc" not in node.inside("node", routes)
    node.fault("agent", "start")
    assert node.endpoints()["early"].link_up, "the agent was ready, and its endpoint still waits"
    assert node.endpoints()["early"].identity > 0
    assert "lxc" in node.inside("node", routes)
    node.node.DeleteEndpoint(pb.Endpoint(name="early"), timeout=20)


def test_an_endpoint_made_while_the_agent_is_stopped_waits_for_it(node: NodeLab) -> None:
    pid = node.process("agent").pid
    node.fault("agent", "stop")
    assert not node.endpoint("late").link_up
    agent = Process.adopt(Identity(pid, start_time(pid) or 0))
    assert agent is not None
    agent.send(signal.SIGCONT)  # by nobody we know of
    eventually(lambda: node.endpoints()["late"].link_up, 15, "the endpoint's link")
    node.node.DeleteEndpoint(pb.Endpoint(name="late"), timeout=20)


def test_a_process_that_is_late_is_named_and_ended(node: NodeLab) -> None:
    node.fault("observer", "kill")
    with pytest.raises(grpc.RpcError) as failure:
        node.fault("observer", "start", timeout=0.01)
    assert "the observer is not ready after 0.01 s" in failure.value.details()
    assert dict(failure.value.trailing_metadata())["error"] == "LateError"
    assert node.process("observer").state == "dead"


def test_a_process_that_does_not_get_ready_is_told_with_its_last_words(node: NodeLab) -> None:
    node.fault("agent", "kill")
    # Another agent's place is taken: it cannot serve.
    os.rename(node.paths.bpf.parent / "agent", node.paths.bpf.parent / "agent.away")
    (node.paths.bpf.parent / "agent").write_text("not a directory")
    try:
        with pytest.raises(grpc.RpcError) as failure:
            node.fault("agent", "start")
        assert failure.value.code() == grpc.StatusCode.ABORTED
        assert "the agent ended while it started (exit" in failure.value.details()
        assert "agent" in failure.value.details()
        assert node.process("agent").state == "dead"
    finally:
        os.unlink(node.paths.bpf.parent / "agent")
        os.rename(node.paths.bpf.parent / "agent.away", node.paths.bpf.parent / "agent")
