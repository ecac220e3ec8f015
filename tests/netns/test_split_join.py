"""Machines that are asked to join a lab and cannot, or are no clients."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.client_kit import settled_state_of, state_of
from tests.split_kit import CLIENT, Machine, client_place, internet_place, ip, machines, node_place


def test_roles_do_what_they_do(tmp_path: Path) -> None:
    places = {"internet": internet_place(), "node": node_place(1), "client": client_place()}
    with machines(tmp_path, **places) as three:
        _refused(three)


def _refused(three: dict[str, Machine]) -> None:
    answer = three["client"].ask("up", lab="q")
    assert (answer["ok"], answer["error"]) == (False, "UsageError"), answer
    given = {"id": 1, "name": "vm", "ip4": "10.10.0.1"}
    for machine in ("node", "internet"):
        answer = three[machine].ask("join", lab="q", endpoint=given)
        assert (answer["ok"], answer["error"]) == (False, "UsageError"), answer
    for wrong, why in (
        ({**given, "ip4": "10.10.4.1"}, "is not of node"),
        ({**given, "id": 2000}, "no endpoint 2000"),
        ({**given, "name": "../vm"}, "cannot name"),
        ({"name": "vm"}, "no endpoint: KeyError"),
        (None, "no endpoint"),
    ):
        answer = three["client"].ask("join", lab="q", endpoint=wrong)
        assert (answer["ok"], answer["error"]) == (False, "UsageError"), answer
        assert why in answer["message"]
    assert three["client"].client.list() == []


@pytest.mark.parametrize(
    ("own", "route", "why"),
    [
        ("10.77.0.21", "203.0.113.0/24", "has not the address 10.77.0.20"),  # not even a link
        (CLIENT, "128.0.0.0/1", "routes"),  # all but one of the routes
    ],
)
def test_nothing_is_left_after_a_join_that_fails(
    tmp_path: Path, own: str, route: str, why: str
) -> None:
    with machines(tmp_path, client=client_place(true_address=own)) as made:
        ip(made["client"].pid, "route", "add", route, "dev", "eth1")
        was = settled_state_of(made["client"])
        given = {"id": 1, "name": "vm", "ip4": "10.10.0.1"}
        answer = made["client"].ask("join", lab="q", endpoint=given)
        assert (answer["ok"], answer["error"]) == (False, "SetupError"), answer
        assert why in answer["message"]
        assert state_of(made["client"]) == was
        assert made["client"].client.list() == []
        assert os.listdir(made["client"].root / "run/fqdnlab/.lab") == []
