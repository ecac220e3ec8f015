"""Nanoseconds a verdict takes: bpf/bench.bpf.c, which runs the enforcer's own functions.

The address is drawn in the kernel, out of 2^20 installed ones, so that no cache is warmer than a
node's would be.  `BPF_PROG_TEST_RUN` runs a program many times and says how long it took.
"""

from __future__ import annotations

import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import BenchError, Sample
from fqdnlab.datapath import abi
from fqdnlab.datapath.events import RingReader
from fqdnlab.datapath.libbpf import Object, create_lru_hash, prog_test_run
from fqdnlab.datapath.loader import OBJECT
from fqdnlab.datapath.maps import Maps
from fqdnlab.node.kernel import mount, umount

__all__ = ["ADDRESSES", "METRIC", "PROGRAMS", "Verdicts"]

ADDRESSES = 1 << 20
METRIC = "ns a packet"
#: Program → how it is called in the table.
PROGRAMS = {
    "empty": "empty program",
    "hot": "verdict, hot",
    "known": "verdict, known flows, 1M addresses",
    "anew": "verdict, known flows judged anew",
    "opening": "verdict, new flows, 1M addresses",
}
_LO, _NEXT, _POLICY, _IDENTITY = 1, -1, 1, 1 << 24
_FIRST = 0x0B000000
_ME, _PORT = "10.10.0.1", 443
#: Of an LRU map, some entries are always on their way: so room for twice the flows.
_FLOWS = ADDRESSES * 2
_EVENTS = 1 << 26  # octets: room for the event of each new flow of a run


def _datagram() -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 48, 1, 0, 64, 17, 0)
    addresses = socket.inet_aton(_ME) + socket.inet_aton("11.0.0.1")
    ports = struct.pack("!HHHH", 1000, _PORT, 28, 0)
    return bytes(12) + b"\x08\0" + head + addresses + ports + bytes(20)


class Verdicts:
    """The programs, loaded, with their maps filled."""

    def __init__(self, pins: Path) -> None:
        sizes = {"ipcache_host": ADDRESSES + 1024, "events": _EVENTS}
        self._object = Object(OBJECT.with_name("bench.bpf.o"), pins, sizes)
        self._maps = Maps(pins)
        self._events = RingReader(pins, pins.parent / f"{pins.name}.lock", self._take)
        self._new = self._lost = 0
        self._packet = _datagram()
        self._fill()

    def _fill(self) -> None:
        maps = self._maps
        table = create_lru_hash("ct_bench", abi.CT_KEY.size, abi.CT_VALUE.size, _FLOWS)
        with table:
            maps.conntrack.update((1).to_bytes(4, "little"), table.fd.to_bytes(4, "little"))
        maps.put_endpoint(_LO, 1, _POLICY, 300, abi.ENDPOINT_ENFORCED, _ME, "")
        maps.put_config(1, 0, False)
        for rule, bits in ((7, 24), (8, 8)):
            maps.policy.update(
                Maps.policy_key(_POLICY, _IDENTITY, 17, _PORT if bits == 24 else 0, bits),
                Maps.policy_value(rule, 0, abi.VERDICT_ALLOW, bits),
            )
        value = abi.IPCACHE_VALUE.pack(_IDENTITY, _IDENTITY, 0, 0)
        for start in range(0, ADDRESSES, 1 << 16):
            maps.ipcache.update_many(
                [
                    (abi.ip16_packed((_FIRST + n).to_bytes(4, "big")), value)
                    for n in range(start, start + (1 << 16))
                ]
            )
        self._learn_flows()

    def _learn_flows(self) -> None:
        """A flow to each address is known from here on."""
        self.nanoseconds("walk", ADDRESSES)
        self._events.consume()
        self._lost = self._maps.lost_events()

    def nanoseconds(self, program: str, times: int) -> int:
        """Mean of so many runs; BenchError if the packet does not pass."""
        fd = self._object.programs[program]
        verdict, took = prog_test_run(fd, self._packet, _LO, repeat=times)
        if verdict != _NEXT:
            raise BenchError(f"{program}: the packet is dropped ({verdict})")
        return took

    def measure(self, run: int, quick: bool) -> list[Sample]:
        """Each program once, in turn; of new flows fewer, as each leaves an event and an entry."""
        few, many = (50_000, 200_000) if quick else (200_000, 2_000_000)
        samples = []
        for name, path in PROGRAMS.items():
            times = few if name == "opening" else many
            took = self.nanoseconds(name, times)
            self._check_new(name, times)
            samples.append(Sample(path, METRIC, took, "ns", run))
        self._learn_flows()  # the new flows have put known ones out
        return samples

    def _check_new(self, name: str, times: int) -> None:
        """Each new flow has left an event: as many as was meant were new."""
        self._new = 0
        self._events.consume()
        lost = self._maps.lost_events() - self._lost
        self._lost += lost
        share = (self._new + lost) / times
        if lost and name == "opening":
            raise BenchError("new flows were measured with no room for their events")
        if share < 0.99 if name == "opening" else share > 0.01:
            raise BenchError(f"{name}: {share:.1%} of the packets opened a flow")

    def _take(self, _: bytes) -> None:
        self._new += 1

    def close(self) -> None:
        """Let all go: nothing is attached."""
        self._events.close()
        self._maps.close()
        self._object.close()

    @classmethod
    @contextmanager
    def loaded(cls, tell: Callable[[str], None]) -> Iterator[Verdicts]:
        """In a bpffs of its own, for as long as the block lasts."""
        with tempfile.TemporaryDirectory(prefix="bench-") as around:
            folder = f"{around}/bpf"
            Path(folder).mkdir()
            mount("bpf", folder, "bpf")
            try:
                tell(f"installing {ADDRESSES:,} addresses, and a flow to each")
                made = cls(Path(folder))
                try:
                    yield made
                finally:
                    made.close()
            finally:
                umount(folder)
