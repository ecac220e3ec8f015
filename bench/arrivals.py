"""Note which first packets arrive, and when: run in the world's namespace until SIGTERM.

``python bench/arrivals.py PORT FILE``; the standard library alone.  A datagram's first four octets
are its number; the file gets a line for each: number, CLOCK_MONOTONIC in ns.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from contextlib import suppress
from types import FrameType

__all__: list[str] = []


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit


def main(port: int, path: str) -> None:
    """Receive until SIGTERM, then write."""
    seen: list[tuple[int, int]] = []
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.bind(("0.0.0.0", port))
    signal.signal(signal.SIGTERM, _end)
    print("ready", flush=True)
    try:
        while True:
            data = sock.recv(64)
            seen.append((int.from_bytes(data[:4], "big"), time.monotonic_ns()))
    except SystemExit:
        sock.setblocking(False)  # what has come is there
        with suppress(BlockingIOError):
            while True:
                seen.append((int.from_bytes(sock.recv(64)[:4], "big"), time.monotonic_ns()))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{number} {when}\n" for number, when in seen)
        print("written", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
