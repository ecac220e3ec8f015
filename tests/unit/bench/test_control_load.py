"""What the control section applies is what its figures say."""

from __future__ import annotations

import pytest

from bench.control_load import PORT, address, name, nobodys, policies
from fqdnlab.model.mapstate import compile_specs, selectors_of
from fqdnlab.model.policy_parser import parse_policies


@pytest.mark.parametrize("count", [1, 10, 200])
def test_a_thousand_rules_each_enforced(count: int) -> None:
    found = parse_policies(policies(count, 1000), "bench.yaml")
    assert len(found) == count
    assert sum(1 for p in found for _ in p.rules()) == 1000
    assert not [o for p in found for o in p.obstacles("cilium")]
    assert len(selectors_of(found)) == 1000 - count, "one of each policy is for DNS"
    namespace = {"k8s:io.kubernetes.pod.namespace": "default"}
    for group in range(count):
        labels = {f"k8s:in-{count}": str(group), **namespace}
        compiled = compile_specs(found, labels)
        assert compiled is not None
        assert len(compiled.rules) == 1000 // count


def test_they_are_taken_out_by_others_of_their_names() -> None:
    many = {p.key for p in parse_policies(policies(200, 1000), "bench.yaml")}
    for count in (1, 10):
        assert {p.key for p in parse_policies(policies(count, 1000), "bench.yaml")} <= many
    idle = parse_policies(nobodys(200), "bench.yaml")
    assert {p.key for p in idle} == many
    assert compile_specs(idle, {"k8s:in-10": "1"}) is None


def test_names_and_addresses() -> None:
    assert name(7) == "host-0007.bench.example"
    assert address(256) == bytes([11, 0, 1, 0])
    assert PORT != 443, "where the world's own servers listen"
