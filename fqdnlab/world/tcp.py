"""DNS over a stream: TCP, and TLS (RFC 7858).  Questions in flight are not waited for in turn."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator

from fqdnlab.world.listen import Peer
from fqdnlab.world.responder import Deferred, Forward, Responder

__all__ = ["StreamServer", "answer_over_stream", "forwarded"]

_IDLE = 60.0  # s
_IN_FLIGHT = 512  # answers of one connection


async def answer_over_stream(
    responder: Responder,
    forward: Forward,
    data: bytes,
    server: str,
    client: tuple[str, int],
    transport: str,
) -> AsyncIterator[bytes]:
    """The answers to one message, in their order, each after its delay."""
    replies = responder.respond(data, ipaddress.ip_address(server).packed, client, transport)
    if isinstance(replies, tuple):
        answer = await forwarded(forward, replies, data, True)
        if answer is not None:
            yield answer
        return
    waited = 0.0
    for reply in replies:
        await asyncio.sleep(max(0.0, reply.delay - waited))
        waited = max(waited, reply.delay)
        yield reply.data


async def forwarded(
    forward: Forward, deferred: Deferred, data: bytes, stream: bool
) -> bytes | None:
    """What the other server says, after the behaviour's delay."""
    _, behaviour = deferred
    if behaviour.delay:
        await asyncio.sleep(behaviour.delay)
    return await forward(behaviour.forward, data, stream)


class StreamServer:
    """The handler of DNS connections, for `Listener`."""

    def __init__(self, responder: Responder, forward: Forward) -> None:
        self._responder = responder
        self._forward = forward

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer
    ) -> None:
        """Serve one connection until the client ends it or is idle."""
        tasks: set[asyncio.Task[None]] = set()
        room = asyncio.Semaphore(_IN_FLIGHT)
        try:
            while True:
                head = await asyncio.wait_for(reader.readexactly(2), _IDLE)
                data = await asyncio.wait_for(
                    reader.readexactly(int.from_bytes(head, "big")), _IDLE
                )
                await room.acquire()
                task = asyncio.create_task(self._answer(data, writer, peer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                task.add_done_callback(lambda _: room.release())
        except (TimeoutError, asyncio.IncompleteReadError):
            if tasks:  # the client closed its half only: answer what it asked
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, data: bytes, writer: asyncio.StreamWriter, peer: Peer) -> None:
        server, client, tls = peer
        transport = "tls" if tls else "tcp"
        async for answer in answer_over_stream(
            self._responder, self._forward, data, server[0], client, transport
        ):
            if len(answer) < 1 << 16 and not writer.is_closing():
                writer.write(struct.pack("!H", len(answer)) + answer)
