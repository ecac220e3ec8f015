"""The real programs in the real kernel, in a bpffs of the test's own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fqdnlab.datapath import abi
from fqdnlab.datapath.events import RingReader
from fqdnlab.datapath.libbpf import MapFd, obj_get, prog_test_run
from fqdnlab.datapath.loader import Loader
from fqdnlab.datapath.maps import Maps
from fqdnlab.model.settings import LabSettings

EP4, EP6, LO = "10.10.0.1", "fd10::1", 1
NEXT, SHOT = -1, 2
DENIED, DENY, INVALID, SPOOF, NO_FIRST = 133, 181, 134, 132, 175
NO_PROXY, INTERNAL, EXTENSION, BAD_FRAGMENT, ZOMBIE = 240, 241, 242, 243, 244
FQDN = 1 << 24
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Side:
    """One family: the endpoint, an address of the world, and ICMP's numbers."""

    me: str
    remote: str
    stranger: str
    neighbour: str
    world: int
    icmp: int
    ask: int
    answer: int
    unreachable: int
    header: int

    def __str__(self) -> str:
        return "v6" if ":" in self.me else "v4"


V4 = Side(EP4, "198.51.100.7", "203.0.113.9", "10.10.0.2", 9, 1, 8, 0, 3, 20)
V6 = Side(EP6, "2001:db8::7", "2001:db8::99", "fd10::2", 10, 58, 128, 129, 1, 40)


@pytest.fixture(params=[V4, V6], ids=str)
def side(request: pytest.FixtureRequest) -> Side:
    found: Side = request.param
    return found


class Bench:
    """An endpoint with policy 1 on the loopback's ifindex, and ways to run packets through."""

    def __init__(self, pins: Path) -> None:
        self.pins = pins
        settings = LabSettings()
        self.loader = Loader(pins, settings)
        self.maps = Maps(pins, settings.max_conntrack)
        self.events: list[abi.FlowEvent] = []
        self.reader = RingReader(
            pins, pins.parent / "lock", lambda b: self.events.append(abi.FlowEvent.unpack(b))
        )
        self.frags = MapFd(obj_get(pins / "frags"), abi.FRAG_KEY.size, abi.FRAG_VALUE.size)
        self.fresh()

    def fresh(self) -> None:
        """As if newly loaded (loading anew for each test would take most of the time)."""
        maps = self.maps
        for one in (maps.endpoints, maps.ipcache, maps.cidrs, maps.policy, self.frags):
            for key in [*one.keys()]:
                one.delete(key)
        for counters, most in ((maps.rule_counters, 64), (maps.drop_counters, 256), (maps.lost, 1)):
            for index in range(most):
                counters.update(index.to_bytes(4, "little"), bytes(counters.value_size))
        for number in (1, 2):
            maps.delete_endpoint(0, number)
        maps.make_conntrack(1)
        self.endpoint(enforced=True)
        maps.put_config(1, 0, False)
        self.reader.consume()
        self.events.clear()

    def endpoint(self, enforced: bool) -> None:
        self.maps.put_endpoint(LO, 1, 1, 300, int(enforced), EP4, EP6)

    def allow(
        self,
        identity: int,
        proto: int = 0,
        port: int = 0,
        bits: int = 0,
        *,
        rule: int = 5,
        verdict: int = abi.VERDICT_ALLOW,
        proxy_port: int = 0,
    ) -> None:
        self.maps.policy.update(
            Maps.policy_key(1, identity, proto, port, bits),
            Maps.policy_value(rule, proxy_port, verdict, bits),
        )

    def address(self, address: str, identity: int, est: int = 0, flags: int = 0) -> None:
        self.maps.ipcache.update(
            *Maps.ipcache_entry(abi.ip16(address), identity, est or identity, flags)
        )

    def out(self, packet: bytes) -> int:
        return prog_test_run(self.loader.program("from_endpoint"), packet, LO)[0]

    def back(self, packet: bytes, mark: int = 0) -> int:
        return prog_test_run(self.loader.program("to_endpoint"), packet, LO, mark=mark)[0]

    def event(self) -> abi.FlowEvent:
        """The newest event; fails if there is none."""
        self.reader.consume()
        assert self.events, "no event was written"
        return self.events.pop()

    def no_event(self) -> bool:
        self.reader.consume()
        return not self.events

    def deny_rule(self, identity: int, proto: int = 0, port: int = 0, bits: int = 0) -> None:
        self.allow(identity, proto, port, bits, rule=9, verdict=abi.VERDICT_DENY)

    def redirects(self, identity: int, proto: int, port: int = 53) -> None:
        verdict = abi.VERDICT_REDIRECT
        self.allow(identity, proto, port, 24, rule=6, verdict=verdict, proxy_port=port)

    def withdraw(self, identity: int, proto: int = 0, port: int = 0, bits: int = 0) -> None:
        assert self.maps.policy.delete(Maps.policy_key(1, identity, proto, port, bits))

    def new_epoch(self) -> None:
        """As the agent does after each change that can alter a verdict."""
        self.maps.put_config(self.maps.epoch() + 1, 0, False)

    def fragments_kept(self) -> int:
        return sum(1 for _ in self.frags.items())

    def dropped(self, packet: bytes, reason: int) -> bool:
        """It is dropped for `reason`, which its event and one counter say alike."""
        before = self.maps.drops().get(reason, (0, 0))[0]
        verdict = self.out(packet)
        self.reader.consume()
        last = self.events[-1] if self.events else None
        self.events.clear()
        seen = f"verdict {verdict}, event {last}, drops {self.maps.drops()}"
        assert verdict == SHOT, seen
        assert last is not None, seen
        assert last.type == abi.EVENT_DROP, seen
        assert (last.reason, last.verdict) == (reason, abi.VERDICT_DENY), seen
        assert self.maps.drops()[reason][0] == before + 1, seen
        return True

    def passes(self, packet: bytes) -> bool:
        verdict = self.out(packet)
        self.reader.consume()
        reasons = [e.reason for e in self.events]
        assert verdict == NEXT, f"verdict {verdict}, reasons {reasons}"
        return True

    def close(self) -> None:
        self.reader.close()
        self.frags.close()
        self.maps.close()
        self.loader.close()


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    pins = tmp_path_factory.mktemp("enforcer") / "bpf"
    pins.mkdir()
    if _libc.mount(b"bpf", os.fsencode(pins), b"bpf", 0, None):
        pytest.fail(
            f"cannot mount a bpffs: {os.strerror(ctypes.get_errno())}; these tests need root"
        )
    try:
        made = Bench(pins)
        yield made
        made.close()
    finally:
        _libc.umount2(os.fsencode(pins), 2)


@pytest.fixture
def bench(loaded: Bench) -> Bench:
    loaded.fresh()
    return loaded
