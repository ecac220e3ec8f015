"""Places of machines and what follows from them: processes, namespaces, addresses, units."""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.agent.cluster import index_of, internal_networks
from fqdnlab.errors import SetupError, UsageError
from fqdnlab.machine.ca import check_ca
from fqdnlab.machine.checks import wanted_endpoint
from fqdnlab.machine.labs import Labs
from fqdnlab.machine.service import echo, read_place
from fqdnlab.model.place import MAX_NODES, Place
from fqdnlab.node.addresses import (
    CLUSTER4,
    CLUSTER6,
    GATEWAY4,
    MAX_ENDPOINT,
    endpoint_addresses,
    node_addresses,
    vxlan_id,
)
from fqdnlab.node.links import world_nodes
from fqdnlab.node.processes import launch
from fqdnlab.node.units import complaint, in_scope, unit_name

NODE = {
    "role": "node",
    "index": 2,
    "device": "eth1",
    "address": "10.77.0.11",
    "peer": "10.77.0.30",
}
INTERNET = {
    "role": "internet",
    "device": "eth1",
    "address": "10.77.0.30",
    "nodes": ["10.77.0.10", "10.77.0.11"],
    "units": True,
}
CLIENT = {
    "role": "client",
    "device": "eth1",
    "address": "10.77.0.20",
    "peer": "10.77.0.10",
}


def place(given: object) -> Place:
    return Place.from_json(json.dumps(given), "place.json")


def test_a_machine_that_was_told_nothing_holds_labs_whole() -> None:
    assert place({}) == Place()
    assert Place().processes == ("world", "agent", "observer", "proxy")
    assert Place().namespaces == ("node", "world")
    assert (Place().name, Place().links, Place().units) == ("node", {}, False)
    assert world_nodes(Place()) == (1,)


def test_a_node_and_the_internet_have_their_parts() -> None:
    node, internet = place(NODE), place(INTERNET)
    assert (node.name, node.processes) == ("node2", ("agent", "observer", "proxy"))
    assert (node.namespaces, node.links) == (("node",), {2: "10.77.0.30"})
    assert (internet.name, internet.processes) == ("internet", ("world",))
    assert internet.namespaces == ("world",)
    assert internet.links == {1: "10.77.0.10", 2: "10.77.0.11"}
    assert world_nodes(internet) == (1, 2)
    assert internet.units


def test_a_client_has_nothing_of_a_lab_but_a_link_to_its_node() -> None:
    client = place(CLIENT)
    assert (client.name, client.processes, client.namespaces) == ("client", (), ())
    assert client.links == {1: "10.77.0.10"}
    assert place({**CLIENT, "index": 2, "peer": "10.77.0.11"}).links == {2: "10.77.0.11"}


@pytest.mark.parametrize("given", [{}, NODE, INTERNET, CLIENT])
def test_a_place_survives_a_round_trip(given: dict[str, object]) -> None:
    assert Place.from_json(place(given).to_json()) == place(given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "it must be a JSON object"),
        ({"rôle": "node"}, "unknown: rôle"),
        ({"role": "nodes"}, "role must be one of whole, node, internet, client, not 'nodes'"),
        ({"role": ["node"]}, "role must be one of"),
        ({**NODE, "index": 0}, "index must be 1 … 63"),
        ({"index": 2, "peer": "10.77.0.30"}, "role whole takes no index, peer"),
        ({**NODE, "nodes": ["10.77.0.10"]}, "role node takes no nodes"),
        ({**INTERNET, "peer": "10.77.0.10"}, "role internet takes no peer"),
        ({**NODE, "index": True}, "index must be"),
        ({**NODE, "index": MAX_NODES + 1}, "index must be"),
        ({"units": "yes"}, "units must be true or false"),
        ({"role": "node"}, "device must name a link, as eth1, not None"),
        ({**NODE, "device": "../eth1"}, "device must name a link"),
        ({**NODE, "device": "a" * 16}, "device must name a link"),
        ({**NODE, "address": "10.77.0"}, "address must be an IPv4 address, not '10.77.0'"),
        ({**NODE, "peer": ""}, "peer must be an IPv4 address"),
        ({**NODE, "peer": "fd00::1"}, "peer must be an IPv4 address"),
        ({**NODE, "peer": NODE["address"]}, "each machine has an address of its own"),
        ({**CLIENT, "nodes": ["10.77.0.10"]}, "role client takes no nodes"),
        ({**CLIENT, "peer": None}, "peer must be an IPv4 address, not None"),
        ({**CLIENT, "peer": CLIENT["address"]}, "each machine has an address of its own"),
        ({**INTERNET, "nodes": []}, "nodes must be a list"),
        ({**INTERNET, "nodes": "10.77.0.10"}, "nodes must be a list"),
        ({**INTERNET, "nodes": ["10.77.0.10", 7]}, r"nodes\[1\] must be an IPv4 address, not 7"),
        ({**INTERNET, "nodes": ["10.77.0.10"] * 2}, "each machine has an address of its own"),
    ],
)
def test_what_is_no_place_is_told_with_its_file(given: object, why: str) -> None:
    with pytest.raises(SetupError, match=f"place.json: {why}") as caught:
        place(given)
    assert caught.value.remedy


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*NODE, *INTERNET]), inner),
    )
)
def test_any_json_is_a_place_or_a_setup_error(given: object) -> None:
    try:
        made = place(given)
    except SetupError:
        return
    assert Place.from_json(made.to_json()) == made


def test_the_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "place.json"
    for text, why in ((None, "no file"), ("{", "is no JSON"), ('{"index": 2}', "takes no index")):
        if text is not None:
            file.write_text(text)
        with pytest.raises(SetupError, match=why) as caught:
            read_place(file)
        assert str(file) in caught.value.message
    file.write_bytes(b"\xff")
    with pytest.raises(SetupError, match="cannot be read"):
        read_place(file)
    file.write_text(json.dumps(NODE))
    assert read_place(file) == place(NODE)


# --- addresses ----------------------------------------------------------------------------------


def test_the_first_node_is_as_documented_and_the_second_beside_it() -> None:
    first, second = node_addresses(1), node_addresses(2)
    assert (first.node4, first.world4, first.uplink4) == (
        "172.31.0.1",
        "172.31.0.2",
        "172.31.0.0/30",
    )
    assert (first.node6, first.world6, first.world_link) == ("fd31::1", "fd31::2", "world0")
    assert (first.endpoints4, first.endpoints6) == ("10.10.0.0/22", "fd10::/118")
    assert (second.node4, second.world4) == ("172.31.0.5", "172.31.0.6")
    assert (second.node6, second.world6) == ("fd31:0:0:1::1", "fd31:0:0:1::2")
    assert (second.endpoints4, second.endpoints6) == ("10.10.4.0/22", "fd10::400/118")
    assert endpoint_addresses(1, 2)[:3] == ("lxc1", "10.10.4.1", "fd10::401")
    assert endpoint_addresses(1023, 2)[:3] == ("lxc1023", "10.10.7.255", "fd10::7ff")


def test_no_two_nodes_share_anything() -> None:
    everyone = [node_addresses(index) for index in range(1, MAX_NODES + 1)]
    for column in zip(*everyone, strict=True):
        assert len(set(column)) == MAX_NODES
    for one in everyone:
        for inner, cluster in ((one.endpoints4, CLUSTER4), (one.endpoints6, CLUSTER6)):
            assert ipaddress.ip_network(inner).subnet_of(ipaddress.ip_network(cluster))  # type: ignore[arg-type]
        assert ipaddress.ip_address(GATEWAY4) not in ipaddress.ip_network(one.endpoints4)
        assert len(one.world_link) <= 15


@given(st.integers(1, MAX_ENDPOINT), st.integers(1, MAX_NODES))
def test_an_endpoint_lies_in_its_nodes_block(number: int, index: int) -> None:
    made, node = endpoint_addresses(number, index), node_addresses(index)
    assert ipaddress.ip_address(made.ip4) in ipaddress.ip_network(node.endpoints4)
    assert ipaddress.ip_address(made.ip6) in ipaddress.ip_network(node.endpoints6)
    assert index_of(made.ip4) == index
    assert made.mac == endpoint_addresses(number).mac, "links of two nodes do not meet"


@pytest.mark.parametrize("index", [1, 2, MAX_NODES])
def test_the_agent_knows_the_nodes_own_addresses(index: int) -> None:
    own, inside = node_addresses(index), internal_networks(index)

    def internal(address: str) -> bool:
        ip = ipaddress.ip_address(address)
        return any(n.version == ip.version and ip in n for n in inside)

    assert all(map(internal, (own.node4, own.node6, GATEWAY4)))
    assert not any(map(internal, (own.world4, own.world6)))


def test_a_vxlan_has_a_number_of_its_own() -> None:
    numbers = [vxlan_id(f"lab{n}", index) for n in range(100) for index in (1, 2)]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number < 1 << 24 for number in numbers)
    assert vxlan_id("x", 1) == vxlan_id("x", 1), "both ends compute it"


# --- units --------------------------------------------------------------------------------------


def test_a_process_in_a_scope_is_run_by_systemd_run() -> None:
    unit = unit_name("mine", "agent", 3)
    assert unit == "fqdnlab-mine-agent-g3"
    command = in_scope(unit, ["/usr/bin/python3", "-P", "-m", "x", "--a=b"])
    assert command == [
        "systemd-run",
        "--scope",
        "--quiet",
        "--collect",
        "--no-ask-password",
        "--unit=fqdnlab-mine-agent-g3",
        "--description=fqdnlab: mine-agent-g3",
        "--property=KillMode=process",
        "--",
        "/usr/bin/python3",
        "-P",
        "-m",
        "x",
        "--a=b",
    ]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["System has not been booted with systemd as init system (PID 1). Can't operate."] * 1,
         "System has not been booted with systemd as init system (PID 1). Can't operate."),
        (["ready", "Failed to start transient scope unit: Unit a.scope was already loaded."],
         "Failed to start transient scope unit: Unit a.scope was already loaded."),
        (["Failed to connect to bus: x", "Traceback", "ValueError: y"], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_what_systemd_run_says_is_told_apart(lines: list[str], told: str) -> None:
    assert complaint(lines) == told


def test_without_systemd_run_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="no systemd-run here") as caught:
        launch([sys.executable, "-c", ""], tmp_path / "log", [], unit="fqdnlab-a-b-g1")
    assert "place.json" in caught.value.remedy


# --- the machine service ------------------------------------------------------------------------


def test_a_silent_client_of_the_echo_is_let_go() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(0.05)
        ours.sendall(b"abc")
        with pytest.raises(TimeoutError):
            echo(theirs, b"before ")
        assert ours.recv(100) == b"before abc"
        ours.shutdown(socket.SHUT_WR)
        echo(theirs, b"")


def test_a_ca_is_taken_only_where_the_world_is_not() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
    check_ca(place(NODE), pem)
    check_ca(place(NODE), "")
    check_ca(Place(), "")
    for where, text in ((Place(), pem), (place(INTERNET), pem), (place(NODE), pem + "x" * 70_000)):
        with pytest.raises(UsageError):
            check_ca(where, text)
    assert Labs(place(NODE)).ca("no-such-lab") == ""


# --- a whole machine as an endpoint -------------------------------------------------------------


def test_a_machines_link_has_a_number_of_its_own() -> None:
    numbers = [vxlan_id("x", far) for far in (1, 2, "10.77.0.20", "10.77.0.21")]
    assert len(set(numbers)) == len(numbers)


def test_a_client_is_told_which_endpoint_it_is_to_be() -> None:
    given = {"id": 7, "name": "vm", "namespace": "", "labels": {"app": "web"}, "ip4": "10.10.0.7"}
    made = wanted_endpoint(place(CLIENT), given)
    assert (made.id, made.name, made.namespace, made.labels) == (7, "vm", "default", {"app": "web"})
    with pytest.raises(UsageError, match=r"not of node2, the node at 10\.77\.0\.11"):
        wanted_endpoint(place({**CLIENT, "index": 2, "peer": "10.77.0.11"}), given)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["id", "name", "labels", "ip4", "namespace"]), inner)
        ),
    )
)
def test_any_json_is_an_endpoint_or_a_usage_error(given: object) -> None:
    with suppress(UsageError):
        wanted_endpoint(place(CLIENT), given)
