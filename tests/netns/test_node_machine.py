"""The machine service: who may what, what lives on, what is cleaned up, what is left alone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fqdnlab.errors import ConflictError, SetupError, UnavailableError, UsageError
from fqdnlab.lab.machine import MachineClient, machine_service
from fqdnlab.node import netns as namespaces
from fqdnlab.node.processes import Process, launch, start_time, wait_ready
from fqdnlab.paths import netns
from fqdnlab.testing import Footprint, eventually, host_state, host_state_difference
from tests.node_kit import NodeLab, as_user, kill, lab

USER = 54321


@pytest.fixture
def client() -> Iterator[MachineClient]:
    with machine_service() as found:
        yield found


def name(word: str) -> str:
    return f"{word}-{os.getpid()}"


def nothing_left(before: Footprint) -> None:
    """Fail, with a list, if anything is here that was not in `before`."""

    def gone() -> bool:
        left = Footprint.now().left_since(before)
        assert left == []
        return True

    eventually(gone, 10, "nothing to be left behind")


def start_service(log: Path, *arguments: str) -> Process:
    read, write = os.pipe()
    command = [sys.executable, "-P", "-m", "fqdnlab.machine", "--ready-fd", str(write), *arguments]
    process = launch(command, log, [write])
    os.close(write)
    try:
        assert wait_ready(process, read, 20) == "ready", log.read_text()
    finally:
        os.close(read)
    return process


def test_nothing_of_the_machine_is_changed_and_nothing_is_left() -> None:
    network, things = host_state(), Footprint.now()
    with machine_service() as client, lab(client, name("host")) as made:
        made.endpoint("web")
        assert made.run("web", "true").exit == 0
        assert host_state_difference(network, host_state()) == []
        assert len(Footprint.now().namespaces - things.namespaces) == 3
    assert host_state_difference(network, host_state()) == []
    nothing_left(things)


def test_a_lab_is_made_once_and_then_attached_to(client: MachineClient) -> None:
    with lab(client, name("again")) as made:
        pid = made.pids()["agent"]
        assert client.up(made.name) is False
        assert made.pids()["agent"] == pid


def test_other_settings_are_a_conflict_that_says_which(client: MachineClient) -> None:
    with lab(client, name("conflict"), min_ttl=5) as made:
        with pytest.raises(ConflictError, match=r"min_ttl is 5, not 7"):
            client.up(made.name, {"min_ttl": 7})
        with pytest.raises(ConflictError, match=r"min_ttl is 5, not 0"):
            client.up(made.name)
        assert client.up(made.name, {"min_ttl": 5}) is False


@pytest.mark.parametrize(
    ("lab_name", "settings", "why"),
    [
        ("No Name", {}, "cannot name a lab"),
        ("../../etc", {}, "cannot name a lab"),
        ("a-ep-b", {}, "-ep-"),
        ("fine", {"min_ttl": -1}, "non-negative"),
        ("fine", {"no_such": 1}, "no_such"),
    ],
)
def test_what_cannot_be_is_refused(
    client: MachineClient, lab_name: str, settings: dict[str, object], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        client.up(lab_name, settings)
    assert client.list() == []


def test_two_labs_at_once_know_nothing_of_each_other(client: MachineClient) -> None:
    with lab(client, name("one")) as one, lab(client, name("two")) as two:
        a, b = one.endpoint("web"), two.endpoint("web")
        assert a.ip4 == b.ip4
        one.fault("world", "kill")
        assert two.process("world").state == "running"
        assert {found["name"] for found in client.list()} == {one.name, two.name}
        client.down(one.name)
        assert two.run("web", "echo", "here").stdout == "here\n"
        assert two.status().sentence == "all processes run"


def test_a_lab_belongs_to_who_asked_for_it(client: MachineClient) -> None:
    mine = name("theirs")
    assert as_user(USER, lambda: client.up(mine)) is True
    made = NodeLab(mine)
    try:
        found = made.paths.client.stat()
        assert (found.st_uid, found.st_mode & 0o777) == (USER, 0o700)
        for socket in ("node", "agent", "observer", "world"):
            socket_stat = (made.paths.client / f"{socket}.sock").stat()
            assert (socket_stat.st_uid, socket_stat.st_mode & 0o777) == (USER, 0o600), socket
        made.endpoint("web")
        assert made.run("web", "id", "-u").stdout.strip() == str(USER)
        with pytest.raises(UsageError, match="another user"):
            as_user(USER + 1, lambda: client.up(mine))
        with pytest.raises(UsageError, match="another user"):
            as_user(USER + 1, lambda: client.down(mine))
        assert as_user(USER + 1, client.clean) == []
        assert as_user(USER, lambda: client.up(mine)) is False
    finally:
        made.close()
        as_user(USER, lambda: client.down(mine))
    assert client.list() == []


def test_a_new_node_service_adopts_the_lab(client: MachineClient) -> None:
    with lab(client, name("adopted")) as made:
        made.endpoint("web")
        made.fault("observer", "kill")
        before = made.pids()
        made.kill_node_service()
        assert [found["alive"] for found in client.list()] == [False]
        assert start_time(before["agent"]) is not None
        assert client.up(made.name) is False
        after = made.pids()
        assert {k: after[k] for k in ("agent", "proxy", "world")} == {
            k: before[k] for k in ("agent", "proxy", "world")
        }
        assert after["node"] != before["node"]
        assert made.process("node").generation == 2
        assert made.process("observer").state == "dead", "a dead one stays dead until asked"
        assert made.run("web", "echo", "here").stdout == "here\n"
        assert made.endpoint("next").id == 2
        made.fault("proxy", "kill")  # an adopted one is watched too
        assert made.process("proxy").state == "dead"


def test_clean_removes_what_a_kill_left_and_nothing_else(client: MachineClient) -> None:
    things = Footprint.now()
    with lab(client, name("stays")) as stays:
        alive = Footprint.now()
        client.up(name("killed"))
        killed = NodeLab(name("killed"))
        killed.endpoint("web")
        for pid in [p for _, p in sorted(killed.pids().items()) if p]:
            kill(pid)
        killed.close()
        assert Footprint.now().namespaces > alive.namespaces
        assert client.clean() == [killed.name]
        nothing_left(alive)
        assert stays.status().sentence == "all processes run"
        assert client.clean() == []
    nothing_left(things)


def test_clean_ends_processes_that_outlived_their_node_service(client: MachineClient) -> None:
    client.up(name("orphans"))
    left = NodeLab(name("orphans"))
    pids = left.pids()
    left.kill_node_service()
    left.close()
    assert client.clean() == [left.name]
    assert [p for p in pids.values() if start_time(p) is not None] == []


def test_a_lab_without_its_namespaces_is_made_anew(client: MachineClient) -> None:
    """As after a start of the machine where /run outlives it."""
    client.up(name("remains"))
    remains = NodeLab(name("remains"))
    for pid in [p for _, p in sorted(remains.pids().items())]:
        kill(pid)
    remains.close()
    for part in ("node", "world"):
        namespaces.remove(netns(remains.name, part))
    with lab(client, remains.name) as made:
        assert made.status().sentence == "all processes run"


def test_a_lab_that_cannot_come_up_leaves_nothing(client: MachineClient) -> None:
    things = Footprint.now()
    with pytest.raises(UnavailableError, match="the agent ended while it started"):
        client.up(name("never"), {"max_policy": 0})  # no such map
    assert client.list() == []
    nothing_left(things)


def test_labs_outlive_the_machine_service(tmp_path: Path) -> None:
    service = start_service(tmp_path / "first.log")
    client, mine = MachineClient(), name("outlives")
    try:
        assert client.up(mine)
        service.send(signal.SIGKILL)
        service.wait(10)
        made = NodeLab(mine)
        assert made.status().sentence == "all processes run"
        with pytest.raises(SetupError, match="sudo fqdnlab serve"):
            client.ping()
        service = start_service(tmp_path / "second.log")
        assert client.up(mine) is False
        made.close()
        client.down(mine)
        assert client.list() == []
    finally:
        service.end(10)


def test_there_is_one_machine_service(client: MachineClient, tmp_path: Path) -> None:
    log = tmp_path / "another.log"
    another = launch([sys.executable, "-P", "-m", "fqdnlab.machine"], log, [])
    assert another.wait(20)
    assert another.status == 4
    assert "a machine service runs already" in log.read_text()
    assert client.ping()["pid"] != another.pid


def test_the_labs_of_a_service_that_was_told_to_take_them_along_end_with_it(tmp_path: Path) -> None:
    things = Footprint.now()
    service = start_service(tmp_path / "service.log", "--take-labs-down")
    try:
        assert MachineClient().up(name("along"))
        service.send(signal.SIGTERM)
        assert service.wait(30)
        assert service.status == 0
    finally:
        service.end(30)
        del service  # it holds a pidfd
    nothing_left(things)


def test_without_a_service_and_root_the_line_to_type_is_told() -> None:
    def attempt() -> None:
        with machine_service():
            raise AssertionError("there is a service")

    with pytest.raises(SetupError, match="sudo fqdnlab serve"):
        as_user(USER, attempt)
