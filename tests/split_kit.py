"""A lab on several machines: each has mount, pid and network namespaces and a /run of its own.

A bridge in one more namespace joins them, as a switch would.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc

from fqdnlab.lab.machine import MachineClient
from fqdnlab.machine.peer import LineSocket
from fqdnlab.node import netns as namespaces
from fqdnlab.paths import netns
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import observer_pb2_grpc
from fqdnlab.testing import eventually
from fqdnlab.world.client import World
from tests.lab_kit import Site, cnp, dns, names
from tests.node_kit import NodeLab

T = TypeVar("T")

INTERNET = "10.77.0.30"
NODES = ("10.77.0.10", "10.77.0.11")
CLIENT = "10.77.0.20"
API, OTHER, EVIL = "api.example.com", "other.example.com", "evil.example.net"
A, B, C, D = "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"
A6 = "2001:db8::1"
_POLICY = cnp("web-egress", dns("*.example.com"), names("*.example.com"))
#: Process 1 of a machine: it reaps what the machine service leaves, and ends with it.
_INIT = """
mount -t tmpfs -o mode=755 tmpfs /run || exit 1
mkdir -p /run/netns /run/lock
case "$(realpath -m /etc/resolv.conf)" in
/run/*) mkdir -p "$(dirname "$(realpath -m /etc/resolv.conf)")"; : >/etc/resolv.conf ;;
esac
ip link set lo up
"$@" &
wait
"""
_SEPARATE = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]


def ip(pid: int, *words: str) -> str:
    """Call ``ip`` in the network namespace of a process."""
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def separate(*command: str, log: Path) -> Iterator[int]:
    """A command in namespaces of its own; its pid as we see it."""
    with log.open("ab") as output:
        outer = subprocess.Popen(
            [*_SEPARATE, "--propagation", "private", "sh", "-c", _INIT, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    try:
        pid = eventually(lambda: children.read_text().split(), 20, "process 1 of a machine")
        yield int(pid[0])
    finally:
        outer.kill()  # process 1 dies with it, and with that all of the machine's
        outer.wait()


class Machine:
    """One machine with its machine service."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid, self.log = pid, log
        self.root = Path(f"/proc/{pid}/root")
        self.socket = self.root / "run/fqdnlab/machine.sock"
        self.client = MachineClient(self.socket)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(60)
        connection.connect(str(self.socket))
        return connection

    def ask(self, op: str, **more: Any) -> dict[str, Any]:
        """One request; the whole answer."""
        with self.connect() as connection:
            lines = LineSocket(connection)
            lines.write({"op": op, **more})
            answer = lines.read()
        assert answer is not None, self.log.read_text()
        return answer

    def up(self, lab: str, **more: Any) -> dict[str, Any]:
        answer = self.ask("up", lab=lab, **more)
        assert answer["ok"], answer
        return answer

    def namespaces(self) -> list[str]:
        return sorted(p.name for p in (self.root / "run/netns").iterdir())

    def links(self) -> list[str]:
        """Links of the machine's own namespace."""
        return sorted(link["ifname"] for link in json.loads(ip(self.pid, "-j", "link")))


class SplitLab(NodeLab):
    """The part of a lab that is on one machine."""

    def __init__(self, name: str, machine: Machine) -> None:
        super().__init__(name)
        self.machine = machine

    def _channel(self, path: Any) -> grpc.Channel:
        return super()._channel(f"{self.machine.root}{path}")

    @property
    def observer(self) -> Any:
        return observer_pb2_grpc.ObserverStub(self._channel(self.paths.observer_socket))

    def inside(self, part: str, function: Callable[[], T]) -> T:
        pinned = self.machine.root / "run/netns" / netns(self.name, part)
        return namespaces.inside(str(pinned), function)


class SplitSite(Site):
    """Plain sockets in the endpoints of one node."""

    def __init__(self, part: SplitLab) -> None:
        self.part = part

    def inside(self, endpoint: str, function: Callable[[], T]) -> T:
        return self.part.inside(f"ep-{endpoint}", function)


def node_place(index: int, **more: Any) -> dict[str, Any]:
    """What the machine of a node is told of its place."""
    own = {"role": "node", "index": index, "device": "eth1", "address": NODES[index - 1]}
    return {**own, "peer": INTERNET, **more}


def internet_place(**more: Any) -> dict[str, Any]:
    return {"role": "internet", "device": "eth1", "address": INTERNET, "nodes": [*NODES], **more}


def client_place(**more: Any) -> dict[str, Any]:
    own = {"role": "client", "device": "eth1", "address": CLIENT, "peer": NODES[0]}
    return {**own, **more}


@contextlib.contextmanager
def machine(folder: Path, name: str, place: dict[str, Any], switch: int) -> Iterator[Machine]:
    """A machine at `place`, plugged into the switch; its machine service answers.

    ``true_address`` in `place`: what it has, where that is another than it is told.
    """
    file, log = folder / f"{name}.json", folder / f"{name}.log"
    told = {key: value for key, value in place.items() if key != "true_address"}
    address = place.get("true_address", place["address"])
    file.write_text(json.dumps(told))
    serve = [sys.executable, "-P", "-m", "fqdnlab.machine", "--place", str(file)]
    with separate(*serve, log=log) as pid:
        made = Machine(pid, log)
        eventually(lambda: Path(f"/proc/{pid}/ns/net").readlink() != _own_net(), 20, "its netns")
        peer = ("peer", "name", "eth1", "netns", str(pid))
        ip(switch, "link", "add", name, "type", "veth", *peer)
        ip(switch, "link", "set", name, "master", "br0", "up")
        ip(pid, "address", "add", f"{address}/24", "dev", "eth1")
        ip(pid, "link", "set", "eth1", "up")
        eventually(made.client.answers, 20, f"the machine service of {name}")
        yield made


def _own_net() -> Path:
    return Path("/proc/self/ns/net").readlink()


@contextlib.contextmanager
def machines(folder: Path, **places: dict[str, Any]) -> Iterator[dict[str, Machine]]:
    """Machines by name, joined."""
    with contextlib.ExitStack() as stack:
        hub = stack.enter_context(separate("sleep", "infinity", log=folder / "switch.log"))
        eventually(lambda: Path(f"/proc/{hub}/ns/net").readlink() != _own_net(), 20, "a switch")
        ip(hub, "link", "add", "br0", "type", "bridge")
        ip(hub, "link", "set", "br0", "up")
        yield {
            name: stack.enter_context(machine(folder, name, place, hub))
            for name, place in places.items()
        }


def three_machines(folder: Path) -> contextlib.AbstractContextManager[dict[str, Machine]]:
    """``internet``, ``node`` and ``node2``."""
    return machines(folder, internet=internet_place(), node=node_place(1), node2=node_place(2))


class Split(NamedTuple):
    """The machines, and a lab's part on each."""

    machines: dict[str, Machine]
    internet: SplitLab
    node: SplitLab
    node2: SplitLab
    world: World
    ca: str


@contextlib.contextmanager
def split_lab(three: dict[str, Machine], name: str) -> Iterator[Split]:
    """A lab on internet, node and node2, with endpoints ``web`` (with a policy) and ``free``."""
    answer = three["internet"].up(name)
    assert answer["created"] is True
    for node in ("node", "node2"):
        assert three[node].up(name, ca=answer["ca"]) == {"ok": True, "created": True}
    parts = {machine: SplitLab(name, three[machine]) for machine in three}
    world = World(f"{three['internet'].root}{parts['internet'].paths.world_socket}")
    made = Split(three, parts["internet"], parts["node"], parts["node2"], world, answer["ca"])
    try:
        for node in (made.node, made.node2):
            node.endpoint("web", app="web")
            node.endpoint("free", app="free")
            reply = node.agent.ApplyPolicy(pb.ApplyPolicyRequest(yaml=_POLICY), timeout=30)
            assert reply.revision > 0
        for known, addresses in ((API, [A, A6]), (OTHER, [B]), (EVIL, [C])):
            world.set(known, addresses)
        yield made
    finally:
        world.close()
        for part in parts.values():
            part.close()


def kill_inside(part: SplitLab, pid: int) -> None:
    """SIGKILL a process by the number that its machine knows it by."""
    space = os.readlink(f"/proc/{part.machine.pid}/ns/pid")
    for entry in Path("/proc").iterdir():
        try:
            lines = (entry / "status").read_text().splitlines() if entry.name.isdigit() else []
            there = os.readlink(entry / "ns/pid") == space
        except (FileNotFoundError, ProcessLookupError, NotADirectoryError, PermissionError):
            continue  # gone, or a stranger's, whose namespaces may be hidden even from root
        numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
        if there and numbers[-1:] == [str(pid)]:
            os.kill(int(entry.name), signal.SIGKILL)
            eventually(functools.partial(_dead, entry), 10, f"the death of {pid}")
            return
    raise AssertionError(f"no process {pid} on that machine")


def _dead(entry: Path) -> bool:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
