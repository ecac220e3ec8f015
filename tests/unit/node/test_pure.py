"""The node's pure parts: addresses, numbers, names, plans, environments, merged metrics, state."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab import errors
from fqdnlab.errors import StateError, UsageError
from fqdnlab.machine.checks import check_lab
from fqdnlab.metrics import Family, exposition
from fqdnlab.model.place import Place
from fqdnlab.model.settings import LabSettings
from fqdnlab.node.addresses import (
    CLUSTER4,
    CLUSTER6,
    GATEWAY4,
    MAX_ENDPOINT,
    endpoint_addresses,
)
from fqdnlab.node.commands import Lab, process_plan
from fqdnlab.node.endpoints import next_number
from fqdnlab.node.metrics import merge
from fqdnlab.node.plan import Plan
from fqdnlab.node.service import status_code
from fqdnlab.node.state import EndpointRecord, FaultEntry, LabState, SlotRecord
from fqdnlab.node.teardown import lab_of_netns
from fqdnlab.node.users import User, command_environment
from fqdnlab.paths import PROXY_UID, check_lab_name, netns

PROCESSES = Place().processes
LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)


def test_all_endpoints_have_addresses_of_their_own() -> None:
    everyone = [endpoint_addresses(n) for n in range(1, MAX_ENDPOINT + 1)]
    for column in zip(*everyone, strict=True):
        assert len(set(column)) == MAX_ENDPOINT
    for one in everyone:
        assert ipaddress.ip_address(one.ip4) in ipaddress.ip_network(CLUSTER4)
        assert ipaddress.ip_address(one.ip6) in ipaddress.ip_network(CLUSTER6)
        assert one.ip4 != GATEWAY4
        assert len(one.ifname) <= 15


@pytest.mark.parametrize(
    ("number", "ip4", "ip6"),
    [
        (1, "10.10.0.1", "fd10::1"),
        (255, "10.10.0.255", "fd10::ff"),
        (770, "10.10.3.2", "fd10::302"),
    ],
)
def test_addresses_are_as_documented(number: int, ip4: str, ip6: str) -> None:
    assert endpoint_addresses(number)[1:3] == (ip4, ip6)


@pytest.mark.parametrize("number", [0, -1, MAX_ENDPOINT + 1])
def test_no_address_beyond_the_last(number: int) -> None:
    with pytest.raises(UsageError):
        endpoint_addresses(number)


def test_numbers_are_used_again_only_when_all_were_used() -> None:
    assert next_number(5, [1, 2]) == 5
    assert next_number(MAX_ENDPOINT + 1, set(range(1, MAX_ENDPOINT + 1)) - {7, 9}) == 7
    with pytest.raises(UsageError, match="at most"):
        next_number(MAX_ENDPOINT + 1, range(1, MAX_ENDPOINT + 1))


@given(LABELS, LABELS)
def test_a_namespace_tells_its_lab(lab: str, endpoint: str) -> None:
    try:
        check_lab(lab)
    except UsageError:
        assert "-ep" in lab
        return
    for part in ("node", "world", f"ep-{endpoint}"):
        assert lab_of_netns(netns(lab, part)) == lab


@pytest.mark.parametrize("name", ["fqdnlab-x", "other-a-node", "fqdnlab--node", "fqdnlab-a-nodes"])
def test_other_namespaces_are_not_ours(name: str) -> None:
    assert lab_of_netns(name) == ""


@pytest.mark.parametrize("name", ["a-ep", "a-ep-b"])
def test_a_lab_whose_namespaces_could_be_anothers_is_refused(name: str) -> None:
    check_lab_name(name)
    with pytest.raises(UsageError, match="-ep-"):
        check_lab(name)


def test_the_state_survives_a_round_trip() -> None:
    state = LabState("a", 1000, 1000, LabSettings(min_ttl=3).__dict__, 12.5, 7, 8, 2, 3)
    state.slots["proxy"] = SlotRecord(1, 2, [[3, 4, 1]], 2, 5.0, "exit 0")
    state.endpoints.append(EndpointRecord(1, "web", "default", {"app": "web"}, 3, 257, True, True))
    state.faults.append(FaultEntry(1.0, "agent", "kill", 1, 1, "dead"))
    assert LabState.from_json(state.to_json()) == state
    older = json.loads(state.to_json())
    del older["place"]  # of before there were places: whole, as the default says
    assert LabState.from_json(json.dumps(older)) == state


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"lab": "a"}'])
def test_a_state_that_is_none_says_so(text: str) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        LabState.from_json(text)


@given(st.lists(st.text()), st.dictionaries(st.text(), st.text()))
def test_a_plan_survives_a_round_trip(argv: list[str], env: dict[str, str]) -> None:
    plan = Plan(argv, env, uid=5, capabilities=[13], private="/x")
    assert "\n" not in plan.to_json()
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_is_told_where_to_say_ready(process: str) -> None:
    lab = Lab("mine", LabSettings(min_ttl=9), 1000, 1000)
    plan = process_plan(lab, process, {"A": "b"}, 17, 3, 21)
    at = plan.argv.index("--ready-fd")
    assert plan.argv[at + 1] == "17"
    assert plan.env["A"] == "b"
    second = Lab("mine", LabSettings(), 0, 0, Place(index=2))
    there = process_plan(second, process, {}, 17, 3, 21).argv
    assert ("--index" in there) == (process in ("agent", "observer"))
    if process != "world":
        given_settings = json.loads(plan.argv[plan.argv.index("--settings") + 1])
        assert given_settings["min_ttl"] == 9


def test_only_the_proxy_has_no_root() -> None:
    lab = Lab("mine", LabSettings(), 1000, 1000)
    plans = {p: process_plan(lab, p, {}, 5, 3, 6) for p in PROCESSES}
    assert {p: plan.uid for p, plan in plans.items()} == {
        "world": 0,
        "agent": 0,
        "observer": 0,
        "proxy": PROXY_UID,
    }
    assert plans["proxy"].capabilities == [10, 13]  # NET_BIND_SERVICE, NET_RAW
    assert plans["observer"].netns == ""
    assert plans["agent"].netns == plans["proxy"].netns != plans["world"].netns


def test_commands_inherit_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://example.com")
    monkeypatch.setenv("SECRET", "x")
    user = User(1000, 1000, [], "me", "/home/me")
    made = command_environment(user, Path("/ca.pem"), {"TERM": "xterm", "B": "c"})
    assert "http_proxy" not in made
    assert "SECRET" not in made
    assert (made["SSL_CERT_FILE"], made["HOME"]) == ("/ca.pem", "/home/me")
    assert (made["TERM"], made["B"]) == ("xterm", "c")
    assert "SSL_CERT_FILE" not in command_environment(user, None, {})


def test_merged_metrics_have_each_family_once() -> None:
    def text(name: str, process: str, value: float) -> str:
        return exposition([Family(name, "gauge", "Help", [({"process": process}, value)])])

    merged = merge({"a": text("x", "a", 1), "b": text("x", "b", 2) + text("y", "b", 3)})
    assert merged.splitlines() == [
        "# HELP x Help",
        "# TYPE x gauge",
        'x{process="a"} 1',
        'x{process="b"} 2',
        "# HELP y Help",
        "# TYPE y gauge",
        'y{process="b"} 3',
    ]


def test_merged_histograms_stay_together() -> None:
    series = [("_bucket", {"le": "1"}, 1.0), ("_sum", {}, 0.5), ("_count", {}, 1.0)]
    one = exposition([Family("h", "histogram", "Help", series)])
    assert merge({"a": one}) == one


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n != "FqdnlabError"])
def test_every_error_has_a_code_that_does_not_mean_a_dead_node(name: str) -> None:
    code = status_code(getattr(errors, name)("it is so"))
    assert code not in (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )


def test_the_package_needs_no_directory_of_the_callers() -> None:
    plan = process_plan(Lab("a", LabSettings(), os.getuid(), os.getgid()), "proxy", {}, 5, 1, 6)
    assert plan.argv[1] == "-P"
    assert plan.cwd == "/"
    assert all(Path(d).is_absolute() for d in plan.readable)
