"""Sockets as the proxy needs them: transparent, marked, with the asked address told.

IP_TRANSPARENT (ip(7)) lets a socket answer from, and ask from, addresses that are not this host's;
SO_MARK tells the enforcer that a packet to an endpoint is the proxy's own answer.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

from fqdnlab.datapath.abi import MARK_FROM_PROXY

__all__ = [
    "is_own",
    "listener",
    "own_addresses",
    "upstream_socket",
]

_IP_TRANSPARENT, _IP_PKTINFO = 19, 8
_IPV6_TRANSPARENT, _IPV6_RECVPKTINFO = 75, 49
_SO_MARK = 36
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER = 4 << 20
_TRIES = 64
_OWN4, _OWN6 = b"\x7f\0\x35", b"\xfd\0\0\x53" + bytes(10)


def own_addresses(generation: int) -> tuple[str, str]:
    """The private addresses of a generation: distinct, so that two can serve at a time."""
    number = 1 + generation % 250
    return f"127.0.53.{number}", f"fd00:53::{number:x}"


def is_own(address: bytes) -> bool:
    """Whether `address` is one of `own_addresses`, of whatever generation: nobody may ask it."""
    return address[:-1] == _OWN4 if len(address) == 4 else address[:-2] == _OWN6


def _transparent(family: int, kind: int) -> socket.socket:
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if family == socket.AF_INET:
        made.setsockopt(socket.SOL_IP, _IP_TRANSPARENT, 1)
    else:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
    return made


def listener(address: str, port: int, kind: int) -> socket.socket:
    """A socket to which the enforcer steers questions for `port`.

    Parameters
    ----------
    address : str
        One of `own_addresses`.
    port : int
    kind : int
        ``socket.SOCK_DGRAM`` or ``socket.SOCK_STREAM``.

    Raises
    ------
    OSError
        Without CAP_NET_RAW, or where the address is not the node's.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = _transparent(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK_FROM_PROXY)
    if kind == socket.SOCK_DGRAM:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        with suppress(OSError):  # past the limit of net.core.rmem_max; CAP_NET_ADMIN only
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        if family == socket.AF_INET:
            made.setsockopt(socket.SOL_IP, _IP_PKTINFO, 1)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    made.bind((address, port))
    if kind == socket.SOCK_STREAM:
        made.listen(512)
    return made


def upstream_socket(source: bytes, kind: int, transparent: bool) -> socket.socket:
    """A socket that asks from `source` (the endpoint's address) and a port nobody can guess.

    Parameters
    ----------
    source : bytes
        4 or 16 octets.
    kind : int
    transparent : bool
        False: from the node's own address.
    """
    family = socket.AF_INET if len(source) == 4 else socket.AF_INET6
    made = _transparent(family, kind)
    address = socket.inet_ntop(family, source) if transparent else ""
    for _ in range(_TRIES):
        port = 1024 + secrets.randbelow(64512)
        try:
            made.bind((address, port))
        except OSError:
            continue
        return made
    made.close()
    raise OSError(f"no free port of {_TRIES} tried at {address or 'the node'}")
