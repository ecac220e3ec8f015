"""DNS over TCP (RFC 7766): many questions on a connection, answered as they are ready.

Each client connection has one upstream connection to the server that it asked, from the endpoint's
address; ids are made anew for it.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress

from fqdnlab.dns.proxy.answers import Answers
from fqdnlab.dns.proxy.asking import TCP, Asking
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.sockets import upstream_socket
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.dns.proxy.wire import MalformedError, error_reply, read_question
from fqdnlab.model.settings import LabSettings

__all__ = ["TcpListener"]

_IDLE = 10.0  # seconds a client may say nothing (RFC 7766, 6.2.3)
_IN_FLIGHT = 256
_CONNECTIONS = 1024
_RESPONSE = 0x80


class TcpListener:
    """One listening socket: one port, one family.

    Parameters
    ----------
    loop : event loop
    made : socket
        From `sockets.listener`.
    port : int
    asking, answers, counts, settings
        Shared by all listeners.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        made: socket.socket,
        port: int,
        asking: Asking,
        answers: Answers,
        counts: Counts,
        settings: LabSettings,
    ) -> None:
        self._loop = loop
        self.socket = made
        self._port = port
        self._asking = asking
        self._answers = answers
        self._counts = counts
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()
        loop.add_reader(made.fileno(), self._accept)

    @property
    def busy(self) -> bool:
        """Whether some client is still connected."""
        return bool(self._tasks)

    def _accept(self) -> None:
        with suppress(OSError):
            client, _ = self.socket.accept()
            client.setblocking(False)
            if len(self._tasks) >= _CONNECTIONS:
                client.close()
                self._counts.shed += 1
                return
            task = self._loop.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        connection = None
        try:
            server, source = client.getsockname(), client.getpeername()
            reader, writer = await asyncio.open_connection(sock=client)
            connection = _Connection(self, reader, writer, source, server)
            await connection.run()
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # the client's end of it
        finally:
            if connection is not None:
                connection.close()
            client.close()

    def close(self) -> None:
        """Stop listening; connections go on until they are done."""
        self._loop.remove_reader(self.socket.fileno())
        self.socket.close()

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
        family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
        self._client = socket.inet_pton(family, source[0].partition("%")[0])
        self._client_port = source[1]
        self._server = socket.inet_pton(family, server[0].partition("%")[0])
        self._server_address = (server[0].partition("%")[0], server[1])
        self._waiting: dict[int, Transaction] = {}
        self._upstream: asyncio.StreamWriter | None = None
        self._answers_task: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def run(self) -> None:
        """Questions, one after another, until the client is done."""
        while True:
            data = await asyncio.wait_for(_message(self._reader), _IDLE)
            if len(data) < 12 or data[2] & _RESPONSE:
                self._of._counts.malformed += 1
                return
            try:
                name, _, end = read_question(data)
            except MalformedError as error:
                self._of._counts.malformed += 1
                self._send(error_reply(data, error.rcode))
                continue
            await self._question(data, name, end)

    async def _question(self, data: bytes, name: bytes, end: int) -> None:
        t = Transaction(
            data,
            name,
            end,
            self._client,
            self._client_port,
            self._server,
            self._of._port,
            TCP,
            0,
            0,
            boottime(),
            self._send,
        )
        if not self._of._asking.allowed(t):
            return
        while len(self._waiting) >= _IN_FLIGHT:
            await asyncio.sleep(0.01)
        number = secrets.randbelow(65536)
        while number in self._waiting:
            number = secrets.randbelow(65536)
        self._waiting[number] = t
        t.asked = True
        timeout = self._of._settings.upstream_timeout
        self._of._loop.call_later(timeout, self._give_up, number, t)
        try:
            upstream = await asyncio.wait_for(self._upstream_writer(), timeout)
            question = number.to_bytes(2, "big") + data[2:]
            upstream.write(len(question).to_bytes(2, "big") + question)
            await upstream.drain()
        except (OSError, TimeoutError):
            self._give_up(number, t)

    async def _upstream_writer(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._upstream is None or self._upstream.is_closing():
                transparent = self._of._settings.transparent
                made = upstream_socket(self._client, socket.SOCK_STREAM, transparent)
                try:
                    await self._of._loop.sock_connect(made, self._server_address)
                    reader, self._upstream = await asyncio.open_connection(sock=made)
                except BaseException:
                    made.close()
                    raise
                self._answers_task = self._of._loop.create_task(self._read_answers(reader))
            return self._upstream

    async def _read_answers(self, reader: asyncio.StreamReader) -> None:
        """Way 2.6 over TCP: id, name and type of a question that waits on this connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                data = await _message(reader)
                t = self._waiting.get(data[0] << 8 | data[1]) if len(data) >= 12 else None
                believed = t is not None and data[2] & _RESPONSE and data[4:6] == b"\0\1"
                if t is None or not believed or data[12 : t.end] != t.query[12 : t.end]:
                    self._of._asking.upstreams.unbelieved += 1
                    continue
                del self._waiting[data[0] << 8 | data[1]]
                t.asked = False
                self._of._answers.answered(t, data)
        if self._upstream is not None:
            self._upstream.close()
        for number, t in list(self._waiting.items()):
            self._give_up(number, t)

    def _give_up(self, number: int, t: Transaction) -> None:
        if self._waiting.get(number) is t:
            del self._waiting[number]
            t.asked = False
            silent = self._of._settings.upstream_timeout_answer == "silent"
            self._of._answers.failed(t, silent)

    def _send(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(len(data).to_bytes(2, "big") + data)

    def close(self) -> None:
        """Let go of both ends; what still waits is told of by nobody."""
        for t in self._waiting.values():
            t.done = True
        self._waiting.clear()
        if self._answers_task is not None:
            self._answers_task.cancel()
        if self._upstream is not None:
            self._upstream.close()
        self._writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(length)
