"""DNS over UDP on every address at once: one socket a family, answered from the asked address.

In the world's namespace every address is local (AnyIP), so that a socket on the wildcard address is
all servers; IP_PKTINFO says which one was asked, and lets it answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from fqdnlab.world.mangle import Reply
from fqdnlab.world.responder import Deferred, Responder

__all__ = ["Asked", "UdpServer"]

_IP_PKTINFO, _IP_FREEBIND = 8, 15
_IPV6_RECVPKTINFO, _IPV6_PKTINFO, _IPV6_FREEBIND = 49, 50, 78
_SO_RCVBUFFORCE = 33
_BUFFER = 4 << 20  # octets: a burst of some ten thousand questions
_LONGEST = 4096  # octets of a question; a longer one is read cut off
_BATCH = 64  # questions before others in the loop have their turn
_log = logging.getLogger(__name__)


@dataclass
class Asked:
    """Where a question came in, and from whom."""

    sock: socket.socket
    client: tuple[str, int]  # the kernel's longer form for IPv6, as sendmsg takes it
    server: bytes


class UdpServer:
    """Serves port 53 of all addresses of one family.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    responder : Responder
    forward : callable
        Called with a question that another server is to answer: ``(deferred, data, asked, self)``.
    v6 : bool
    port : int
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        responder: Responder,
        forward: Callable[[Deferred, bytes, Asked, UdpServer], None],
        v6: bool,
        port: int = 53,
    ) -> None:
        self._loop = loop
        self._responder = responder
        self._forward = forward
        self._v6 = v6
        self._sockets = {port: _udp_socket(v6, port)}
        self._main = self._sockets[port]
        self._space = socket.CMSG_SPACE(20 if v6 else 12)
        loop.add_reader(self._main, self._readable)

    def _readable(self) -> None:
        receive, space, sock = self._main.recvmsg, self._space, self._main
        for _ in range(_BATCH):
            try:
                data, ancillary, _, client = receive(_LONGEST, space)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error of an earlier answer
                _log.debug("udp: %s", error)
                continue
            server = b""
            for _level, _kind, info in ancillary:
                server = info[:16] if self._v6 else info[8:12]
            self._one(data, Asked(sock, client, server))

    def _one(self, data: bytes, asked: Asked) -> None:
        replies = self._responder.respond(data, asked.server, asked.client, "udp")
        if isinstance(replies, tuple):
            self._forward(replies, data, asked, self)
            return
        for reply in replies:
            self.send(reply, asked)

    def send(self, reply: Reply, asked: Asked) -> None:
        """Send an answer, now or after its delay."""
        if reply.delay > 0:
            self._loop.call_later(reply.delay, self._send, reply, asked)
        else:
            self._send(reply, asked)

    def _send(self, reply: Reply, asked: Asked) -> None:
        sock = asked.sock
        if reply.port:
            sock = self._sockets.get(reply.port) or self._other(reply.port)
        source = reply.source or asked.server
        try:
            sock.sendmsg([reply.data], [_info(self._v6, source)], 0, asked.client)
        except OSError as error:  # full, or the asker cannot be reached: as on the Internet, lost
            _log.debug("udp to %s: %s", asked.client, error)

    def _other(self, port: int) -> socket.socket:
        self._sockets[port] = _udp_socket(self._v6, port)
        return self._sockets[port]

    def close(self) -> None:
        """Serve no more."""
        self._loop.remove_reader(self._main)
        for sock in self._sockets.values():
            sock.close()


def _info(v6: bool, source: bytes) -> tuple[int, int, bytes]:
    if v6:
        return socket.IPPROTO_IPV6, _IPV6_PKTINFO, struct.pack("16si", source, 0)
    return socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("i4s4s", 0, source, b"\0\0\0\0")


def _udp_socket(v6: bool, port: int) -> socket.socket:
    sock = socket.socket(
        socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    )
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind(("::" if v6 else "0.0.0.0", port))
        undo.pop_all()
    return sock
