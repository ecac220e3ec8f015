"""Way 2.11: a record of each transaction to the observer, batched, never waiting."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path

from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.question import Question
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.model.dnsrecord import FRAME, HEADER

__all__ = ["Records"]

_MAPPED = bytes(10) + b"\xff\xff"
_MOST = 32_000  # octets a datagram
_DELAY = 0.01
#: `FRAME`, with what is the same of a question whenever it is asked packed beforehand; then the
#: message's id.
_FIXED = struct.Struct("<16s16sIII")
_FRAME = struct.Struct(f"<HQQ{_FIXED.size}sIHHBBBBH")
_HEAD = HEADER.size + _FRAME.size - FRAME.size  # with the id
_pack = _FRAME.pack


class Records:
    """Records on their way to the observer.

    Parameters
    ----------
    loop : event loop
    path : Path
        The observer's datagram socket.
    generation : int
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, path: Path, generation: int) -> None:
        self._loop = loop
        self._path = str(path)
        self._generation = generation
        self._parts: list[bytes] = []
        self._size = 0
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unreported = 0
        self.lost = 0
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._connected = False

    def add(self, t: Transaction, outcome: int, octets: bytes) -> None:
        """Note what became of a transaction; `octets` is the message but for its id."""
        length = _HEAD + len(octets)
        if length > 65535:
            octets, length = octets[: 65535 - _HEAD], 65535
        took = t.took or boottime() - t.start
        question, port = t.question, t.client_port
        frame = _pack(
            length,
            t.start + took,
            took,
            question.told or self._tell(question),
            self._unreported,
            port >> 8 | port << 8 & 0xFF00,
            question.port,
            question.transport,
            outcome,
            t.early,
            0,
            t.identity,
        )
        self._unreported = 0
        if self._size + length + 2 > _MOST:
            self.flush()
        self._parts.append(frame)
        self._parts.append(octets)
        self._size += length + 2
        self._count += 1
        if self._timer is None:
            self._timer = self._loop.call_later(_DELAY, self.flush)

    def _tell(self, question: Question) -> bytes:
        question.told = _FIXED.pack(
            _mapped(question.client),
            _mapped(question.server),
            question.endpoint,
            self._generation,
            question.rule,
        )
        return question.told

    def flush(self) -> None:
        """Send what there is; what finds no room is counted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._parts:
            return
        datagram = b"".join(self._parts)
        if not self._send(datagram):
            self.lost += self._count
            self._unreported += self._count
        self._parts.clear()
        self._size = self._count = 0

    def _send(self, datagram: bytes) -> bool:
        for _ in range(2):  # a new observer has a new socket at the same path
            try:
                if not self._connected:
                    self._socket.connect(self._path)
                    self._connected = True
                self._socket.send(datagram)
            except BlockingIOError:
                return False
            except OSError:
                self._connected = False
                continue
            return True
        return False

    def close(self) -> None:
        """Send the rest and close."""
        self.flush()
        self._socket.close()


def _mapped(address: bytes) -> bytes:
    return address if len(address) == 16 else _MAPPED + address
