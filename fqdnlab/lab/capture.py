"""Packets of an endpoint's link, captured: pcap for any tool, packets for scapy."""

from __future__ import annotations

import io
import queue
import signal
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from fqdnlab.errors import LateError, SetupError
from fqdnlab.lab.calls import Peer
from fqdnlab.patience import patiently
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc

__all__ = ["Capture"]

_SCAPY = "pip install 'fqdnlab[notebook]'"
_NANOS = 1_000_000_000
_HEADER, _PACKET = 24, struct.Struct("<IIII")
_START_SECONDS, _STOP_SECONDS = 15.0, 10.0


class Capture:
    """What passes an endpoint's ``eth0``, both ways, from the moment this exists.

    Parameters
    ----------
    node : Peer
    endpoint : str
    limit : int
        Octets kept; what comes after them is counted in `missed`.

    Examples
    --------
    >>> with web.capture() as capture:                              # doctest: +SKIP
    ...     web.connect("api.example.com", 443)
    >>> capture.packets()[0].show()                                 # doctest: +SKIP
    """

    def __init__(self, node: Peer, endpoint: str, limit: int = 64 << 20) -> None:
        self.endpoint = endpoint
        self.missed = 0
        self._limit = limit
        self._octets = bytearray()
        self._full = False
        self._ended = False
        self._failure: Exception | None = None
        self._changed = threading.Condition()
        self._requests: queue.SimpleQueue[pb.RunInput | None] = queue.SimpleQueue()
        start = pb.RunStart(endpoint=endpoint, capture=True)
        self._requests.put(pb.RunInput(start=start))
        self._node = node
        stub = control_pb2_grpc.NodeStub(node.channel)
        self._call = stub.Run(iter(self._requests.get, None), wait_for_ready=True)
        self._thread = threading.Thread(target=self._read, name=f"pcap-{endpoint}", daemon=True)
        self._thread.start()
        self._wait(lambda: len(self._octets) >= _HEADER, _START_SECONDS, "the capture to begin")

    def _read(self) -> None:
        errors = bytearray()
        try:
            for output in self._call:
                with self._changed:
                    if output.WhichOneof("what") == "stdout":
                        self._take(output.stdout)
                    elif output.WhichOneof("what") == "stderr":
                        errors += output.stderr
                    self._changed.notify_all()
        except grpc.RpcError as error:
            if not self._ended:
                self._failure = self._node.error(error)
        with self._changed:
            if errors and self._failure is None:
                self._failure = LateError(f"the capture ended: {errors.decode(errors='replace')}")
            self._ended = True
            self._changed.notify_all()

    def _take(self, octets: bytes) -> None:
        if self._full or len(self._octets) + len(octets) > self._limit:
            self._full = True  # a hole in the middle would make it unreadable
            self.missed += len(octets)
        else:
            self._octets += octets

    def _wait(self, done: Any, timeout: float, what: str) -> None:
        deadline = time.monotonic() + patiently(timeout)
        with self._changed:
            while not done():
                left = deadline - time.monotonic()
                if self._failure is not None:
                    raise self._failure
                if left <= 0 or self._ended:
                    raise LateError(f"{self.endpoint}: waited in vain for {what}")
                self._changed.wait(left)

    # ------------------------------------------------------------ what there is

    @property
    def pcap(self) -> bytes:
        """A whole pcap file of what was captured so far (times in ns, of our clock)."""
        with self._changed:
            octets = bytearray(self._octets)
        ahead = round(self._node.ahead() * _NANOS)
        end = _HEADER
        for begin, stop in _bounds(octets):
            end = stop
            if ahead:
                seconds, nanos, kept, length = _PACKET.unpack_from(octets, begin)
                ours = divmod(seconds * _NANOS + nanos - ahead, _NANOS)
                _PACKET.pack_into(octets, begin, *ours, kept, length)
        return bytes(octets[:end])

    def __len__(self) -> int:
        """How many packets."""
        return sum(1 for _ in _bounds(bytes(self._octets)))

    def frames(self) -> list[tuple[float, bytes]]:
        """(Unix seconds, Ethernet frame) of each packet, in order."""
        octets = self.pcap
        found = []
        for begin, stop in _bounds(octets):
            seconds, nanos, _, _ = _PACKET.unpack_from(octets, begin)
            found.append((seconds + nanos / 1e9, octets[begin + _PACKET.size : stop]))
        return found

    def packets(self) -> Any:
        """The packets as scapy's `PacketList`.

        Raises
        ------
        SetupError
            If scapy is not installed.
        """
        try:
            from scapy.layers import dns, inet, inet6, l2  # noqa: F401 - what it dissects with
            from scapy.utils import rdpcap
        except ImportError as error:
            raise SetupError("scapy is not installed", _SCAPY) from error
        return rdpcap(io.BytesIO(self.pcap))

    def save(self, path: str | Path) -> Path:
        """Write the pcap file; return its path."""
        made = Path(path)
        made.write_bytes(self.pcap)
        return made

    def wait_for(self, count: int, timeout: float = 10.0) -> None:
        """Wait until there are so many packets; LateError if they do not come in time."""
        self._wait(lambda: len(self) >= count, timeout, f"{count} packets")

    # ------------------------------------------------------------ life

    @property
    def running(self) -> bool:
        """Whether it still captures."""
        return not self._ended

    def stop(self) -> Capture:
        """Stop; what had come by now is in it.  Idempotent."""
        if not self._ended:
            self._requests.put(pb.RunInput(signal=signal.SIGTERM))
            with self._changed:
                if not self._changed.wait_for(lambda: self._ended, patiently(_STOP_SECONDS)):
                    self._call.cancel()
        self._requests.put(None)
        self._thread.join(_STOP_SECONDS)
        return self

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<Capture of {self.endpoint}: {len(self)} packets, {state}>"


def _bounds(octets: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """(begin, end) of each whole record."""
    at = _HEADER
    while at + _PACKET.size <= len(octets):
        kept = _PACKET.unpack_from(octets, at)[2]
        stop = at + _PACKET.size + kept
        if stop > len(octets):
            return
        yield at, stop
        at = stop
