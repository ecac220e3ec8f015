"""Way 2.3, the proxy's end: datagrams that the enforcer steered here."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

from fqdnlab.dns.proxy.asking import UDP, Asking
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.datagrams import FAMILIES, Receiver, Sender
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.dns.proxy.wire import MalformedError, error_reply, read_question

__all__ = ["UdpListener"]

_BATCH = 64
_MOST_SERVERS = 16_384
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
        self._replies: list[tuple[bytes, bytes, bytes]] = []
        self._controls: dict[bytes, bytes] = {}
        self.last = 0
        loop.add_reader(made.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            came = self._receiver.receive_from(self.socket.fileno())
        except OSError:
            return  # an ICMP error for an earlier reply
        if not came:
            return
        self.last = boottime()
        for data, source, server in came:
            if server:
                self._take(data, source, server)
            else:
                self._counts.malformed += 1  # nobody knows whom it asked

    def _take(self, data: bytes, source: bytes, server: bytes) -> None:
        if len(data) < 12 or data[2] & _RESPONSE:
            self._counts.malformed += 1
            return
        reply = partial(self._reply, server, source)
        try:
            name, _, end = read_question(data)
        except MalformedError as error:
            self._counts.malformed += 1
            reply(error_reply(data, error.rcode))
            return
        t = Transaction(
            data,
            name,
            end,
            source[self._family.address],
            source[2] << 8 | source[3],
            server,
            self._port,
            UDP,
            0,
            0,
            self.last,
            reply,
        )
        if self._asking.allowed(t):
            self._asking.ask_udp(t)

    def _reply(self, server: bytes, source: bytes, data: bytes) -> None:
        """From the asked address (way 2.10), with all others of this turn of the loop."""
        control = self._controls.get(server)
        if control is None:
            if len(self._controls) > _MOST_SERVERS:
                self._controls.clear()
            control = self._controls[server] = self._family.reply_control(server)
        if not self._replies:
            self._loop.call_soon(self.flush)
        self._replies.append((data, source, control))

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
