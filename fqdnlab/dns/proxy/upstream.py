"""Ways 2.5 and 2.6 over UDP: asking from the endpoint's address, believing only the asked server.

A socket is connected to its server, so the kernel drops what comes from elsewhere; an answer must
have the id, the name (letter for letter as sent) and the type of a question that waits on that
very socket.  Ports and ids are random; sockets are replaced after some use.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable

from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.sockets import upstream_socket
from fqdnlab.dns.proxy.transaction import Transaction

__all__ = ["UdpUpstreams"]

_USES = 4096  # questions a socket asks before another takes its place
_AGE = 30 * 10**9
_BATCH = 128
_LARGEST = 65535

Answered = Callable[[Transaction, bytes], None]


class _Port:
    """One socket: from one endpoint to one server."""

    __slots__ = ("born", "socket", "used", "waiting")

    def __init__(self, made: socket.socket, now: int) -> None:
        self.socket = made
        self.waiting: dict[int, Transaction] = {}
        self.used = 0
        self.born = now


class UdpUpstreams:
    """Questions to all servers, from all endpoints.

    Parameters
    ----------
    loop : event loop
    answered : callable
        Called with a transaction and its answer, as it came (with the id that was sent).
    transparent : bool
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, answered: Answered, transparent: bool
    ) -> None:
        self._loop = loop
        self._answered = answered
        self._transparent = transparent
        self._ports: dict[tuple[bytes, bytes, int], _Port] = {}
        self._retired: list[_Port] = []
        self._ids: deque[int] = deque()
        self.unbelieved = 0

    def ask(self, transaction: Transaction) -> None:
        """Send the question on (way 2.5).

        Raises
        ------
        OSError
            If it cannot be sent.
        """
        t = transaction
        key = (t.client, t.server, t.port)
        port = self._ports.get(key)
        if port is None or port.used >= _USES or t.start - port.born > _AGE:
            port = self._renew(key, t.start)
        port.used += 1
        number = self._number(port)
        port.waiting[number] = t
        t.asked = True
        try:
            port.socket.send(number.to_bytes(2, "big") + t.query[2:])
        except OSError:
            del port.waiting[number]
            t.asked = False
            raise

    def forget(self, transaction: Transaction) -> None:
        """Its time is over: an answer is believed no more."""
        for port in (*self._ports.values(), *self._retired):
            for number, waiting in list(port.waiting.items()):
                if waiting is transaction:
                    del port.waiting[number]
        self._bury()

    def _number(self, port: _Port) -> int:
        while True:
            if not self._ids:
                octets = os.urandom(2048)
                self._ids.extend(memoryview(octets).cast("H"))
            number = self._ids.popleft()
            if number not in port.waiting:
                return number

    def _renew(self, key: tuple[bytes, bytes, int], now: int) -> _Port:
        old = self._ports.pop(key, None)
        if old is not None:
            self._retired.append(old)
        self._bury()
        source, server, number = key
        made = upstream_socket(source, socket.SOCK_DGRAM, self._transparent)
        family = socket.AF_INET if len(server) == 4 else socket.AF_INET6
        try:
            made.connect((socket.inet_ntop(family, server), number))
        except OSError:
            made.close()
            raise
        port = self._ports[key] = _Port(made, now)
        self._loop.add_reader(made.fileno(), self._readable, port)
        return port

    def _bury(self) -> None:
        """Close sockets that have done their work."""
        for port in [p for p in self._retired if not p.waiting]:
            self._retired.remove(port)
            self._loop.remove_reader(port.socket.fileno())
            port.socket.close()

    def close_idle(self) -> None:
        """Close sockets that nothing was asked from for long."""
        now = boottime()
        for key, port in list(self._ports.items()):
            if now - port.born > _AGE and not port.waiting:
                self._retired.append(self._ports.pop(key))
        self._bury()

    def _readable(self, port: _Port) -> None:
        waiting = port.waiting
        for _ in range(_BATCH):
            try:
                data = port.socket.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                return  # the server refused: the time-out tells the client
            # Way 2.6: id, name and type, as asked.
            t = waiting.get(data[0] << 8 | data[1]) if len(data) >= 12 else None
            if t is None or not data[2] & 0x80 or data[12 : t.end] != t.query[12 : t.end]:
                self.unbelieved += 1
                continue
            if data[4:6] != b"\0\1":
                self.unbelieved += 1
                continue
            del waiting[data[0] << 8 | data[1]]
            t.asked = False
            self._answered(t, data)
