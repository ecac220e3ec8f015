"""A lab on three machines: two nodes and the internet, joined by VXLAN; real kernel, no VMs."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator

import grpc
import pytest
from dnslib import EDNS0, DNSRecord

from fqdnlab.agent.recorder import replay
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import observer_pb2
from fqdnlab.testing import eventually
from tests.lab_kit import PATIENCE, RESOLVER
from tests.split_kit import (
    A6,
    API,
    EVIL,
    OTHER,
    A,
    B,
    C,
    D,
    Split,
    SplitSite,
    split_lab,
    three_machines,
)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Split]:
    with three_machines(tmp_path_factory.mktemp("split")) as three, split_lab(three, "x") as made:
        yield made


def test_each_machine_has_its_part_and_nothing_else(split: Split) -> None:
    three = ["agent", "node", "observer", "proxy"]
    for part, name, processes, own in (
        (split.internet, "internet", ["node", "world"], ["fqdnlab-x-world"]),
        (split.node, "node", three, ["fqdnlab-x-ep-free", "fqdnlab-x-ep-web", "fqdnlab-x-node"]),
        (split.node2, "node2", three, ["fqdnlab-x-ep-free", "fqdnlab-x-ep-web", "fqdnlab-x-node"]),
    ):
        status = part.status()
        assert (status.node, status.sentence) == (name, "all processes run")
        assert sorted(p.name for p in status.process) == processes
        assert part.machine.namespaces() == own
        assert part.machine.links() == ["eth1", "lo"], "VXLANs begin in the lab's namespaces"
        metrics = part.node.Metrics(pb.MetricsRequest(), timeout=20)
        told = sorted({*(m.process for m in metrics.process), *metrics.silent} | {"node"})
        assert told == processes
        assert not metrics.silent


def test_addresses_follow_from_the_index(split: Split) -> None:
    first, second = split.node.endpoints()["web"], split.node2.endpoints()["web"]
    assert (first.id, first.ip4, first.ip6) == (1, "10.10.0.1", "fd10::1")
    assert (second.id, second.ip4, second.ip6) == (1, "10.10.4.1", "fd10::401")


@pytest.mark.parametrize("which", ["node", "node2"])
def test_the_three_ways_over_the_link(split: Split, which: str) -> None:
    """DNS is redirected and answered, the name's address opens, others are dropped."""
    node = getattr(split, which)
    site = SplitSite(node)
    assert site.ask("web", EVIL).rcode == "REFUSED"
    assert site.ask("web", API).addresses == (A,)
    assert site.ask("web", API, "AAAA").addresses == (A6,)
    site.check("web", {(A, 443): "open", (A6, 443): "open", (C, 443): "dropped"})
    curl = node.run("web", "curl", "-sS", "--max-time", "10", f"https://{API}/")
    assert (curl.exit, curl.stderr) == (0, "")
    assert A in curl.stdout or A6 in curl.stdout


def test_the_certificate_is_verified_by_what_was_handed_over(split: Split) -> None:
    """The same look-up and connection fails under another CA."""
    command = ("curl", "-sS", "--max-time", "10", f"https://{API}/")
    assert split.node.run("web", *command).exit == 0
    elsewhere = {"CURL_CA_BUNDLE": "/etc/hosts", "SSL_CERT_FILE": "/etc/hosts"}
    assert split.node.run("web", *command, **elsewhere).exit in (60, 77)


def test_the_world_sees_each_endpoint_by_its_own_address(split: Split) -> None:
    listener = split.internet.inside("world", lambda: socket.create_server((D, 4242)))
    with listener:
        for node in (split.node, split.node2):
            dial = lambda: socket.create_connection((D, 4242), PATIENCE)  # noqa: E731
            with node.inside("ep-free", dial), listener.accept()[0] as accepted:
                assert accepted.getpeername()[0] == node.endpoints()["free"].ip4


def test_mappings_are_each_nodes_own(split: Split) -> None:
    name, address = "only-here.example.com", "198.51.100.77"
    split.world.set(name, [address])
    assert SplitSite(split.node).ask("web", name).addresses == (address,)
    SplitSite(split.node).check("web", {(address, 443): "open"})
    SplitSite(split.node2).check("web", {(address, 443): "dropped"})


def test_an_address_of_the_node_itself_is_closed_whatever_its_index(split: Split) -> None:
    """A name that resolves to the node's own address opens nothing."""
    for node, own in ((split.node, "172.31.0.1"), (split.node2, "172.31.0.5")):
        name = f"inside-{own.replace('.', '-')}.example.com"
        split.world.set(name, [own])
        assert SplitSite(node).ask("web", name).addresses == (own,)
        SplitSite(node).check("web", {(own, 443): "dropped"})


def test_agent_and_observer_of_the_second_node_know_which_they_are(split: Split) -> None:
    """Replayed as that node's, the flight recorder tells the same."""
    dump = json.loads(split.node2.agent.Dump(pb.DumpRequest(), timeout=20).json)
    assert dump["index"] == 2
    assert replay(dump, parse_policies)[1] == []
    for node, name in ((split.node, "fqdnlab/x"), (split.node2, "fqdnlab/x-node2")):
        assert SplitSite(node).ask("web", API).addresses == (A,)
        stub, asked = node.observer, observer_pb2.GetFlowsRequest(number=1)
        last = functools.partial(stub.GetFlows, asked, timeout=20)
        seen = eventually(lambda last=last: list(last()), what="a flow")  # type: ignore[misc]
        assert {one.node_name for one in seen} == {name}


# --- what the link must carry -------------------------------------------------------------------


def test_long_dns_answers_pass(split: Split) -> None:
    """As long as the world gives by UDP, and the whole 1,400 octets by TCP."""
    texts = [f'"{letter * 200}"' for letter in "abcdef"] + [f'"{"g" * 150}"']
    split.world.put("long.example.com", "TXT", texts)
    query = DNSRecord.question("long.example.com", "TXT")
    query.add_ar(EDNS0(udp_len=1452))
    site = SplitSite(split.node)
    with site.socket("web", RESOLVER, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.sendto(query.pack(), (RESOLVER, 53))
        answer = sock.recv(65535)
    assert 1000 <= len(answer) <= 1232
    assert DNSRecord.parse(answer).header.tc
    with site.socket("web", RESOLVER, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((RESOLVER, 53))
        sock.sendall(len(query.pack()).to_bytes(2, "big") + query.pack())
        with sock.makefile("rb") as reader:
            answer = reader.read(int.from_bytes(reader.read(2), "big"))
    assert len(answer) >= 1400
    parsed = DNSRecord.parse(answer)
    assert (parsed.header.tc, len(parsed.rr)) == (0, len(texts))


@pytest.mark.parametrize("size", [1400, 1422, 1423, 8000])
def test_datagrams_pass_both_ways(split: Split, size: int) -> None:
    """Whole up to 1,422 octets, in pieces beyond."""
    server = split.internet.inside(
        "world", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    )
    with server, SplitSite(split.node).socket("free", D, socket.SOCK_DGRAM) as mine:
        for one in (server, mine):
            one.settimeout(PATIENCE)
        server.bind((D, 4244))
        mine.connect((D, 4244))
        sent = os.urandom(size)
        mine.send(sent)
        data, back = server.recvfrom(65535)
        assert data == sent
        server.sendto(data, back)
        assert mine.recv(65535) == sent


def test_no_endpoint_sends_what_the_link_does_not_take(split: Split) -> None:
    with SplitSite(split.node).socket("free", D, socket.SOCK_DGRAM) as sock:
        sock.connect((D, 9))
        assert sock.getsockopt(socket.IPPROTO_IP, 14) == 1450  # IP_MTU
        sock.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: do not cut up
        assert sock.send(b"x" * (1450 - 28)) == 1450 - 28
        with pytest.raises(OSError, match="too long") as caught:
            sock.send(b"x" * (1450 - 27))
    assert caught.value.errno == errno.EMSGSIZE


def test_much_passes_both_ways(split: Split) -> None:
    """4 MiB of TCP there and back, whole."""
    sent = os.urandom(4 << 20)
    listener = split.internet.inside("world", lambda: socket.create_server((D, 4243)))

    def serve() -> None:
        with listener, listener.accept()[0] as accepted:
            accepted.settimeout(30)
            data = b""
            while len(data) < len(sent):
                data += accepted.recv(1 << 16)
            accepted.sendall(data)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    dial = lambda: socket.create_connection((D, 4243), PATIENCE)  # noqa: E731
    with split.node.inside("ep-free", dial) as mine:
        mine.settimeout(30)
        mine.sendall(sent)
        digest, left = hashlib.sha256(), len(sent)
        while left and (got := mine.recv(1 << 16)):
            digest.update(got)
            left -= len(got)
    server.join(30)
    assert digest.digest() == hashlib.sha256(sent).digest()


# --- faults -------------------------------------------------------------------------------------


def test_a_dead_agent_of_one_node_is_that_nodes_alone(split: Split) -> None:
    """Old addresses pass and new ones wait there; the other node learns them meanwhile."""
    first, second = SplitSite(split.node), SplitSite(split.node2)
    fresh, address = "fresh.example.com", "198.51.100.88"
    split.world.set(fresh, [address])
    assert first.ask("web", OTHER).addresses == (B,)
    split.node.fault("agent", "kill")
    assert split.node.status().sentence == "agent is dead (killed by SIGKILL)"
    assert split.node2.status().sentence == "all processes run"
    assert first.ask("web", fresh).addresses == (address,)
    first.check("web", {(B, 443): "open", (address, 443): "dropped"})
    assert second.ask("web", fresh).addresses == (address,)
    second.check("web", {(address, 443): "open"})
    split.node.fault("agent", "restart")
    first.check("web", {(address, 443): "open"})


def test_faults_are_of_what_is_there(split: Split) -> None:
    for part, process in ((split.internet, "agent"), (split.node, "world")):
        with pytest.raises(grpc.RpcError) as caught:
            part.fault(process, "kill")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    with pytest.raises(grpc.RpcError, match="the lab's internet"):
        split.internet.endpoint("web")
    reply = split.internet.node.Evidence(pb.EvidenceRequest(), timeout=20)
    assert (list(reply.missing), list(reply.entry)) == ([], [])
    assert reply.boottime_ns > 0


def test_the_world_can_die_and_come_back(split: Split) -> None:
    """With the same CA, so that what was handed over still holds."""
    split.internet.fault("world", "kill")
    assert split.internet.status().sentence == "world is dead (killed by SIGKILL)"
    split.internet.fault("world", "start")
    split.world.set(API, [A, A6])
    curl = split.node.run("web", "curl", "-sS", "--max-time", "10", f"https://{API}/")
    assert (curl.exit, curl.stderr) == (0, "")
