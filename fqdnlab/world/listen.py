"""TCP on every address at once: the reached address is known before a word is said.

A listener on the wildcard address accepts for all (AnyIP).  Addresses that are *off* are silent: a
filter on the listening socket drops their SYNs, so that a client waits as for a dead machine.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable

__all__ = ["Listener", "Peer", "reset"]

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_BACKLOG = 1024
_HANDSHAKE = 10.0  # s
_log = logging.getLogger(__name__)

#: (reached address, its port), (client's address, port), over TLS
Peer = tuple[tuple[str, int], tuple[str, int], bool]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Peer], Awaitable[None]]


class Listener:
    """One port of all addresses of one family.

    Parameters
    ----------
    port : int
    v6 : bool
    handler : callable
        Run as a task for each connection, which is closed when it returns.
    context : callable, optional
        Gives the TLS context for a reached address; plain without.
    refuses : callable, optional
        Whether connections to an address are to be reset at once.
    """

    def __init__(
        self,
        port: int,
        v6: bool,
        handler: Handler,
        context: Callable[[str], ssl.SSLContext] | None = None,
        refuses: Callable[[str], bool] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._context = context
        self._refuses = refuses
        self._v6 = v6
        self._tasks: set[asyncio.Task[None]] = set()
        self._sock = _listening(port, v6)
        self._loop.add_reader(self._sock, self._readable)

    def silence(self, addresses: Iterable[bytes]) -> None:
        """Answer no more SYNs to these addresses (octets; those of the other family are passed)."""
        size = 16 if self._v6 else 4
        mine = [address for address in addresses if len(address) == size]
        if mine:
            _attach(self._sock, _program(mine))
        else:
            _detach(self._sock)

    def _readable(self) -> None:
        for _ in range(64):
            try:
                sock, client = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:  # the client is gone already, or no descriptors are left
                _log.warning("accept: %s", error)
                return
            task = self._loop.create_task(self._serve(sock, client[:2]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket, client: tuple[str, int]) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = sock.getsockname()[:2]
            if self._refuses and self._refuses(server[0]):
                reset(sock)
                return
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            context = self._context(server[0]) if self._context else None
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE if context else None,
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
            await self._handler(reader, writer, (server, client, context is not None))
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError) as error:
            _log.debug("connection of %s: %s", client, error)
        finally:
            if writer is not None:
                writer.close()
            else:
                sock.close()

    def close(self) -> None:
        """Listen no more and end the connections."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for task in self._tasks:
            task.cancel()


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _listening(port: int, v6: bool) -> socket.socket:
    sock = socket.socket(
        socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    )
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind(("::" if v6 else "0.0.0.0", port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


# --- Which SYNs are dropped: classic BPF ------------------------------------------------------

_LD_WORD, _JEQ, _RET = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_NETWORK = (1 << 32) - 0x100000  # SKF_NET_OFF: offsets from the IP header
_DESTINATION = {4: 16, 16: 24}  # octets from the IP header, by the length of an address
_MAX_INSTRUCTIONS = 4096


def _program(addresses: list[bytes]) -> bytes:
    """Classic BPF that drops (returns 0) packets to one of `addresses`, all of one length."""
    lines: list[tuple[int, int, int, int]] = []
    for address in addresses:
        words = struct.unpack(f"!{len(address) // 4}I", address)
        for at, word in enumerate(words):
            after = 2 * (len(words) - at - 1) + 1  # to the next address, past this one's return
            lines.append((_LD_WORD, 0, 0, _NETWORK + _DESTINATION[len(address)] + 4 * at))
            lines.append((_JEQ, 0, after, word))
        lines.append((_RET, 0, 0, 0))
    lines.append((_RET, 0, 0, 0xFFFFFFFF))
    if len(lines) > _MAX_INSTRUCTIONS:
        raise OverflowError(f"{len(addresses)} silent addresses are more than a filter holds")
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _attach(sock: socket.socket, program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)


def _detach(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except FileNotFoundError:
        return  # there is none
