"""A whole machine as one endpoint: internet, node and client, joined by VXLAN; no VMs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from fqdnlab.errors import ConflictError, UsageError
from fqdnlab.lab import Lab
from fqdnlab.node import netns as namespaces
from fqdnlab.testing import eventually
from tests.backend_kit import Split
from tests.client_kit import ClientSite, exchange, seen, settled_state_of, state_of, tap, there
from tests.lab_kit import PATIENCE, cnp, dns, names
from tests.split_kit import (
    A6,
    API,
    CLIENT,
    EVIL,
    NODES,
    OTHER,
    A,
    B,
    C,
    Machine,
    SplitLab,
    client_place,
    internet_place,
    ip,
    machines,
    node_place,
)

POLICY = cnp("names", dns("*.example.com"), names("*.example.com"))
#: The machine's other network, as Vagrant's for ssh: its host, and a way out that no packet takes.
SSH_HOST, SSH_OWN = "192.168.121.1", "192.168.121.20"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    """With a second network at the client, where its default routes lead."""
    places = {"internet": internet_place(), "node": node_place(1), "client": client_place()}
    with machines(tmp_path_factory.mktemp("client"), **places) as made:
        client, host = made["client"].pid, made["internet"].pid
        peer = ("peer", "name", "ssh1", "netns", str(host))
        ip(client, "link", "add", "ssh0", "type", "veth", *peer)
        for pid, link, own, six in (
            (client, "ssh0", SSH_OWN, "fd99::20"),
            (host, "ssh1", SSH_HOST, "fd99::1"),
        ):
            ip(pid, "address", "add", f"{own}/24", "dev", link)
            ip(pid, "address", "add", f"{six}/64", "dev", link, "nodad")
            ip(pid, "link", "set", link, "up")
        ip(client, "route", "add", "default", "via", SSH_HOST)
        ip(client, "-6", "route", "add", "default", "via", "fd99::1")
        yield made


@pytest.fixture(scope="module")
def before(three: dict[str, Machine]) -> dict[str, Any]:
    return settled_state_of(three["client"])


@pytest.fixture(scope="module")
def lab(three: dict[str, Machine], before: dict[str, Any]) -> Iterator[Lab]:
    assert "default via" in " ".join(before["routes"])
    with Lab("x", Split(three, {})) as made:
        made.apply(POLICY)
        made.endpoint("web", {"app": "web"})
        made.endpoint("vm", {"app": "web"}, machine="client")
        for known, addresses in ((API, [A, A6]), (OTHER, [B]), (EVIL, [C])):
            made.world[known] = addresses
        yield made


@pytest.fixture
def site(lab: Lab, three: dict[str, Machine]) -> ClientSite:
    return ClientSite(lab, three["client"])


def test_it_is_an_endpoint_as_others_are(lab: Lab, three: dict[str, Machine]) -> None:
    vm = lab.endpoint("vm")
    assert [e.name for e in lab.endpoints()] == ["web", "vm"]
    assert (vm.machine, vm.node, vm.ip4) == ("client", "node", "10.10.0.2")
    (told,) = (e for e in lab.status().endpoint if e.name == "vm")
    assert (told.link_up, told.enforced, told.machine_address) == (True, True, CLIENT)
    assert "vm" in lab.policy_statuses()[0].endpoints
    assert three["node"].namespaces() == ["fqdnlab-x-ep-web", "fqdnlab-x-node"]
    assert three["node"].links() == ["eth1", "lo"]
    assert three["client"].namespaces() == []
    assert three["client"].links() == ["eth1", "fql0", "lo", "ssh0"]


def test_the_machines_packets_are_judged(lab: Lab, site: ClientSite) -> None:
    """Of every process there, by its own resolver's address: redirected, allowed, dropped."""
    assert site.ask("vm", EVIL).rcode == "REFUSED"
    assert site.ask("vm", API).addresses == (A,)
    assert site.ask("vm", API, "AAAA").addresses == (A6,)
    site.check("vm", {(A, 443): "open", (A, 80): "dropped", (C, 443): "dropped"})
    site.check("vm", {(A6, 443): "open", (A6, 80): "dropped"})
    assert not site.ping("vm", C)
    flows = eventually(lambda: _flows_of(lab, "vm"), 10, "flows of vm")
    assert {(f["name"], f["verdict"]) for f in flows} >= {(API, "FORWARDED")}
    assert any(f["verdict"] == "DROPPED" and f["address"] == C for f in flows)


def _flows_of(lab: Lab, name: str) -> list[dict[str, Any]]:
    frame = lab.flows()
    rows: list[dict[str, Any]] = frame[frame["endpoint"] == name].to_dict("records")
    return rows if any(r["verdict"] == "DROPPED" for r in rows) else []


def test_commands_run_on_it(lab: Lab, three: dict[str, Machine]) -> None:
    vm = lab.endpoint("vm")
    curl = vm.run(["curl", "-sS", "--max-time", "10", f"https://{API}/"])
    assert (curl.exit, curl.stderr) == (0, "")
    assert vm.connect(API, 443).address in (A, A6)
    refused = vm.connect(EVIL, 443)
    assert refused.error.startswith("unresolved")
    assert lab.explain("vm", API, 443).verdict == "FORWARDED"
    space = there(three["client"], "readlink", "/proc/self/ns/net").stdout
    assert vm.run(["readlink", "/proc/self/ns/net"]).stdout == space
    web = lab.endpoint("web").run(["curl", "-sS", "--max-time", "10", f"https://{API}/"])
    assert web.exit == 0


def test_whoever_logs_in_is_in_the_lab(three: dict[str, Machine], lab: Lab) -> None:
    """No command of ours: the machine's own curl, resolver and certificates."""
    curl = there(three["client"], "curl", "-sS", "--max-time", "10", f"https://{API}/")
    assert (curl.returncode, curl.stderr) == (0, "")
    assert there(three["client"], "getent", "ahostsv4", EVIL).returncode != 0


def test_its_packets_can_be_captured(lab: Lab) -> None:
    vm = lab.endpoint("vm")
    with vm.capture() as capture:
        assert vm.connect(API, 443).ok
    packets = [p["IP" if "IP" in p else "IPv6"] for p in capture.packets() if "ARP" not in p]
    addresses = {str(p.dst) for p in packets}
    assert "10.96.0.10" in addresses
    assert {A, A6} & addresses
    assert not addresses & {SSH_OWN, CLIENT}, "of the lab's link alone"


def test_its_other_networks_are_its_own(three: dict[str, Machine], site: ClientSite) -> None:
    """ssh and the machines' link go on; what would have left by its default route does not."""
    site.check("vm", {(SSH_OWN, 9): "refused"})
    listener = namespaces.inside(
        f"/proc/{three['internet'].pid}/ns/net", lambda: socket.create_server((SSH_HOST, 2222))
    )
    with listener:
        dial = lambda: socket.create_connection((SSH_HOST, 2222), PATIENCE)  # noqa: E731
        with site.inside("vm", dial), listener.accept()[0] as accepted:
            assert accepted.getpeername()[0] == SSH_OWN
        sent = [SSH_HOST, "203.0.113.5", "2001:db8::5"]
        with tap(three["internet"]) as far:
            with site.inside("vm", dial), listener.accept()[0]:
                pass
            site.check("vm", {(address, 443): "dropped" for address in sent[1:]})
            assert seen(far, sent) == {SSH_HOST}, "nothing but ssh leaves by that link"
    assert site.ping("vm", NODES[0], PATIENCE)


def test_a_dead_agent_is_as_for_others(lab: Lab, site: ClientSite) -> None:
    """Known addresses pass, new ones wait."""
    fresh, address = "fresh.example.com", "198.51.100.88"
    lab.world[fresh] = [address]
    assert site.ask("vm", OTHER).addresses == (B,)
    lab.agent.kill()
    assert site.ask("vm", fresh).addresses == (address,)
    site.check("vm", {(B, 443): "open", (address, 443): "dropped"})
    lab.agent.restart()
    site.check("vm", {(address, 443): "open"})


def test_it_is_in_one_lab_at_a_time(lab: Lab, three: dict[str, Machine]) -> None:
    with Lab("y", Split(three, {})) as other:
        with pytest.raises(ConflictError, match="in the lab 'x'"):
            other.endpoint("vm", machine="client")
        assert other.endpoints() == [], "nothing is left of the attempt"
    assert lab.endpoint("vm").connect(API, 443).ok
    with pytest.raises(UsageError, match=r"the machine at 10\.77\.0\.20 is endpoint 'vm'"):
        lab.endpoint("vm2", machine="client")


@pytest.mark.parametrize(
    ("address", "why"),
    [("10.77.1.20", "is no address of a machine beside"), (NODES[0], "is no"), ("::1", "is no")],
)
def test_only_a_machine_beside_the_node_can_be_one(lab: Lab, address: str, why: str) -> None:
    lab.backend.machine_address = lambda machine: address  # type: ignore[method-assign]
    try:
        with pytest.raises(UsageError, match=why):
            lab.endpoint("elsewhere", machine="client")
    finally:
        del lab.backend.machine_address  # type: ignore[method-assign]
    assert [e.name for e in lab.endpoints()] == ["web", "vm"]


def test_a_dead_machine_service_leaves_it_joined(
    lab: Lab, three: dict[str, Machine], site: ClientSite
) -> None:
    """And a dead node service of its own; the same call adopts it."""
    old = three["client"].client.list()[0]
    assert (old["name"], old["alive"]) == ("x", True)
    killed = there(three["client"], "kill", "-9", str(old["pid"]))
    assert killed.returncode == 0
    eventually(lambda: not three["client"].client.list()[0]["alive"], 10, "its death")
    assert site.ask("vm", API).addresses == (A,)
    site.check("vm", {(A, 443): "open", (C, 443): "dropped"})
    link = ip(three["client"].pid, "-o", "link", "show", "fql0").split(":")[0]
    assert lab.endpoint("vm", machine="client").connect(API, 443).ok
    assert ip(three["client"].pid, "-o", "link", "show", "fql0").split(":")[0] == link


def test_what_was_taken_away_is_made_again(lab: Lab, three: dict[str, Machine]) -> None:
    """As after a start of the machine: the link and the files are gone, and its processes."""
    three["client"].client.leave("x")
    assert not lab.endpoint("web").connect(CLIENT, 22, timeout=0.3)
    assert lab.endpoint("vm", machine="client").connect(API, 443).ok


def test_leaving_gives_back_what_was(
    lab: Lab, three: dict[str, Machine], before: dict[str, Any]
) -> None:
    assert state_of(three["client"]) != before
    running = lab.endpoint("vm").popen(["sleep", "60"])
    running_pid = eventually(lambda: running.pid, 10, "a command there")
    lab.delete_endpoint("vm")
    assert state_of(three["client"]) == before
    assert there(three["client"], "test", "-d", f"/proc/{running_pid}").returncode != 0
    assert three["client"].client.list() == []
    assert [e.name for e in lab.endpoints()] == ["web"]
    assert not three["client"].client.leave("x"), "once more is nothing"


def test_down_leaves_nothing(three: dict[str, Machine], before: dict[str, Any]) -> None:
    with Lab("z", Split(three, {})) as made:
        made.endpoint("vm", machine="client")
        assert state_of(three["client"]) != before
        world = SplitLab("z", three["internet"])
        exchange(ClientSite(made, three["client"]), "vm", world)
    for machine in three.values():
        assert [one["name"] for one in machine.client.list() if one["name"] == "z"] == []
    assert state_of(three["client"]) == before


def test_a_lab_that_was_killed_is_cleaned(
    three: dict[str, Machine], before: dict[str, Any]
) -> None:
    with Lab("z", Split(three, {})) as made:
        made.endpoint("vm", machine="client")
        node = next(one for one in three["client"].client.list() if one["name"] == "z")
        there(three["client"], "kill", "-9", str(node["pid"]))
        state = three["client"].root / "run/fqdnlab/.lab/z/node/state.json"
        state.write_text("{", "ascii")  # and it was at writing
        eventually(lambda: three["client"].client.clean() == ["z"], 10, "cleaned")
        assert state_of(three["client"]) == before
