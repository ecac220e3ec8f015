"""Web servers: each says which address was reached.  The one importer of h11.

``/`` says it in words, ``/json`` as JSON; ``/stream?seconds=S&interval=I`` sends a chunk each
interval; ``/bytes?count=N`` sends N octets; ``/dns-query`` is DNS over HTTPS (RFC 8484).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import h11

from fqdnlab.world.listen import Peer

__all__ = ["Doh", "WebServer", "WebState"]

_IDLE = 75.0  # s that a connection may be silent
_BODY = 1 << 20  # octets of a request
_MAX_SECONDS = 3600.0
_MAX_COUNT = 1 << 30
_PIECE = 1 << 16

#: (message, reached address, client) → an answer, or None for silence.
Doh = Callable[[bytes, str, tuple[str, int]], Awaitable[bytes | None]]


@dataclass(frozen=True)
class WebState:
    """How the web server at an address behaves."""

    state: str = "on"  # on, off, reset
    delay: float = 0.0  # s before a response
    status: int = 0  # in place of 200


class _RefusedError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class _Response:
    status: int
    kind: str
    body: AsyncIterator[bytes]
    length: int | None  # None: chunked


class WebServer:
    """The handler of web connections, for `Listener`.

    Parameters
    ----------
    state : callable
        The behaviour of an address.
    count : callable
        Called for each request.
    doh : callable, optional
    """

    def __init__(
        self, state: Callable[[str], WebState], count: Callable[[], None], doh: Doh | None = None
    ) -> None:
        self._state = state
        self._count = count
        self._doh = doh

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer
    ) -> None:
        """Serve one connection, request after request."""
        connection = h11.Connection(h11.SERVER)
        try:
            while await self._exchange(connection, reader, writer, peer):
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            if connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                text = f"not HTTP: {error}\n"
                response = _Response(
                    error.error_status_hint, "text/plain", _one(text.encode()), None
                )
                await _send(connection, writer, response, close=True)
        except (TimeoutError, ConnectionError):
            return

    async def _exchange(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
    ) -> bool:
        """One request and its response; whether another may follow."""
        request = await _event(connection, reader, writer)
        if not isinstance(request, h11.Request):
            return False
        body = bytearray()
        while isinstance(event := await _event(connection, reader, writer), h11.Data):
            body += event.data
            if len(body) > _BODY:
                raise h11.RemoteProtocolError("the body is too long", error_status_hint=413)
        self._count()
        state = self._state(peer[0][0])
        if state.delay:
            await asyncio.sleep(state.delay)
        try:
            response = await self._respond(request, bytes(body), peer, state)
        except _RefusedError as error:
            response = _Response(error.status, "text/plain", _one(f"{error}\n".encode()), None)
        if request.method == b"HEAD" or response.status in (204, 304):
            response.body = _octets(0)
        await _send(connection, writer, response)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _respond(
        self, request: h11.Request, body: bytes, peer: Peer, state: WebState
    ) -> _Response:
        url = urlsplit(request.target.decode("latin-1"))
        query = parse_qs(url.query)
        if state.status:
            text = f"{state.status} on demand, by {peer[0][0]}\n".encode()
            return _Response(state.status, "text/plain", _one(text), len(text))
        if url.path == "/stream":
            seconds = _number(query, "seconds", 10.0, _MAX_SECONDS)
            interval = max(0.001, _number(query, "interval", 1.0, _MAX_SECONDS))
            return _Response(200, "text/plain", _stream(seconds, interval), None)
        if url.path == "/bytes":
            count = int(_number(query, "count", 1024.0, _MAX_COUNT))
            return _Response(200, "application/octet-stream", _octets(count), count)
        if url.path == "/dns-query" and self._doh and peer[2]:
            answer = await self._doh(_dns_message(request, query, body), peer[0][0], peer[1])
            if answer is None:
                raise ConnectionError("silence on demand")
            return _Response(200, "application/dns-message", _one(answer), len(answer))
        return self._told(request, url.path, peer)

    @staticmethod
    def _told(request: h11.Request, path: str, peer: Peer) -> _Response:
        (address, port), client, tls = peer
        host = dict(request.headers).get(b"host", b"").decode("latin-1")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if path == "/json":
            told = {
                "address": address,
                "port": port,
                "name": name,
                "scheme": "https" if tls else "http",
                "client": client[0],
                "client_port": client[1],
                "method": request.method.decode("latin-1"),
                "path": path,
            }
            octets = json.dumps(told).encode() + b"\n"
            return _Response(200, "application/json", _one(octets), len(octets))
        scheme = "https" if tls else "http"
        text = f"{name or '(no name)'} at {address} port {port} ({scheme}), asked by {client[0]}\n"
        octets = text.encode()
        return _Response(200, "text/plain; charset=utf-8", _one(octets), len(octets))


def _number(query: dict[str, list[str]], name: str, default: float, most: float) -> float:
    try:
        value = float(query[name][0]) if name in query else default
    except ValueError:
        raise _RefusedError(400, f"{name}: a number is expected") from None
    if not 0 <= value <= most:
        raise _RefusedError(400, f"{name}: 0 to {most:g} is expected")
    return value


def _dns_message(request: h11.Request, query: dict[str, list[str]], body: bytes) -> bytes:
    """RFC 8484, 4.1."""
    if request.method == b"POST":
        if dict(request.headers).get(b"content-type") != b"application/dns-message":
            raise _RefusedError(415, "application/dns-message is expected")
        return body
    if request.method != b"GET":
        raise _RefusedError(405, "GET or POST is expected")
    text = query.get("dns", [""])[0]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _RefusedError(400, "dns: base64url is expected") from None


async def _one(octets: bytes) -> AsyncIterator[bytes]:
    yield octets


async def _stream(seconds: float, interval: float) -> AsyncIterator[bytes]:
    """A line each interval; absolute times, so that the number of lines is right."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    number = 0
    while number * interval < seconds:
        await asyncio.sleep(start + number * interval - loop.time())
        number += 1
        yield f"{number}\n".encode()
    await asyncio.sleep(start + seconds - loop.time())


async def _octets(count: int) -> AsyncIterator[bytes]:
    while count > 0:
        yield b"x" * min(count, _PIECE)
        count -= _PIECE


async def _event(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        if connection.they_are_waiting_for_100_continue:
            go = h11.InformationalResponse(status_code=100, headers=[])
            writer.write(connection.send(go) or b"")
        connection.receive_data(await asyncio.wait_for(reader.read(_PIECE), _IDLE))
    return event


async def _send(
    connection: h11.Connection,
    writer: asyncio.StreamWriter,
    response: _Response,
    close: bool = False,
) -> None:
    headers = [("server", "fqdnlab-world"), ("content-type", response.kind)]
    if response.length is None:
        headers.append(("transfer-encoding", "chunked"))
    else:
        headers.append(("content-length", str(response.length)))
    if close:
        headers.append(("connection", "close"))
    writer.write(connection.send(h11.Response(status_code=response.status, headers=headers)) or b"")
    async for part in response.body:
        writer.write(connection.send(h11.Data(data=part)) or b"")
        await writer.drain()
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
