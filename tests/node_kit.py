"""Labs by the machine service and the node service alone: no client library between."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import grpc

from fqdnlab.lab.machine import MachineClient
from fqdnlab.node import netns as namespaces
from fqdnlab.node.processes import Identity, Process, start_time
from fqdnlab.paths import LabPaths, netns
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc
from fqdnlab.testing import eventually

T = TypeVar("T")

_SYS_SETRESUID = {"x86_64": 117, "aarch64": 147}[os.uname().machine]


class Ran(NamedTuple):
    """What came of a command in an endpoint."""

    exit: int
    stdout: str
    stderr: str
    timed_out: bool


class NodeLab:
    """A living lab called `name`, through its sockets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.paths = LabPaths(name)
        self._channels: list[grpc.Channel] = []

    def _channel(self, path: Any) -> grpc.Channel:
        channel = grpc.insecure_channel(f"unix://{path}")
        self._channels.append(channel)
        return channel

    @property
    def node(self) -> Any:
        return control_pb2_grpc.NodeStub(self._channel(self.paths.node_socket))

    @property
    def agent(self) -> Any:
        return control_pb2_grpc.AgentStub(self._channel(self.paths.agent_socket))

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    def status(self) -> Any:
        return self.node.Status(pb.NodeStatusRequest(), timeout=20)

    def process(self, name: str) -> Any:
        """The (first) state of the process called `name`."""
        return next(p for p in self.status().process if p.name == name)

    def pids(self) -> dict[str, int]:
        return {p.name: p.pid for p in self.status().process}

    def endpoint(self, name: str, **labels: str) -> Any:
        return self.node.CreateEndpoint(pb.Endpoint(name=name, labels=labels), timeout=30)

    def endpoints(self) -> dict[str, Any]:
        listed = self.node.ListEndpoints(pb.ListEndpointsRequest(), timeout=20)
        return {e.name: e for e in listed.endpoint}

    def fault(self, process: str, action: str, timeout: float = 0.0) -> Any:
        request = pb.FaultRequest(process=process, action=action, timeout=timeout)
        return self.node.Fault(request, timeout=60)

    def run(
        self, endpoint: str, *argv: str, stdin: bytes = b"", timeout: float = 20.0, **env: str
    ) -> Ran:
        """Run a command to its end."""
        start = pb.RunStart(endpoint=endpoint, argv=argv, timeout=timeout, env=env)
        inputs = [pb.RunInput(start=start), pb.RunInput(stdin=stdin), pb.RunInput(stdin_eof=True)]
        stdout, stderr, status, late = b"", b"", None, False
        for one in self.node.Run(iter(inputs), timeout=60):
            kind = one.WhichOneof("what")
            stdout += one.stdout
            stderr += one.stderr
            status = one.exit if kind == "exit" else status
            late = late or one.timed_out
        assert status is not None, f"no exit status of {argv}"
        return Ran(status, stdout.decode(), stderr.decode(), late)

    def inside(self, part: str, function: Callable[[], T]) -> T:
        """Call `function` in one of the lab's network namespaces, whoever is dead."""
        return namespaces.inside(netns(self.name, part), function)

    def kill_node_service(self) -> None:
        """SIGKILL the node service alone."""
        kill(self.pids()["node"])


def kill(pid: int) -> None:
    """SIGKILL a process of a lab, and see that it is dead."""
    process = Process.adopt(Identity(pid, start_time(pid) or 0))
    assert process is not None, f"no process {pid}"
    process.send(signal.SIGKILL)
    eventually(lambda: start_time(pid) is None, 10, f"the death of {pid}")


@contextlib.contextmanager
def lab(client: MachineClient, name: str, **settings: Any) -> Iterator[NodeLab]:
    """A lab of that name; it is gone afterwards."""
    assert client.up(name, settings), f"{name} was there already"
    made = NodeLab(name)
    try:
        yield made
    finally:
        made.close()
        if any(found["name"] == name for found in client.list()):
            client.down(name)


def as_user(uid: int, function: Callable[[], T]) -> T:
    """Call `function` in a thread that is `uid` for the kernel (and for SO_PEERCRED)."""
    libc = ctypes.CDLL(None, use_errno=True)
    done: list[T] = []
    failed: list[BaseException] = []

    def body() -> None:
        # The system call itself: the C library's function would change every thread.
        assert libc.syscall(_SYS_SETRESUID, uid, uid, uid) == 0, os.strerror(ctypes.get_errno())
        try:
            done.append(function())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
