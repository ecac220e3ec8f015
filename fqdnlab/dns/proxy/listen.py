"""Way 2.3, the proxy's end: datagrams that the enforcer steered here."""

from __future__ import annotations

import asyncio
import socket

from fqdnlab.dns.proxy.asking import UDP, Asking
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.datagrams import FAMILIES, Receiver, Sender
from fqdnlab.dns.proxy.question import Question
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.dns.proxy.wire import MalformedError, error_reply

__all__ = ["UdpListener"]

_BATCH = 64
#: The same octets come again and again: so many questions, of at most so many octets, are kept.
_MOST_KNOWN, _USUAL = 16_384, 512
_RESPONSE = 0x80


class UdpListener:
    """One socket: one port, one family.

    Parameters
    ----------
    loop : event loop
    made : socket
        From `sockets.listener`.
    port : int
        The asked port: where replies come from.
    asking : Asking
    counts : Counts
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        made: socket.socket,
        port: int,
        asking: Asking,
        counts: Counts,
    ) -> None:
        self._loop = loop
        self.socket = made
        self._port = port
        self._asking = asking
        self._counts = counts
        self._family = FAMILIES[made.family]
        self._receiver = Receiver(_BATCH, self._family)
        self._sender = Sender(_BATCH, self._family)
        self._replies: list[tuple[int, bytes, int, bytes]] = []
        self._table = asking.table
        self._known: dict[bytes, Question] = {}
        self._send = self._reply
        self.last = 0
        loop.add_reader(made.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            came = self._receiver.receive_from(self.socket.fileno())
        except OSError:
            return  # an ICMP error for an earlier reply
        if not came:
            return
        self.last = now = boottime()
        if self._table is not self._asking.table:
            self._table = self._asking.table
            self._known.clear()  # judged by the old one
        known, ask, send = self._known, self._asking.ask_udp, self._send
        for octets, number, port in came:
            question = known.get(octets) or self._read(octets, number, port)
            if question is not None:
                ask(Transaction(question, number, port, now, send))

    def _read(self, octets: bytes, number: int, port: int) -> Question | None:
        """A question that was not asked like this before; None: it is none."""
        client, server, rest = self._family.split(octets)
        if len(rest) < 10 or rest[0] & _RESPONSE or not server:
            self._counts.malformed += 1  # without `server` nobody knows whom it asked
            return None
        back = self._family.back(octets, server)
        try:
            question = self._asking.question(rest, client, server, self._port, UDP)
        except MalformedError as error:
            self._counts.malformed += 1
            data = number.to_bytes(2, "little") + rest
            self._queue(port, back, number, error_reply(data, error.rcode)[2:])
            return None
        question.back = back
        if len(rest) <= _USUAL:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()  # names are the clients' choice: bounded
            self._known[octets] = question
        return question

    def _reply(self, t: Transaction, octets: bytes) -> None:
        """From the asked address (way 2.10)."""
        self._queue(t.client_port, t.question.back, t.identity, octets)

    def _queue(self, port: int, back: bytes, number: int, octets: bytes) -> None:
        """It goes with all others of this turn of the loop."""
        if not self._replies:
            self._loop.call_soon(self.flush)
        self._replies.append((port, back, number, octets))

    def flush(self) -> None:
        """Send the replies; a client that is gone is no concern of ours."""
        replies, self._replies = self._replies, []
        if replies:
            self._sender.send_to(self.socket.fileno(), replies, self._unsent)

    def _unsent(self, place: int, number: int) -> bool:
        self._counts.unsent += 1
        return False

    def drain(self) -> None:
        """Take what is still in the socket's queue."""
        self._readable()

    def close(self) -> None:
        """Stop."""
        self.flush()
        self._loop.remove_reader(self.socket.fileno())
        self.socket.close()
