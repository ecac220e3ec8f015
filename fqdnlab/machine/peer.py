"""The other end of machine.sock: who it is, and one request at a time as a line of JSON."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, NamedTuple

from fqdnlab.errors import UsageError

__all__ = ["Caller", "LineSocket", "caller_of"]

_LONGEST = 1 << 20  # octets of a request


class Caller(NamedTuple):
    """Who asks, as the kernel says."""

    pid: int
    uid: int
    gid: int


def caller_of(connection: socket.socket) -> Caller:
    """The process at the other end when it connected (SO_PEERCRED)."""
    size = struct.calcsize("=3i")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return Caller(*struct.unpack("=3i", raw))


class LineSocket:
    """JSON objects, a line each, both ways."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def read(self) -> dict[str, Any] | None:
        """The next object; None at the end.

        Raises
        ------
        UsageError
            If it is none, or longer than 1 MiB.
        OSError
            If the connection breaks or times out.
        """
        while b"\n" not in self._rest:
            if len(self._rest) > _LONGEST:
                raise UsageError("the request is too long")
            got = self._connection.recv(65536)
            if not got:
                return None
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            given = json.loads(line)
        except ValueError as error:
            raise UsageError(f"the request is no JSON: {error}") from error
        if not isinstance(given, dict):
            raise UsageError("the request is no JSON object")
        return given

    def rest(self) -> bytes:
        """What came after the last object; it is taken."""
        rest, self._rest = self._rest, b""
        return rest

    def write(self, answer: dict[str, Any]) -> None:
        """Send one object."""
        self._connection.sendall(json.dumps(answer).encode() + b"\n")
