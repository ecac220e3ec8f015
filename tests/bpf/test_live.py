"""The enforcer attached, by tcx and by clsact: real and crafted packets, and everybody dead."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from fqdnlab.datapath.abi import CtEntry
from fqdnlab.datapath.libbpf import obj_get
from fqdnlab.datapath.loader import kernel_has_tcx
from fqdnlab.datapath.maps import Maps
from fqdnlab.lab.machine import MachineClient, machine_service
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.testing import eventually
from tests.node_kit import NodeLab, kill, lab

from .live_kit import (
    ALLOWED,
    ALLOWED6,
    DENIED6,
    DENIED_TO,
    POLICY,
    Ear,
    Wire,
    drops,
    reaches,
    wire_and_ear,
)
from .packets import ETH4, ETH6, SCTP, UDP, ip, piece, sctp, udp

#: What a kernel lacks is not tried there (tcx came with Linux 6.6): by version, and so no skip.
WAYS = ["tcx", "clsact"] if kernel_has_tcx() else ["clsact"]


@pytest.fixture(scope="module")
def client() -> Iterator[MachineClient]:
    with machine_service() as found:
        yield found


def apply(node: NodeLab, text: str) -> None:
    reply = node.agent.ApplyPolicy(pb.ApplyPolicyRequest(yaml=text, file="live.yaml"), timeout=20)
    assert reply.accepted, reply


@pytest.fixture(scope="module", params=WAYS)
def node(request: pytest.FixtureRequest, client: MachineClient) -> Iterator[NodeLab]:
    settings = {"attach": request.param, "reject_code": "nameError"}
    with lab(client, f"live-{request.param}-{os.getpid()}", **settings) as made:
        made.endpoint("web", app="web")
        made.endpoint("plain", app="plain")
        apply(made, POLICY)
        yield made


@pytest.fixture
def wired(node: NodeLab) -> Iterator[tuple[Wire, Ear]]:
    with wire_and_ear(node, "web") as found:
        yield found


def one_more(node: NodeLab, reason: int, before: dict[int, int], packets: int = 1) -> None:
    def counted() -> bool:
        return drops(node).get(reason, 0) >= before.get(reason, 0) + packets

    eventually(counted, 5, f"{packets} more dropped for {reason} than {before}, not {drops(node)}")


def test_attached_as_asked(node: NodeLab) -> None:
    wanted = "tcx" if "-tcx-" in node.name else "clsact"
    assert node.agent.Status(pb.AgentStatusRequest(), timeout=10).attach == wanted
    number = node.endpoints()["web"].id
    pins = {p.name for p in node.paths.bpf.iterdir() if p.name.startswith("link_")}
    expected = {f"link_lxc{number}_ingress", f"link_lxc{number}_egress", "link_up0_ingress"}
    assert expected <= pins if wanted == "tcx" else not pins


def test_verdicts_of_real_connections(node: NodeLab) -> None:
    for to in (ALLOWED, ALLOWED6):
        assert reaches(node, "web", to, seconds=10)
        assert not reaches(node, "web", to, 9001, seconds=0.3)
    for to in (DENIED_TO, DENIED6):
        before = drops(node)
        assert not reaches(node, "web", to, seconds=0.3)
        one_more(node, 133, before)
        assert reaches(node, "plain", to, seconds=10), "it has no policy"


@pytest.mark.parametrize(
    ("me", "to", "denied"),
    [("ip4", ALLOWED, DENIED_TO), ("ip6", ALLOWED6, DENIED6)],
    ids=["v4", "v6"],
)
def test_crafted_sctp(
    node: NodeLab, wired: tuple[Wire, Ear], me: str, to: str, denied: str
) -> None:
    wire, ear = wired
    mine = getattr(node.endpoints()["web"], me)
    mark = os.urandom(8)
    wire.send(ip(mine, to, SCTP, sctp(7000, 9000) + mark))
    assert ear.hears(mark, to)
    before = drops(node)
    wire.send(ip(mine, to, SCTP, sctp(7000, 9001) + mark))
    wire.send(ip(mine, denied, SCTP, sctp(7000, 9000) + mark))
    one_more(node, 133, before, 2)


@pytest.mark.parametrize(
    ("me", "to", "unit"), [("ip4", ALLOWED, 20), ("ip6", ALLOWED6, 40)], ids=["v4", "v6"]
)
def test_crafted_fragments(
    node: NodeLab, wired: tuple[Wire, Ear], me: str, to: str, unit: int
) -> None:
    wire, ear = wired
    mine, mark = getattr(node.endpoints()["web"], me), os.urandom(8)
    before = drops(node)
    wire.send(piece(mine, to, UDP, mark, 64, False, 41))
    one_more(node, 175, before)
    wire.send(piece(mine, to, UDP, udp(1, 9000, bytes(56)), 0, True, 42))
    wire.send(piece(mine, to, UDP, mark, 64, False, 42))
    assert ear.hears(mark, to)


def test_a_false_source_never_leaves(node: NodeLab, wired: tuple[Wire, Ear]) -> None:
    wire, ear = wired
    neighbour, before, mark = node.endpoints()["plain"], drops(node), os.urandom(8)
    wire.send(ip(neighbour.ip4, ALLOWED, UDP, udp(1, 9000, mark)))
    wire.send(ip(neighbour.ip6, ALLOWED6, UDP, udp(1, 9000, mark)))
    one_more(node, 132, before, 2)
    mine, last = node.endpoints()["web"].ip4, os.urandom(8)
    wire.send(ip(mine, ALLOWED, UDP, udp(1, 9000, last)))
    assert ear.hears(last, ALLOWED), "what is sent after it arrives"
    assert not ear.hears(mark, ALLOWED, 0.1)


def test_vlan_tags_and_other_ethertypes(node: NodeLab, wired: tuple[Wire, Ear]) -> None:
    """Here the kernel takes the tag off into the packet's own data, as on any real link."""
    wire, _ = wired
    packet = ip(node.endpoints()["web"].ip4, ALLOWED, UDP, udp(1, 9000))
    for tag in ("81000005", "88a80005", "8100000588a80006", "88cc"):
        before = drops(node)
        wire.send(packet[:12] + bytes.fromhex(tag) + packet[12:])
        one_more(node, 139, before)


@pytest.mark.parametrize("eth", [ETH4, ETH6], ids=["v4", "v6"])
def test_frames_that_are_cut(node: NodeLab, wired: tuple[Wire, Ear], eth: bytes) -> None:
    """Shorter than BPF_PROG_TEST_RUN takes them."""
    before = drops(node)
    for octets in (1, 19, 20, 39):
        wired[0].send(eth + bytes([0x45 if eth == ETH4 else 0x60]) + bytes(octets - 1))
    one_more(node, 134, before, 4)


@pytest.mark.parametrize(
    "to", ["10.10.255.254", "172.31.0.1", "127.0.53.1", "fd31::1", "fd00:53::1"]
)
def test_internal_addresses(node: NodeLab, wired: tuple[Wire, Ear], to: str) -> None:
    mine = node.endpoints()["web"]
    before = drops(node)
    wired[0].send(ip(mine.ip6 if ":" in to else mine.ip4, to, UDP, udp(1, 53)))
    one_more(node, 241, before)


QUESTION = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\5other\7example\0\0\1\0\1"
DNS = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: dns}
spec:
  endpointSelector: {matchLabels: {app: asker}}
  egress:
  - toEntities: [world, cluster]
    toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchName: api.example}]}}]
"""


def test_a_flow_that_was_there_becomes_redirected(node: NodeLab) -> None:
    """One UDP socket throughout: the server answers what it asks, then the proxy does."""
    node.endpoint("asker", app="asker")
    with node.inside("ep-asker", lambda: socket.socket(type=socket.SOCK_DGRAM)) as asking:
        asking.connect(("10.96.0.10", 53))
        asking.settimeout(5)

        def rcode() -> int:
            asking.send(QUESTION)
            return asking.recv(4096)[3] & 15

        directly = rcode()
        kept = {(f.local_port, f.last) for f in flows(node, "asker")}
        assert [port for port, _ in kept] == [asking.getsockname()[1]]
        apply(node, DNS)
        with Maps(node.paths.bpf) as maps:
            before = maps.drops()
        assert rcode() == 3, f"the proxy refuses (as NXDOMAIN here); the server said {directly}"
        assert {(f.local_port, f.last) for f in flows(node, "asker")} == kept
        with Maps(node.paths.bpf) as maps:
            assert maps.drops() == before


def flows(node: NodeLab, endpoint: str) -> list[CtEntry]:
    with Maps(node.paths.bpf) as maps:
        return [*maps.flows(node.endpoints()[endpoint].id)]


def test_a_lab_at_rest_holds_little_of_the_kernels_memory(node: NodeLab) -> None:
    """All its maps, the conntrack tables of its endpoints among them: at most 64 MiB."""
    held: dict[str, int] = {}
    with Maps(node.paths.bpf) as maps:
        for pin in node.paths.bpf.iterdir():
            if not pin.name.startswith(("link_", "prog_")) and pin.suffix != ".debug":
                held[pin.name] = memlock(obj_get(pin))
        for endpoint in node.endpoints().values():
            table = maps.conntrack.inner(endpoint.id.to_bytes(4, "little"), 1, 1)
            assert table is not None
            held[f"ct of {endpoint.name}"] = memlock(table.fd)
    assert len(held) >= 12 + 2
    assert all(octets > 0 for octets in held.values()), held
    assert sum(held.values()) <= 64 << 20, held


def memlock(fd: int) -> int:
    try:
        with open(f"/proc/self/fdinfo/{fd}") as info:
            return next(int(line.split()[1]) for line in info if line.startswith("memlock"))
    finally:
        os.close(fd)


def test_a_new_agent_takes_over_what_is_attached(node: NodeLab) -> None:
    def programs() -> str:
        told = subprocess.run(["bpftool", "-j", "net"], capture_output=True, text=True, check=True)
        return told.stdout

    before = len(node.inside("node", programs))
    node.fault("agent", "kill")
    assert reaches(node, "web", ALLOWED, seconds=10)
    assert not reaches(node, "web", DENIED_TO, seconds=0.3)
    node.fault("agent", "start")
    assert reaches(node, "web", ALLOWED, seconds=10)
    assert not reaches(node, "web", DENIED_TO, seconds=0.3)
    assert abs(len(node.inside("node", programs)) - before) < 100, "each program once, as before"


@pytest.mark.parametrize("way", WAYS)
def test_everybody_is_killed_and_packets_are_still_judged(client: MachineClient, way: str) -> None:
    with lab(client, f"dead-{way}-{os.getpid()}", attach=way) as made:
        made.endpoint("web", app="web")
        apply(made, POLICY)
        pids = made.pids()
        assert {"node", "agent", "proxy", "observer", "world"} <= pids.keys()
        for name in ("node", "agent", "proxy", "observer", "world"):
            kill(pids[name])
        for to in (ALLOWED, ALLOWED6):
            assert reaches(made, "web", to, seconds=10)
        for to in (DENIED_TO, DENIED6):
            before = drops(made)
            assert not reaches(made, "web", to, seconds=0.3)
            one_more(made, 133, before)
