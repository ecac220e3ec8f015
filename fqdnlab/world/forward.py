"""Asking a real server in the world's place: UDP, TCP, or a framed stream on a Unix socket."""

from __future__ import annotations

import asyncio
import logging
import secrets

from fqdnlab.world.behaviour import forward_target

__all__ = ["ask"]

_PATIENCE = 5.0  # s
_log = logging.getLogger(__name__)


async def ask(target: str, data: bytes, stream: bool) -> bytes | None:
    """Ask the server at `target`; None if it does not answer in 5 s.

    Parameters
    ----------
    target : str
        ``ADDRESS:PORT`` or ``unix:/PATH``.
    data : bytes
        The question; it is asked under another id, and the answer has the given one.
    stream : bool
        Over TCP rather than UDP; a Unix socket is always a stream.
    """
    host, port = forward_target(target)
    number = secrets.token_bytes(2)
    question = number + data[2:]
    try:
        async with asyncio.timeout(_PATIENCE):
            if stream or not port:
                answer = await _ask_stream(host, port, question)
            else:
                answer = await _ask_datagram(host, port, question)
    except (OSError, asyncio.IncompleteReadError) as error:
        _log.warning("forward to %s: %s", target, error or "no answer")
        return None
    return data[:2] + answer[2:]


async def _ask_stream(host: str, port: int, question: bytes) -> bytes:
    connect = asyncio.open_connection(host, port) if port else asyncio.open_unix_connection(host)
    reader, writer = await connect
    try:
        writer.write(len(question).to_bytes(2, "big") + question)
        length = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(length)
    finally:
        writer.close()


class _Datagram(asyncio.DatagramProtocol):
    def __init__(self, number: bytes) -> None:
        self._number = number
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _: object) -> None:
        if data[:2] == self._number and len(data) >= 12 and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _ask_datagram(host: str, port: int, question: bytes) -> bytes:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagram(question[:2]), remote_addr=(host, port)
    )
    try:
        transport.sendto(question)
        return await protocol.answer
    finally:
        transport.close()
