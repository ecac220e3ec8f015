"""The real programs in the real kernel, in a bpffs of the test's own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fqdnlab.datapath import abi
from fqdnlab.datapath.events import RingReader
from fqdnlab.datapath.libbpf import prog_test_run
from fqdnlab.datapath.loader import Loader
from fqdnlab.datapath.maps import Maps
from fqdnlab.model.settings import LabSettings

EP4, EP6, LO = "10.10.0.1", "fd10::1", 1
NEXT, SHOT = -1, 2
_libc = ctypes.CDLL(None, use_errno=True)


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
        self.maps.make_conntrack(1)
        self.endpoint(enforced=True)
        self.maps.put_config(1, 0, False)

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

    def dropped(self, packet: bytes, reason: int) -> bool:
        verdict = self.out(packet)
        self.reader.consume()
        last = self.events[-1].reason if self.events else None
        self.events.clear()
        assert (verdict, last) == (SHOT, reason), f"verdict {verdict}, reason {last}"
        return True

    def passes(self, packet: bytes) -> bool:
        verdict = self.out(packet)
        self.reader.consume()
        reasons = [e.reason for e in self.events]
        assert verdict == NEXT, f"verdict {verdict}, reasons {reasons}"
        return True

    def close(self) -> None:
        self.reader.close()
        self.maps.close()
        self.loader.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    pins = tmp_path / "bpf"
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
