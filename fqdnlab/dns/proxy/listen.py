"""Way 2.3, the proxy's end: datagrams that the enforcer steered here."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

from fqdnlab.dns.proxy.asking import UDP, Asking
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.sockets import ANCILLARY, asked_address, reply_ancillary
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.dns.proxy.wire import MalformedError, error_reply, read_question

__all__ = ["UdpListener"]

_BATCH = 64
_LARGEST = 65535
_MOST_SENDERS = 16_384
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
        self._ancillary: dict[bytes, list[tuple[int, int, bytes]]] = {}
        self._packed: dict[str, bytes] = {}
        self.last = 0
        loop.add_reader(made.fileno(), self._readable)

    def _readable(self) -> None:
        receive = self.socket.recvmsg
        for _ in range(_BATCH):
            try:
                data, ancillary, _, source = receive(_LARGEST, ANCILLARY)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error for an earlier reply
            self.last = boottime()
            server = asked_address(ancillary)
            if server:
                self._take(data, source, server)
            else:
                self._counts.malformed += 1  # nobody knows whom it asked

    def _take(self, data: bytes, source: tuple[str, int], server: bytes) -> None:
        if len(data) < 12 or data[2] & _RESPONSE:
            self._counts.malformed += 1
            return
        reply = partial(self._send, server, source)
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
            self._address(source[0]),
            source[1],
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

    def _address(self, text: str) -> bytes:
        packed = self._packed.get(text)
        if packed is None:
            if len(self._packed) > _MOST_SENDERS:
                self._packed.clear()
            family = socket.AF_INET6 if ":" in text else socket.AF_INET
            packed = self._packed[text] = socket.inet_pton(family, text.partition("%")[0])
        return packed

    def _send(self, server: bytes, source: tuple[str, int], data: bytes) -> None:
        """From the asked address (way 2.10); a client that is gone is no concern of ours."""
        ancillary = self._ancillary.get(server)
        if ancillary is None:
            if len(self._ancillary) > _MOST_SENDERS:
                self._ancillary.clear()
            ancillary = self._ancillary[server] = reply_ancillary(server)
        try:
            self.socket.sendmsg((data,), ancillary, 0, source)
        except OSError:
            self._counts.unsent += 1

    def drain(self) -> None:
        """Take what is still in the socket's queue."""
        self._readable()

    def close(self) -> None:
        """Stop."""
        self._loop.remove_reader(self.socket.fileno())
        self.socket.close()
