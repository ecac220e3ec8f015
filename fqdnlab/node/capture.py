"""``python -m fqdnlab.node.capture IFNAME``: what a link carries, as pcap on standard output.

Started by the node service in an endpoint's namespace.  It captures from its file header on, and at
SIGTERM writes what has come, and ends.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import time

__all__ = ["GLOBAL_HEADER", "main", "record"]

_ETH_P_ALL, _SO_TIMESTAMPNS = 3, 35  # linux/if_ether.h, asm-generic/socket.h
_BUFFER = 16 << 20  # octets: seconds of a busy link while the reader waits
_SNAPLEN = 262_144
#: pcap 2.4 with times in ns, link type Ethernet (draft-ietf-opsawg-pcap).
GLOBAL_HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _SNAPLEN, 1)
_TIMESPEC = struct.Struct("<qq")


def record(frame: bytes, length: int, seconds: int, nanos: int) -> bytes:
    """One packet of a pcap file; `length` is what it had on the wire."""
    return struct.pack("<IIII", seconds, nanos, len(frame), length) + frame


def _open(ifname: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    made.bind((ifname, _ETH_P_ALL))
    made.setblocking(False)
    return made


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanos = _TIMESPEC.unpack(data[: _TIMESPEC.size])
            return int(seconds), int(nanos)
    return divmod(time.time_ns(), 1_000_000_000)


def _drain(source: socket.socket) -> bytes:
    """Everything that has come."""
    parts: list[bytes] = []
    while True:
        try:
            frame, ancillary, _, _ = source.recvmsg(_SNAPLEN, 64)
        except BlockingIOError:
            return b"".join(parts)
        parts.append(record(frame, len(frame), *_stamp(ancillary)))


def main(arguments: list[str]) -> int:
    """Capture until SIGTERM; returns the exit status."""
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with _open(arguments[0]) as source, open(sys.stdout.fileno(), "wb", buffering=0) as output:
        output.write(GLOBAL_HEADER)
        while True:
            ready, _, _ = select.select([source.fileno(), ended], [], [])
            view = memoryview(_drain(source))
            while view:
                view = view[output.write(view) :]
            if ended in ready:
                return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
