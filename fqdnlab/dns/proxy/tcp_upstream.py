"""Ways 2.5 and 2.6 over TCP: one connection to the server that a client's connection asked.

It is made from the endpoint's address; ids are made anew for it.
"""

from __future__ import annotations

import asyncio
import secrets
import socket

from fqdnlab.dns.proxy.asking import Asking
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.sockets import upstream_socket
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.model.settings import LabSettings

__all__ = ["TcpUpstream", "framed", "read_message"]


class TcpUpstream:
    """The connection: made with the first question, again if the server has closed it.

    Parameters
    ----------
    asking : Asking
    settings : LabSettings
    client : bytes
        The endpoint's address.
    server : tuple
        Address and port.
    """

    def __init__(
        self, asking: Asking, settings: LabSettings, client: bytes, server: tuple[str, int]
    ) -> None:
        self._asking = asking
        self._settings = settings
        self._client = client
        self._server = server[0].partition("%")[0], server[1]
        self._waiting: dict[int, Transaction] = {}
        self._unsent: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    def ask(self, t: Transaction) -> None:
        """Send the question on, as soon as there is a connection (way 2.5)."""
        t.number = secrets.randbelow(65536)
        while t.number in self._waiting:  # at most a few hundred wait on a connection
            t.number = secrets.randbelow(65536)
        t.asked = self._waiting
        self._waiting[t.number] = t
        octets = framed(t.number.to_bytes(2, "little") + t.question.octets)
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(octets)
            return
        self._unsent.append(octets)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def drain(self) -> None:
        """Wait until the server has taken what was written."""
        if self._writer is not None:
            await self._writer.drain()

    async def _run(self) -> None:
        try:
            reader = await asyncio.wait_for(self._connect(), self._settings.upstream_timeout)
            await self._read(reader)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # those who wait are told
        finally:
            self._task = None
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._unsent.clear()
            for t in [*self._waiting.values()]:
                self._asking.give_up(t)

    async def _connect(self) -> asyncio.StreamReader:
        made = upstream_socket(self._client, socket.SOCK_STREAM, self._settings.transparent)
        try:
            await asyncio.get_running_loop().sock_connect(made, self._server)
            reader, self._writer = await asyncio.open_connection(sock=made)
        except BaseException:
            made.close()
            raise
        self._writer.write(b"".join(self._unsent))
        self._unsent.clear()
        return reader

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Way 2.6 over TCP: id, name and type of a question that waits on this connection."""
        while True:
            data = await read_message(reader)
            t, octets = self._waiting.get(int.from_bytes(data[:2], "little")), data[2:]
            if t is None or not t.question.asks_for(octets):
                self._asking.upstreams.unbelieved += 1
                continue
            t.forget()
            self._asking.answered(t, octets, boottime())

    def close(self) -> None:
        """Close the connection; whoever asked gives up himself."""
        if self._task is not None:
            self._task.cancel()


def framed(data: bytes) -> bytes:
    """A message with its length before it (RFC 1035, 4.2.2)."""
    return len(data).to_bytes(2, "big") + data


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """The next message of a stream; IncompleteReadError at its end."""
    length = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(length)
