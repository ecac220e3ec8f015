"""DNS over TCP (RFC 7766), the clients' side: many questions on a connection, answered as ready."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import suppress

from fqdnlab.dns.proxy.asking import TCP, Asking
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.question import Question
from fqdnlab.dns.proxy.tcp_upstream import TcpUpstream, framed, read_message
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.dns.proxy.wire import MalformedError, error_reply
from fqdnlab.model.settings import LabSettings

__all__ = ["TcpListener"]

_IDLE = 10.0  # seconds a client may say nothing (RFC 7766, 6.2.3)
_IDLE_DRAINING = 1.0
_IN_FLIGHT = 256
_CONNECTIONS, _OF_ONE_CLIENT = 1024, 128
_RESPONSE = 0x80


class TcpListener:
    """One listening socket: one port, one family.

    Parameters
    ----------
    loop : event loop
    made : socket
        From `sockets.listener`.
    port : int
    asking, counts, settings
        Shared by all listeners.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        made: socket.socket,
        port: int,
        asking: Asking,
        counts: Counts,
        settings: LabSettings,
    ) -> None:
        self.loop = loop
        self.socket = made
        self.port = port
        self.asking = asking
        self.counts = counts
        self.settings = settings
        self.idle = _IDLE
        self._clients: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        loop.add_reader(made.fileno(), self._accept)

    @property
    def busy(self) -> bool:
        """Whether some client is still connected."""
        return bool(self._tasks)

    def _accept(self) -> None:
        with suppress(OSError):
            client, source = self.socket.accept()
            client.setblocking(False)
            if len(self._tasks) >= _CONNECTIONS or self._clients[source[0]] >= _OF_ONE_CLIENT:
                client.close()
                self.counts.shed += 1
                return
            self._clients[source[0]] += 1
            task = self.loop.create_task(self._serve(client, source))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket, source: tuple[str, int]) -> None:
        connection = None
        try:
            reader, writer = await asyncio.open_connection(sock=client)
            connection = _Connection(self, reader, writer, source, client.getsockname())
            await connection.run()
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # the client's end of it
        finally:
            if connection is not None:
                connection.close()
            client.close()
            self._clients[source[0]] -= 1
            self._clients += Counter()  # those with none left go

    def close(self) -> None:
        """Stop listening; connections go on until they are done."""
        self.loop.remove_reader(self.socket.fileno())
        self.socket.close()
        self.idle = _IDLE_DRAINING

    def cancel(self) -> None:
        """End the connections too."""
        for task in self._tasks:
            task.cancel()


class _Connection:
    """A client's connection, and the one upstream that serves it."""

    def __init__(
        self,
        of: TcpListener,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        source: tuple[str, int],
        server: tuple[str, int],
    ) -> None:
        self._of = of
        self._reader = reader
        self._writer = writer
        self._client, self._client_port = _packed(source[0]), socket.htons(source[1])
        self._server = _packed(server[0])
        self._upstream = TcpUpstream(of.asking, of.settings, self._client, server)
        self._open: list[Transaction] = []

    async def run(self) -> None:
        """Questions, one after another, until the client is done; then what is still open."""
        try:
            while True:
                data = await self._next()
                if len(data) < 12 or data[2] & _RESPONSE:
                    self._of.counts.malformed += 1
                    return
                try:
                    question = self._of.asking.question(
                        data[2:], self._client, self._server, self._of.port, TCP
                    )
                except MalformedError as error:
                    self._of.counts.malformed += 1
                    self._send(error_reply(data, error.rcode))
                    continue
                await self._ask(question, int.from_bytes(data[:2], "little"))
        except asyncio.IncompleteReadError:  # it may have closed its half alone
            while self._pending() and not self._writer.is_closing():
                await asyncio.sleep(0.01)
            await asyncio.wait_for(self._writer.drain(), self._of.idle)

    async def _next(self) -> bytes:
        """The next message; a client that waits for answers may be quiet for longer."""
        reading = self._of.loop.create_task(read_message(self._reader))
        try:
            while True:
                done, _ = await asyncio.wait({reading}, timeout=self._of.idle)
                if done:
                    return reading.result()
                if not self._pending():
                    raise TimeoutError
        finally:
            reading.cancel()

    def _pending(self) -> int:
        self._open = [t for t in self._open if not t.done]
        return len(self._open)

    async def _ask(self, question: Question, number: int) -> None:
        t = Transaction(question, number, self._client_port, boottime(), self._reply)
        if self._of.asking.allowed(t):
            while len(self._open) >= _IN_FLIGHT and self._pending() >= _IN_FLIGHT:
                await asyncio.sleep(0.01)
            self._open.append(t)
            self._of.asking.ask(t, self._upstream.ask)
            await asyncio.wait_for(self._upstream.drain(), self._of.settings.upstream_timeout)
        # One that reads no answers is asked for no more questions.
        await asyncio.wait_for(self._writer.drain(), _IDLE)

    def _reply(self, t: Transaction, octets: bytes) -> None:
        self._send(t.identity.to_bytes(2, "little") + octets)

    def _send(self, data: bytes) -> None:
        if self._writer.is_closing():
            self._of.counts.unsent += 1
        else:
            self._writer.write(framed(data))

    def close(self) -> None:
        """Let go of both ends; what still waits is told of by nobody."""
        self._writer.close()
        self._upstream.close()
        for t in self._open:
            if not t.done:
                self._of.asking.give_up(t, silent=True)


def _packed(address: str) -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address.partition("%")[0])
