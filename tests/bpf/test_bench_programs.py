"""The benchmark's programs judge as the enforcer does: what they measure is what a lab runs."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fqdnlab.datapath import abi
from fqdnlab.datapath.libbpf import Object, prog_test_run
from fqdnlab.datapath.loader import OBJECT
from fqdnlab.datapath.maps import Maps

from .conftest import EP4, LO, NEXT, SHOT
from .packets import UDP, ip, udp

_libc = ctypes.CDLL(None, use_errno=True)
PACKET = ip(EP4, "11.0.0.1", UDP, udp(1000, 443))


class Programs:
    """bpf/bench.bpf.c with one endpoint, whose policy allows what `allow` says."""

    def __init__(self, pins: Path) -> None:
        self.object = Object(OBJECT.with_name("bench.bpf.o"), pins, {})
        self.maps = Maps(pins)
        self.maps.make_conntrack(1)
        self.maps.put_endpoint(LO, 1, 1, 300, abi.ENDPOINT_ENFORCED, EP4, "")
        self.maps.put_config(1, 0, False)

    def allow(self) -> None:
        key = Maps.policy_key(1, 9, UDP, 443, 24)
        self.maps.policy.update(key, Maps.policy_value(5, 0, abi.VERDICT_ALLOW, 24))

    def run(self, name: str, times: int = 1) -> int:
        return prog_test_run(self.object.programs[name], PACKET, LO, repeat=times)[0]

    def flows(self) -> list[str]:
        return sorted(abi.ip_text(flow.remote) for flow in self.maps.flows(1))


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    assert _libc.mount(b"bpf", os.fsencode(tmp_path), b"bpf", 0, None) == 0, "these need root"
    try:
        made = Programs(tmp_path)
        yield made
        made.maps.close()
        made.object.close()
    finally:
        _libc.umount2(os.fsencode(tmp_path), 2)


@pytest.mark.parametrize("name", ["hot", "walk", "known", "anew", "opening"])
def test_each_asks_the_policy(programs: Programs, name: str) -> None:
    assert programs.run(name) == SHOT
    assert programs.maps.drops()[133][0] == 1
    programs.allow()
    assert programs.run(name) == NEXT
    assert len(programs.flows()) == 1
    assert programs.maps.rules([5])[5][0] == 1


def test_addresses_are_drawn(programs: Programs) -> None:
    programs.allow()
    assert programs.run("walk", 3) == NEXT
    assert programs.flows() == ["11.0.0.0", "11.0.0.1", "11.0.0.2"]
    assert programs.run("opening", 50) == NEXT
    assert len(set(programs.flows())) > 40


def test_known_flows_judged_anew_ask_again(programs: Programs) -> None:
    programs.allow()
    assert programs.run("hot") == NEXT
    programs.maps.policy.delete(Maps.policy_key(1, 9, UDP, 443, 24))
    assert programs.run("hot") == NEXT, "known under this epoch"
    assert programs.run("anew") == SHOT
    assert programs.run("hot") == SHOT
