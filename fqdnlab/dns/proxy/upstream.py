"""Ways 2.5 and 2.6 over UDP: asking from the endpoint's address, believing only the asked server.

A socket is connected to its server, so the kernel drops what comes from elsewhere; an answer must
have the id, the name (letter for letter as sent) and the type of a question that waits on that
very socket.  Ports and ids are random; sockets are replaced after some use.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from itertools import islice

from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.datagrams import Receiver, Sender
from fqdnlab.dns.proxy.sockets import upstream_socket
from fqdnlab.dns.proxy.transaction import Transaction

__all__ = ["UdpUpstreams"]

_USES = 4096  # questions a socket asks before another takes its place
_AGE = 30 * 10**9
_BATCH = 64
_SERVERS = 256  # sockets of one endpoint: it may ask many servers, not starve others of theirs
_OLDEST = 8  # looked at to make room

Answered = Callable[[Transaction, bytes, int], None]
_Key = tuple[bytes, bytes, int]  # endpoint's address, server, its port


class _Port:
    """One socket: from one endpoint to one server."""

    __slots__ = ("born", "burst", "key", "socket", "used", "waiting")

    def __init__(self, key: _Key, made: socket.socket, now: int) -> None:
        self.key = key
        self.socket = made
        self.waiting: dict[int, Transaction] = {}
        self.burst: list[Transaction] = []
        self.used = 0
        self.born = now


class UdpUpstreams:
    """Questions to all servers, from all endpoints.

    Parameters
    ----------
    loop : event loop
    answered : callable
        Called with a transaction, its answer (but for the id), and when it came.
    failed : callable
        Called with a transaction whose question could not be sent.
    transparent : bool
    most : int
        Sockets of all endpoints together.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answered: Answered,
        failed: Callable[[Transaction], None],
        transparent: bool,
        most: int = 4096,
    ) -> None:
        self._loop = loop
        self._answered = answered
        self._failed = failed
        self._receiver, self._sender = Receiver(_BATCH), Sender(_BATCH)
        self._bursts: list[_Port] = []
        self._transparent = transparent
        self._most = most
        self._ports: dict[_Key, _Port] = {}
        self._of_source: dict[bytes, dict[_Key, _Port]] = {}
        self._retired: dict[_Port, None] = {}
        self._numbers: list[int] = []
        self.unbelieved = 0

    def ask(self, transaction: Transaction) -> None:
        """Send the question on (way 2.5).

        Raises
        ------
        OSError
            If it cannot be sent.
        """
        t = transaction
        key = t.question.way
        port = self._ports.get(key)
        if port is None or port.used >= _USES or t.start - port.born > _AGE:
            port = self._renew(key, t.start)
        port.used += 1
        waiting = port.waiting
        while True:  # at most _USES wait on a socket: one number is free
            if not self._numbers:
                self._numbers += memoryview(os.urandom(2048)).cast("H")
            number = self._numbers.pop()
            if number not in waiting:
                break
        t.number = number
        t.asked = waiting
        waiting[number] = t
        if not port.burst:
            if not self._bursts:
                self._loop.call_soon(self.flush)
            self._bursts.append(port)
        port.burst.append(t)

    def flush(self) -> None:
        """What was asked in this turn of the loop goes, a call for each socket."""
        bursts, self._bursts = self._bursts, []
        for port in bursts:
            out, port.burst = port.burst, []
            self._send(port, out)

    def _send(self, port: _Port, out: list[Transaction]) -> None:
        again: set[int] = set()

        def failed(place: int, number: int) -> bool:
            if number == errno.ECONNREFUSED and place not in again:
                again.add(place)  # what became of an earlier question
                return True
            self._failed(out[place])
            return False

        self._sender.send(port.socket.fileno(), [(t.number, t.question.out) for t in out], failed)

    def _renew(self, key: _Key, now: int) -> _Port:
        source, server, number = key
        self._retire(self._ports.get(key))
        self._make_room(source)
        made = upstream_socket(source, socket.SOCK_DGRAM, self._transparent)
        family = socket.AF_INET if len(server) == 4 else socket.AF_INET6
        try:
            made.connect((socket.inet_ntop(family, server), number))
        except OSError:
            made.close()
            raise
        port = self._ports[key] = _Port(key, made, now)
        self._of_source.setdefault(source, {})[key] = port
        self._loop.add_reader(made.fileno(), self._readable, port)
        return port

    def _make_room(self, source: bytes) -> None:
        """The endpoint's oldest sockets that wait for nothing go; OSError if that is not enough."""
        mine = self._of_source.get(source, {})
        if len(mine) >= _SERVERS:
            for port in [*islice(mine.values(), _OLDEST)]:
                if not port.waiting:
                    self._retire(port)
        if len(mine) >= _SERVERS or len(self._ports) + len(self._retired) >= self._most:
            raise OSError(errno.EMFILE, "too many servers are asked at a time")

    def _retire(self, port: _Port | None) -> None:
        """No question goes by this socket any more; answers may still come."""
        if port is None:
            return
        mine = self._of_source[port.key[0]]
        del self._ports[port.key], mine[port.key]
        if not mine:
            del self._of_source[port.key[0]]
        self._retired[port] = None
        if not port.waiting:
            self._bury(port)

    def _bury(self, port: _Port) -> None:
        """It has done its work."""
        del self._retired[port]
        self._loop.remove_reader(port.socket.fileno())
        port.socket.close()

    def close_idle(self) -> None:
        """Close sockets that nothing was asked from for long."""
        now = boottime()
        for port in [*self._ports.values()]:
            if now - port.born > _AGE and not port.waiting:
                self._retire(port)
        for port in [p for p in self._retired if not p.waiting]:
            self._bury(port)

    def _readable(self, port: _Port) -> None:
        waiting, answered = port.waiting, self._answered
        try:
            came = self._receiver.receive(port.socket.fileno())
        except OSError:
            return  # the server refused: the time-out tells the client
        now = boottime()
        for number, octets in came:
            # Way 2.6: id, name and type, as asked.
            t = waiting.get(number)
            if t is None or not t.question.asks_for(octets):
                self.unbelieved += 1
                continue
            del waiting[number]
            t.asked = None
            answered(t, octets, now)
