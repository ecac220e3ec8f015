"""Look names up and send to what they say, at once: run in an endpoint.

``python bench/first_packets.py SERVER PORT FILE WINDOW``; the file has a name a line, the standard
library alone.  WINDOW look-ups are under way at a time.  Prints a line for each name: its number,
when it was asked for (CLOCK_MONOTONIC, ns); then ``took`` and the seconds in all.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Sequence

__all__: list[str] = []

_LATE = 3.0


def _question(name: str, number: int) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", number & 0xFFFF, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def main(server: str, port: int, names: Sequence[str], window: int) -> None:
    """Ask for each name once; a packet to each address."""
    asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asks.connect((server, 53))
    asks.settimeout(_LATE)
    sends = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked = [0] * len(names)
    waiting: dict[int, int] = {}
    left = iter(range(len(names)))

    def ask() -> None:
        number = next(left, None)
        if number is not None:
            waiting[number & 0xFFFF] = number
            asked[number] = time.monotonic_ns()
            asks.send(_question(names[number], number))

    begin = time.monotonic()
    for _ in range(window):
        ask()
    while waiting:
        answer = asks.recv(4096)
        if answer[3] & 15 or not answer[7]:
            sys.exit(f"no address in {answer!r}")
        number = waiting.pop(int.from_bytes(answer[:2], "big"))
        target = socket.inet_ntoa(answer[-4:])  # the one record is the last thing in it
        sends.sendto(number.to_bytes(4, "big"), (target, port))
        ask()
    took = time.monotonic() - begin
    print("\n".join(f"{number} {when}" for number, when in enumerate(asked)))
    print(f"took {took}")


if __name__ == "__main__":
    with open(sys.argv[3], encoding="ascii") as file:
        main(sys.argv[1], int(sys.argv[2]), file.read().split(), int(sys.argv[4]))
