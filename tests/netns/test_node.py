"""A lab's node with real namespaces, real processes and the real kernel."""

from __future__ import annotations

import errno
import os
import signal
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from fqdnlab.lab.machine import MachineClient, machine_service
from fqdnlab.node.processes import start_time
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.testing import eventually
from tests.node_kit import NodeLab, lab

PORT = 80
TO_ONE = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: one-address
spec:
  endpointSelector:
    matchLabels:
      app: web
  egress:
  - toCIDR: [198.51.100.1/32]
"""


@pytest.fixture(scope="module")
def client() -> Iterator[MachineClient]:
    with machine_service() as found:
        yield found


@pytest.fixture(scope="module")
def node(client: MachineClient) -> Iterator[NodeLab]:
    with lab(client, f"node-{os.getpid()}") as made:
        made.endpoint("web", app="web")
        made.endpoint("free", app="free")
        yield made


def connects(node: NodeLab, endpoint: str, address: str, patience: float = 10.0) -> str:
    """Whether a TCP connection to `address` opens, from an endpoint: "yes" or why not."""

    def attempt() -> str:
        try:
            socket.create_connection((address, PORT), patience).close()
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, type(error).__name__)
        return "yes"

    return node.inside(f"ep-{endpoint}", attempt)


# --- endpoints ----------------------------------------------------------------------------------


def test_an_endpoint_has_its_addresses_and_is_enforced(node: NodeLab) -> None:
    web = node.endpoints()["web"]
    assert (web.ip4, web.ip6, web.ifname) == ("10.10.0.1", "fd10::1", "lxc1")
    assert web.namespace == "default"
    assert dict(web.labels) == {"app": "web"}
    assert web.identity > 0
    assert web.link_up


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8::7", "172.31.0.2"])
def test_an_endpoint_reaches_any_address_of_the_world(node: NodeLab, address: str) -> None:
    assert connects(node, "free", address) == "yes"


def test_the_world_sees_the_endpoints_own_address(node: NodeLab) -> None:
    def listen() -> socket.socket:
        return socket.create_server(("198.51.100.9", 4242))

    def call() -> str:
        return str(socket.create_connection(("198.51.100.9", 4242), 5).getsockname()[0])

    with node.inside("world", listen) as server:
        own = node.inside("ep-free", call)
        connection, peer = server.accept()
        connection.close()
    assert own == peer[0] == node.endpoints()["free"].ip4


def test_there_is_no_way_to_the_machines_network(node: NodeLab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def attempt() -> int:
            with socket.socket() as mine:
                mine.settimeout(1)
                return mine.connect_ex(("127.0.0.1", port))

        assert node.inside("node", attempt) == errno.ECONNREFUSED
        assert node.inside("ep-free", attempt) == errno.ECONNREFUSED


def test_an_endpoint_is_deleted_with_its_commands(node: NodeLab) -> None:
    node.endpoint("gone")
    argv = ["sh", "-c", "echo up; sleep 600"]
    start = pb.RunInput(start=pb.RunStart(endpoint="gone", argv=argv))
    calls = node.node.Run(iter([start]), timeout=60)
    pid = next(calls).pid
    assert next(calls).stdout == b"up\n"
    node.node.DeleteEndpoint(pb.Endpoint(name="gone"), timeout=20)
    assert [one.exit for one in calls][-1] == -signal.SIGKILL
    assert start_time(pid) is None
    assert "gone" not in node.endpoints()
    assert not os.path.exists(f"/run/netns/fqdnlab-{node.name}-ep-gone")
    again = node.endpoint("gone")  # the name is free again, the number is not
    assert again.id > 3
    node.node.DeleteEndpoint(pb.Endpoint(name="gone"), timeout=20)


@pytest.mark.parametrize(
    ("name", "why"), [("web", "is there"), ("Not_A_Name", "cannot name"), ("", "cannot name")]
)
def test_a_name_that_cannot_be_is_refused(node: NodeLab, name: str, why: str) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        node.endpoint(name)
    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert why in failure.value.details()
    trailer = dict(failure.value.trailing_metadata())
    assert trailer["error"] == "UsageError"
    assert trailer["remedy-bin"]


# --- commands -----------------------------------------------------------------------------------


def test_commands_of_root_run_as_nobody_without_capabilities(node: NodeLab) -> None:
    ran = node.run("free", "sh", "-c", "id -un; grep CapEff /proc/self/status; hostname; pwd")
    assert ran.stdout.split() == ["nobody", "CapEff:", "0" * 16, "free", "/"]


def test_commands_ask_the_labs_resolver_and_nobody_else(node: NodeLab) -> None:
    ran = node.run("free", "cat", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/hosts")
    lines = ran.stdout.splitlines()
    assert [line for line in lines if line.startswith("nameserver")] == ["nameserver 10.96.0.10"]
    assert "hosts: files dns" in lines
    assert "10.10.0.2 free" in lines


def test_sockets_of_name_services_are_hidden(node: NodeLab) -> None:
    folders = [Path("/run", n) for n in ("dbus", "systemd/resolve", "nscd", "avahi-daemon")]
    with ExitStack() as stack:
        for folder in folders:  # a machine without such a service has them for this test
            for part in (folder.parent, folder):
                if not part.is_dir():
                    part.mkdir()
                    stack.callback(part.rmdir)
            stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix="socket-"))
        other = stack.enter_context(tempfile.TemporaryDirectory(dir="/run"))  # is still there
        words = ["find", *map(str, folders), other, "-maxdepth", "1"]
        seen = node.run("free", *words).stdout.split()
    assert seen == [*map(str, folders), other]


def test_a_commands_environment_is_the_callers_choice_alone(node: NodeLab) -> None:
    ran = node.run("free", "env", LD_PRELOAD="/nonexistent.so", PYTHONPATH="/x", A="b c")
    variables = dict(line.split("=", 1) for line in ran.stdout.splitlines())
    assert variables["A"] == "b c"
    assert variables["PYTHONPATH"] == "/x"
    assert not [name for name in variables if name.lower().endswith("_proxy")]
    assert set(variables) <= {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TERM", "A", "PYTHONPATH", "LD_PRELOAD"),
        *("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
    }


def test_the_worlds_authority_can_be_read(node: NodeLab) -> None:
    ran = node.run("free", "sh", "-c", 'cat "$SSL_CERT_FILE"')
    assert ran.stdout.startswith("-----BEGIN CERTIFICATE-----")


def test_input_output_and_exit_status_pass_through(node: NodeLab) -> None:
    data = b"0123456789abcdef\n" * 50_000
    ran = node.run("free", "sh", "-c", "wc -c; echo no >&2; exit 7", stdin=data)
    assert (ran.exit, ran.stdout.strip(), ran.stderr) == (7, str(len(data)), "no\n")


def test_a_command_that_is_not_there(node: NodeLab) -> None:
    ran = node.run("free", "no-such-command")
    assert ran.exit == 127
    assert "no-such-command" in ran.stderr


def test_a_signal_reaches_the_whole_group(node: NodeLab) -> None:
    go = threading.Event()

    def inputs() -> Iterator[pb.RunInput]:
        argv = ["sh", "-c", "trap 'echo child; exit 0' TERM; echo up; while :; do sleep 0.1; done"]
        yield pb.RunInput(start=pb.RunStart(endpoint="free", argv=argv))
        go.wait(30)
        yield pb.RunInput(signal=signal.SIGTERM)

    seen = b""
    for one in node.node.Run(inputs(), timeout=60):
        seen += one.stdout
        if seen == b"up\n":
            go.set()
        if one.WhichOneof("what") == "exit":
            assert one.exit == 0
    assert seen == b"up\nchild\n"


def test_the_timeout_kills_the_group(node: NodeLab) -> None:
    begin = time.monotonic()
    ran = node.run("free", "sh", "-c", "sleep 600 & echo $!; sleep 600", timeout=3.0)
    assert time.monotonic() - begin < 10
    assert ran.timed_out
    assert ran.exit == -signal.SIGKILL
    eventually(lambda: start_time(int(ran.stdout)) is None, 5, "the death of the background child")


def test_what_a_command_leaves_running_ends_with_it(node: NodeLab) -> None:
    ran = node.run("free", "sh", "-c", "sleep 600 & echo $!")
    assert ran.exit == 0
    eventually(lambda: start_time(int(ran.stdout)) is None, 5, "the death of the background child")


def test_a_command_ends_with_its_client(node: NodeLab) -> None:
    calls = node.node.Run(
        iter([pb.RunInput(start=pb.RunStart(endpoint="free", argv=["sleep", "600"]))]), timeout=60
    )
    pid = next(calls).pid
    assert start_time(pid) is not None
    calls.cancel()
    eventually(lambda: start_time(pid) is None, 5, "the death of the command")


def test_many_commands_at_once(node: NodeLab) -> None:
    results: list[str] = []
    threads = [
        threading.Thread(
            target=lambda n=n: results.append(node.run("free", "echo", str(n)).stdout.strip())
        )
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=int) == [str(n) for n in range(20)]


# --- metrics ------------------------------------------------------------------------------------


def test_one_port_has_the_metrics_of_all(node: NodeLab) -> None:
    port = node.status().metrics_port
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text = opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    for process in ("agent", "observer", "proxy"):
        assert f'fqdnlab_process_answers{{process="{process}"}} 1' in text
    types = [line for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(types) == len(set(types))


# --- judged with everybody dead -----------------------------------------------------------------


def test_packets_are_judged_with_every_process_dead(client: MachineClient) -> None:
    with lab(client, f"dead-{os.getpid()}") as mine:
        mine.endpoint("web", app="web")
        assert connects(mine, "web", "198.51.100.2") == "yes"
        reply = mine.agent.ApplyPolicy(pb.ApplyPolicyRequest(yaml=TO_ONE), timeout=30)
        assert reply.accepted, reply
        for process in ("agent", "proxy", "observer"):
            mine.fault(process, "kill")
        mine.kill_node_service()
        assert connects(mine, "web", "198.51.100.1") == "yes"
        assert connects(mine, "web", "198.51.100.2", 0.5) == "TimeoutError"
