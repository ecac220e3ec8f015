"""Ask one question at a time and print the median latency in ns: run inside a namespace.

``python bench/ask_one.py SERVER PORT FILE SECONDS``; the file has a name a line.  Plain blocking
sockets and the standard library alone: dnsperf, with one question under way, rests in between.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Sequence
from statistics import median

__all__ = ["question"]


def question(name: str, number: int) -> bytes:
    """A query for A records."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def ask(server: str, port: int, names: Sequence[str], seconds: float) -> list[int]:
    """Latencies, ns; exits if an answer is lost, or is none."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 2, 0))
    sock.connect((server, port))
    queries = [question(name, n & 0xFFFF) for n, name in enumerate(names)]
    taken = []
    now = time.perf_counter_ns
    end = now() + int(seconds * 1e9)
    while now() < end:
        for query in queries:
            begin = now()
            sock.send(query)
            answer = sock.recv(4096)
            taken.append(now() - begin)
            if answer[:2] != query[:2] or answer[3] & 15 or not answer[7]:
                sys.exit(f"{query!r} got {answer!r}")
            if begin > end:
                break
    return taken


if __name__ == "__main__":
    with open(sys.argv[3], encoding="ascii") as file:
        found = ask(sys.argv[1], int(sys.argv[2]), file.read().split(), float(sys.argv[4]))
    print(median(found))
