"""The machines of a lab on several of them: their services, what they are told, and the end."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fqdnlab.node.addresses import vxlan_id
from fqdnlab.node.processes import launch
from fqdnlab.world.client import World
from tests.split_kit import (
    API,
    NODES,
    A,
    Machine,
    Split,
    SplitLab,
    SplitSite,
    ip,
    kill_inside,
    machines,
    node_place,
    split_lab,
    three_machines,
)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    with three_machines(tmp_path_factory.mktemp("split")) as made:
        yield made


@pytest.fixture(scope="module")
def split(three: dict[str, Machine]) -> Iterator[Split]:
    with split_lab(three, "x") as made:
        yield made


def test_a_node_service_is_adopted(split: Split) -> None:
    for part, ca in ((split.node, split.ca), (split.internet, "")):
        before = part.pids()
        kill_inside(part, before["node"])
        answer = part.machine.up("x", **({"ca": ca} if ca else {}))
        assert answer["created"] is False
        after = part.pids()
        assert after.pop("node") != before.pop("node")
        assert after == before
    site = SplitSite(split.node)
    assert site.ask("web", API).addresses == (A,)
    site.check("web", {(A, 443): "open"})


# --- the machine services -----------------------------------------------------------------------


def test_the_internet_tells_its_ca_again(split: Split) -> None:
    answer = split.internet.machine.up("x")
    assert answer == {"ok": True, "created": False, "ca": split.ca}
    assert (split.node.machine.root / str(split.node.paths.ca)[1:]).read_text() == split.ca


@pytest.mark.parametrize(
    ("machine", "ca", "why"),
    [("node", "hello", "no certificate"), ("node", 7, "a text"), ("internet", None, "on this")],
)
def test_a_ca_that_is_none_is_refused(split: Split, machine: str, ca: object, why: str) -> None:
    given = split.ca if ca is None else ca
    answer = split.machines[machine].ask("up", lab="y", ca=given)
    assert (answer["ok"], answer["error"]) == (False, "UsageError")
    assert why in answer["message"]
    assert [one["name"] for one in split.machines[machine].client.list()] == ["x"]


def test_a_machine_tells_its_place_and_its_clocks(split: Split) -> None:
    machine = split.machines["node2"]
    told = machine.ask("ping")["place"]
    assert (told["role"], told["index"], told["address"]) == ("node", 2, NODES[1])
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    clock = machine.ask("clock")
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before <= clock["boottime"] <= after
    assert abs(clock["wall"] - time.time_ns()) < 10e9


def test_an_echo_begins_after_its_answer(split: Split) -> None:
    with split.machines["node"].connect() as connection:
        connection.sendall(b'{"op": "echo"}\nab')
        got = b""
        while not got.endswith(b"ab"):
            got += connection.recv(4096)
        assert got == b'{"ok": true}\nab'
        sent = os.urandom(100_000)
        feeder = threading.Thread(target=connection.sendall, args=(sent,))
        feeder.start()
        back = b""
        while len(back) < len(sent):
            back += connection.recv(65536)
        feeder.join()
        assert back == sent
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


# --- what cannot come up ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"device": "eth7"}, "no link eth7"),
        ({"address": "10.77.0.12"}, "has not the address 10.77.0.12"),
        ({"units": True}, "systemd-run"),  # systemd is not process 1 of these machines
    ],
)
def test_a_machine_that_is_not_as_it_was_told_says_so(
    tmp_path: Path, wrong: dict[str, object], why: str
) -> None:
    """By the error of `up`; nothing is left of the attempt."""
    place = node_place(1, true_address=NODES[0], **wrong)
    with machines(tmp_path, lonely=place) as made:
        answer = made["lonely"].ask("up", lab="never")
        assert (answer["ok"], answer["error"]) == (False, "SetupError"), answer
        assert why in answer["message"]
        assert answer["remedy"]
        assert made["lonely"].client.list() == []
        assert made["lonely"].namespaces() == []
        assert made["lonely"].links() == ["eth1", "lo"]


def test_a_place_that_is_none_ends_the_service_with_its_name(tmp_path: Path) -> None:
    file, log = tmp_path / "place.json", tmp_path / "log"
    file.write_text('{"role": "nodes"}')
    for place, why in ((file, "role must be one of"), (tmp_path / "none.json", "no file")):
        process = launch(
            [sys.executable, "-P", "-m", "fqdnlab.machine", "--place", str(place)], log, []
        )
        assert process.wait(20)
        assert process.status == 4
        last = log.read_text().splitlines()[-1]
        assert why in last
        assert str(place) in last


# --- the end ------------------------------------------------------------------------------------


def test_a_vxlan_that_is_taken_is_told(three: dict[str, Machine]) -> None:
    """As by another lab whose name gives the same number; nothing is left of the attempt."""
    node = three["node"]
    number = str(vxlan_id("taken", 1))
    ip(node.pid, "link", "add", "v0", "type", "vxlan", "id", number, "dev", "eth1",
       "local", NODES[0], "remote", "10.77.0.99", "dstport", "4789", "nolearning")  # fmt: skip
    try:
        answer = node.ask("up", lab="taken")
        assert (answer["ok"], answer["error"]) == (False, "StateError")
        assert f"VXLAN {number}" in answer["message"]
    finally:
        ip(node.pid, "link", "del", "v0")
    assert "taken" not in {one["name"] for one in node.client.list()}
    assert [name for name in node.namespaces() if "taken" in name] == []
    assert node.client.up("taken") is True
    node.client.down("taken")


def test_two_labs_share_the_machines(split: Split) -> None:
    """Each has its own VXLAN: their addresses are alike, and no packet of one is the other's."""
    ca = split.machines["internet"].up("y")["ca"]
    split.machines["node"].up("y", ca=ca)
    mine = SplitLab("y", split.machines["node"])
    world = World(f"{split.machines['internet'].root}{mine.paths.world_socket}")
    try:
        assert mine.endpoint("web", app="web").ip4 == split.node.endpoints()["web"].ip4
        world.set(API, ["198.51.100.99"])
        assert SplitSite(mine).ask("web", API).addresses == ("198.51.100.99",)
        assert SplitSite(split.node).ask("web", API).addresses == (A,)
    finally:
        world.close()
        mine.close()
        for machine in ("node", "internet"):
            split.machines[machine].client.down("y")
    assert SplitSite(split.node).ask("web", API).addresses == (A,)


def test_nothing_is_left_on_any_machine(split: Split) -> None:
    """Down on one, cleaned after SIGKILL on the others."""
    split.machines["node"].client.down("x")
    for part in (split.node2, split.internet):
        for pid in part.pids().values():
            kill_inside(part, pid)
        assert part.machine.client.clean() == ["x"]
    for machine in split.machines.values():
        assert machine.client.list() == []
        assert machine.namespaces() == []
        assert machine.links() == ["eth1", "lo"]
        left = {p.name for p in (machine.root / "run/fqdnlab").iterdir()}
        assert left <= {"machine.sock", ".lab"}
        lab_folder = machine.root / "run/fqdnlab/.lab"
        assert not lab_folder.exists() or not list(lab_folder.iterdir())
