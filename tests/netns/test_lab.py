"""`Lab`, the client: made, attached to, left alone, taken down; what it shows."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from fqdnlab.errors import ConflictError, SetupError, UnavailableError, UsageError
from fqdnlab.lab import Lab, machine_service
from fqdnlab.lab import process as processes
from fqdnlab.lab.machine import MachineClient
from fqdnlab.lab.node import Node
from fqdnlab.lab.reach import Reach
from fqdnlab.node.processes import Process, launch
from fqdnlab.paths import PROXY_GID, LabPaths
from fqdnlab.pb import control_pb2, control_pb2_grpc
from fqdnlab.testing import Footprint, eventually
from tests.lab_kit import Site, cnp, dns, names
from tests.node_kit import as_user, kill

A, C = "198.51.100.7", "203.0.113.9"
API = "api.example.com"
USER = 54321

METRICS = {
    "agent": "cilium_fqdn_gc_deletions_total cilium_fqdn_selectors cilium_fqdn_active_names "
    "cilium_fqdn_active_ips cilium_fqdn_alive_zombie_connections",
    "proxy": "cilium_fqdn_semaphore_rejected_total cilium_proxy_upstream_reply_seconds_bucket "
    "cilium_proxy_datapath_update_timeout_total cilium_policy_l7_total",
    "observer": "cilium_forward_count_total cilium_drop_count_total hubble_dns_queries_total "
    "hubble_dns_responses_total hubble_drop_total hubble_flows_processed_total "
    "hubble_tcp_flags_total",
}


@pytest.fixture(scope="module")
def client() -> Iterator[MachineClient]:
    with machine_service() as found:
        yield found


@pytest.fixture(scope="module")
def site(client: MachineClient) -> Iterator[Site]:
    with Lab(f"lab-{os.getpid()}", min_ttl=7) as lab:
        web = lab.endpoint("web", labels={"app": "web"})
        lab.apply(cnp("names", dns(API), names(API)))
        lab.world[API] = [A]
        assert web.connect(API, 443).address == A
        yield Site(lab)


# --- life ---------------------------------------------------------------------------------------


def test_the_same_settings_attach_and_with_leaves_it_up(site: Site) -> None:
    with Lab(site.lab.name, min_ttl=7) as again:
        assert not again.made
        assert [e.name for e in again.endpoints()] == ["web"]
        assert again.endpoint("web", labels={"app": "web"}).ip4 == "10.10.0.1"
    assert site.lab.status().sentence == "all processes run"
    assert Lab.attach(site.lab.name).settings.min_ttl == 7


def test_other_settings_are_a_conflict_that_says_which(site: Site) -> None:
    with pytest.raises(ConflictError, match="min_ttl is 7, not 8"):
        Lab(site.lab.name, min_ttl=8)
    with pytest.raises(ConflictError, match="profile is 'cilium', not 'acns'"):
        Lab(site.lab.name, min_ttl=7, profile="acns")


@pytest.mark.parametrize("settings", [{"no_such": 1}, {"min_ttl": "long"}, {"profile": "aws"}])
def test_a_setting_that_cannot_be_is_named(client: MachineClient, settings: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        Lab("never", **settings)
    assert "never" not in [found["name"] for found in client.list()]


def test_an_endpoint_of_another_kind_is_refused(site: Site) -> None:
    with pytest.raises(UsageError, match="delete it first"):
        site.lab.endpoint("web", labels={"app": "other"})


def test_there_is_none_of_that_name_to_attach_to(client: MachineClient) -> None:
    with pytest.raises(UsageError, match="fqdnlab up nobody"):
        Lab.attach("nobody")


def test_without_the_service_the_line_to_type_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "machine.sock"
    monkeypatch.setattr(MachineClient.__init__, "__defaults__", (nowhere, 1.0, ""))
    with pytest.raises(SetupError, match="sudo fqdnlab serve"):
        Lab("never")


def test_two_labs_at_once(site: Site) -> None:
    with Lab(f"second-{os.getpid()}") as other:
        other.endpoint("web", labels={"app": "web"})
        second = Site(other)
        second.check("web", {(C, 443): "open"})
        site.check("web", {(C, 443): "dropped"})
        other.agent.kill()
        assert site.lab.agent.state().state == "running"
    site.check("web", {(A, 443): "open", (C, 443): "dropped"})


SCRIPT = """
import sys
from fqdnlab.lab import Lab
lab = Lab(sys.argv[1])
with lab:
    web = lab.endpoint("web")
    print("up", flush=True)
    web.run(["sleep", "600"], timeout=600)
"""


def script(log: Path, text: str, *words: str) -> Process:
    return launch([sys.executable, "-u", "-c", text, *words], log, [])


def said(log: Path, word: str) -> bool:
    return eventually(lambda: word in log.read_text(), 30, f"{word!r} in {log.name}")


def test_the_death_of_a_kernel_leaves_its_lab_up(client: MachineClient, tmp_path: Path) -> None:
    log, name = tmp_path / "log", f"kernel-{os.getpid()}"
    process = script(log, SCRIPT, name)
    said(log, "up")
    process.send(signal.SIGKILL)
    assert process.wait(10)
    assert name in [found["name"] for found in client.list() if found["alive"]]
    with Lab(name) as again:  # a notebook's first cell, run again
        assert not again.made
        assert [e.name for e in again.endpoints()] == ["web"]
    client.down(name)


def test_ctrl_c_in_the_middle_leaves_nothing(client: MachineClient, tmp_path: Path) -> None:
    before = Footprint.now()
    log, name = tmp_path / "log", f"ctrlc-{os.getpid()}"
    process = script(log, SCRIPT, name)
    said(log, "up")
    process.send(signal.SIGINT)
    assert process.wait(30)
    assert "KeyboardInterrupt" in log.read_text()
    del process
    eventually(lambda: not Footprint.now().left_since(before), 10, "nothing to be left")
    assert name not in [found["name"] for found in client.list()]


@pytest.mark.parametrize("moment", [0.05, 0.5])
def test_ctrl_c_while_it_comes_up_leaves_nothing(
    client: MachineClient, tmp_path: Path, moment: float
) -> None:
    name = f"early-{os.getpid()}"
    text = f"""
import os, signal, sys, threading
from fqdnlab.lab import Lab
threading.Timer({moment}, os.kill, (os.getpid(), signal.SIGINT)).start()
with Lab(sys.argv[1]) as lab:
    print("up", flush=True)
    threading.Event().wait(60)
"""
    log = tmp_path / "log"
    process = script(log, text, name)
    assert process.wait(30)
    assert "KeyboardInterrupt" in log.read_text()
    eventually(lambda: name not in [f["name"] for f in client.list()], 10, "the lab to be gone")


def test_a_client_that_is_gone_before_it_knows_leaves_nothing(
    client: MachineClient, tmp_path: Path
) -> None:
    name = f"gone-{os.getpid()}"
    text = "import sys; from fqdnlab.lab import Lab; print('go', flush=True); Lab(sys.argv[1])"
    log = tmp_path / "log"
    process = script(log, text, name)
    said(log, "go")
    eventually(lambda: Path("/run/fqdnlab", name).exists(), 10, "the lab to be begun")
    process.send(signal.SIGKILL)
    assert process.wait(10)
    eventually(lambda: name not in [f["name"] for f in client.list()], 20, "the lab to be gone")


def test_with_everything_killed_packets_are_judged_and_a_new_service_adopts(
    client: MachineClient,
) -> None:
    name = f"adopt-{os.getpid()}"
    with Lab(name) as lab:
        lab.endpoint("web", labels={"app": "web"})
        here = Site(lab)
        lab.apply(cnp("names", dns(API), names(API)))
        here.learn("web", API, A)
        pids = [p.pid for p in lab.status().process]
        for pid in sorted(pids):
            kill(pid)
        here.check("web", {(A, 443): "refused", (C, 443): "dropped"})
        assert here.ask("web", API, patience=0.3).rcode == "TIMEOUT"
        with pytest.raises(UnavailableError, match="the node service"):
            lab.status()
        lab.close()
        with Lab(name) as again:
            assert not again.made
            assert {p.state for p in again.status().process if p.name != "node"} == {"dead"}
            for process in (again.agent, again.observer, again.proxy):
                process.start()
            processes.Process(again.nodes["node"].peer, "world").start()
            found = Site(again)
            found.check("web", {(A, 443): "open", (C, 443): "dropped"})
            again.world[API] = [A]
            assert found.ask("web", API).addresses == (A,)
    assert name not in [found["name"] for found in client.list()]


def test_clean_by_the_command_line(client: MachineClient, tmp_path: Path) -> None:
    before = Footprint.now()
    lab = Lab(f"killed-{os.getpid()}")
    lab.endpoint("web")
    for pid in sorted(p.pid for p in lab.status().process):
        kill(pid)
    lab.close()
    log = tmp_path / "log"
    process = launch([sys.executable, "-m", "fqdnlab.cli", "clean"], log, [])
    assert process.wait(60)
    assert process.status == 0, log.read_text()
    assert lab.name in log.read_text()
    del process
    eventually(lambda: not Footprint.now().left_since(before), 10, "nothing to be left")


# --- what it gives ------------------------------------------------------------------------------


def test_the_only_nodes_agent_and_an_error_where_there_are_two(site: Site) -> None:
    lab = Lab.attach(site.lab.name)
    assert lab.agent is lab.nodes["node"].agent
    lab.nodes["other"] = Node(Reach(lab.name), "node")
    for name in ("agent", "proxy", "observer"):
        which = rf'2 nodes: node, other.*lab\.nodes\["node"\]\.{name}'
        with pytest.raises(UsageError, match=which):
            getattr(lab, name)
    lab.close()


def test_connect_tells_what_came_of_it(site: Site) -> None:
    web = site.lab.endpoint("web")
    opened = web.connect(API, 443)
    assert opened
    assert (opened.address, opened.error) == (A, "")
    assert 0 < opened.milliseconds < 5000
    refused = web.connect("evil.example", 443)
    assert not refused
    assert refused.error.startswith("unresolved: ")
    dropped = web.connect(C, 443, timeout=0.3)
    assert not dropped
    assert dropped.error.startswith("unreachable: TimeoutError")


def test_run_is_a_real_command(site: Site) -> None:
    web = site.lab.endpoint("web")
    curl = web.run(["curl", "-sS", f"https://{API}/"])
    assert curl.ok, curl.stderr
    assert A in curl.stdout, "the web server says which address was reached"
    assert web.run(["sh", "-c", "cat; exit 3"], stdin=b"in").exit == 3
    with pytest.raises(UsageError, match="list of words"):
        web.run("curl x")


def test_tables_have_columns_and_units(site: Site) -> None:
    lab = site.lab
    eventually(lambda: len(lab.flows()) and len(lab.queries()), 10, "flows and queries")
    lab.observer.restart()
    frames = {
        "flows": lab.flows(),
        "queries": lab.queries(),
        "mappings": lab.mappings(),
        "faults": lab.faults(),
        "policies": lab.policies(),
        "identities": lab.identities(),
        "maps": lab.maps(),
    }
    for name, frame in frames.items():
        assert len(frame), name
        assert set(frame.attrs["units"]) <= set(frame.columns), name
    assert frames["mappings"].attrs["units"]["ttl"] == "seconds of lab time"
    assert frames["flows"].attrs["units"]["time"] == "wall clock, UTC"
    row = frames["mappings"].iloc[0]
    assert (row["endpoint"], row["name"], row["ip"], row["state"]) == (
        "web",
        f"{API}.",
        A,
        "enforced",
    )


def test_with_the_agent_dead_mappings_say_so(site: Site) -> None:
    site.lab.agent.kill()
    frame = site.lab.mappings()
    assert len(frame) == 0
    assert "lab.agent.restart()" in frame.attrs["note"]
    site.lab.agent.start()
    assert len(site.lab.mappings()) == 1


def test_every_metric_is_served_at_one_port(site: Site) -> None:
    site.check("web", {(A, 443): "open", (C, 443): "dropped"})
    assert site.ask("web", API).addresses == (A,)
    assert site.ask("web", "evil.example").rcode == "REFUSED"
    url = f"http://127.0.0.1:{site.lab.status().metrics_port}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def all_there() -> bool:
        lines = opener.open(url, timeout=10).read().decode().splitlines()
        shown = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
        silent = [line for line in lines if line.startswith("fqdnlab_process_answers")]
        assert [line for line in silent if line.endswith(" 0")] == []
        for process, names_ in METRICS.items():
            assert [name for name in names_.split() if name not in shown] == [], process
        return True

    eventually(all_there, 10, "all metrics")


# --- who may -----------------------------------------------------------------------------------


def test_sockets_are_for_their_owners(site: Site) -> None:
    paths = LabPaths(site.lab.name)
    modes = {
        paths.client: (0, 0o700),
        paths.agent_socket: (0, 0o600),
        paths.node_socket: (0, 0o600),
        paths.observer_socket: (0, 0o600),
        paths.world_socket: (0, 0o600),
        paths.fqdndata_socket: (PROXY_GID, 0o660),
        paths.records_socket: (PROXY_GID, 0o660),
        paths.state("agent"): (0, 0o700),
        paths.metrics_socket("agent").parent: (0, 0o700),
        paths.bpf: (0, 0o700),
    }
    for path, (group, mode) in modes.items():
        found = path.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, group, mode), path
        if path.is_socket():
            with pytest.raises(PermissionError):
                as_user(USER, lambda one=path: _connect(one))


def _connect(path: Path) -> None:
    import socket

    kind = socket.SOCK_DGRAM if path.name == "records.sock" else socket.SOCK_STREAM
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.connect(str(path))


def test_a_proxy_sets_no_policy(site: Site) -> None:
    """What the proxies' socket offers is FQDNData and nothing else."""
    with grpc.insecure_channel(f"unix:{LabPaths(site.lab.name).fqdndata_socket}") as channel:
        stub = control_pb2_grpc.AgentStub(channel)
        for call, request in (
            (stub.Status, control_pb2.AgentStatusRequest()),
            (stub.DeletePolicy, control_pb2.DeletePolicyRequest(name="names")),
        ):
            with pytest.raises(grpc.RpcError) as failure:
                call(request, timeout=10)
            assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED
