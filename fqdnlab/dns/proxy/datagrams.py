"""Many datagrams a system call: recvmmsg(2) and sendmmsg(2), which Python's sockets do not have.

One call for a burst in place of one, and a failing one, for each datagram: a quarter of the
proxy's CPU time, when measured.
The layouts are those of 64-bit Linux (struct mmsghdr, iovec, cmsghdr, in_pktinfo, in6_pktinfo).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["FAMILIES", "Family", "Receiver", "Sender"]

_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)

#: msghdr: name, namelen, iov, iovlen, control, controllen, flags; and mmsghdr's len.
_HEADER = struct.Struct("=QI4xQQQQi4xI4x")
_VECTOR = struct.Struct("=QQ")
_U32, _U64 = _HEADER.size // 4, _HEADER.size // 8  # from one header to the next
_LEN32, _CONTROLLEN64 = 14, 5  # places in it
_ID, _PORT = 2, 2  # octets of a message's id; where the port is in a sockaddr
_LARGEST = 65_535
#: From one datagram's place to the next: not a power of two, which would crowd the caches.
_STRIDE = 65_536 + 192


class Family(NamedTuple):
    """Layout of addresses and of the ancillary data that tells the asked address (PKTINFO).

    Attributes
    ----------
    number : int
    name_size : int
        Octets of a sockaddr; its first four are the family and the port.
    address : slice
        Of the address in what follows these.
    control_size : int
    asked : slice
        Of the asked address, in ancillary data that came.
    head : bytes
        How such data begins.
    """

    number: int
    name_size: int
    address: slice
    control_size: int
    asked: slice
    head: bytes

    def split(self, octets: bytes) -> tuple[bytes, bytes, bytes]:
        """Sender's address, asked address (empty: not told) and message, but for its id.

        Parameters
        ----------
        octets : bytes
            From `Receiver.receive_from`.
        """
        size = self.name_size - 4
        control, rest = octets[size : size + self.control_size], octets[size + self.control_size :]
        told = control.startswith(self.head)
        return octets[self.address], control[self.asked] if told else b"", rest

    def back(self, octets: bytes, server: bytes) -> bytes:
        """For `Sender.send_to`: to where `octets` came from, from the asked address."""
        return octets[: self.name_size - 4] + self.reply_control(server)

    def reply_control(self, server: bytes) -> bytes:
        """Ancillary data that sends a datagram from the asked address."""
        if len(server) == 4:
            return self.head + struct.pack("=I4s8x", 0, server)
        return self.head + struct.pack("=16sI4x", server, 0)


_CMSG = struct.Struct("=Qii")
_PKTINFO4, _PKTINFO6 = 8, 50
FAMILIES = {
    number: Family(number, name, address, control, asked, _CMSG.pack(size, level, kind))
    for number, name, address, control, asked, size, level, kind in (
        (socket.AF_INET, 16, slice(4), 32, slice(24, 28), 28, socket.SOL_IP, _PKTINFO4),
        (socket.AF_INET6, 28, slice(4, 20), 40, slice(16, 32), 36, socket.IPPROTO_IPV6, _PKTINFO6),
    )
}


class _Headers:
    """Headers, each with its place in `data`: a sockaddr, ancillary data, a message.

    Parameters
    ----------
    many : int
    family : Family or None
        None: a message alone.
    id_first : bool
        A message's id comes before all else, so that the rest is of one piece with the addresses.
    """

    def __init__(self, many: int, family: Family | None, id_first: bool = False) -> None:
        name, control = (family.name_size, family.control_size) if family else (0, 0)
        self.many = many
        # A slice of these is bytes, whatever the stubs say.
        self.data: Any = (ctypes.c_char * (many * _STRIDE))()
        self._headers = (ctypes.c_char * (many * _HEADER.size))()
        pieces = 2 if id_first else 1
        self._vectors = (ctypes.c_char * (many * pieces * _VECTOR.size))()
        vectors = ctypes.addressof(self._vectors)
        self.at_name = _ID if id_first else 0
        self.at_id = 0 if id_first else name + control
        self.at_rest = name + control + _ID
        for i in range(many):
            place = ctypes.addressof(self.data) + i * _STRIDE
            parts = [(place + self.at_id, _LARGEST)]
            if id_first:
                parts = [(place, _ID), (place + self.at_rest, _LARGEST - _ID)]
            for n, part in enumerate(parts):
                _VECTOR.pack_into(self._vectors, (i * pieces + n) * _VECTOR.size, *part)
            _HEADER.pack_into(
                self._headers,
                i * _HEADER.size,
                place + self.at_name if name else 0,
                name,
                vectors + i * pieces * _VECTOR.size,
                pieces,
                place + self.at_name + name if control else 0,
                control,
                0,
                0,
            )
        self.address = ctypes.addressof(self._headers)
        self.octets = memoryview(self.data).cast("B")
        self._own = memoryview(self._headers).cast("B")
        self._fresh = memoryview(bytes(self._own))
        self.came = self._own.cast("I")[_LEN32::_U32]
        self.told = self._own.cast("Q")[_CONTROLLEN64::_U64]
        self.lengths = memoryview(self._vectors).cast("B").cast("Q")[1::2]

    def u16(self, at: int) -> memoryview[int]:
        """Two octets of each place."""
        return self.octets.cast("H")[at // 2 :: _STRIDE // 2]

    def refresh(self, count: int) -> None:
        """Put back what the kernel has written into the first headers."""
        size = count * _HEADER.size
        self._own[:size] = self._fresh[:size]


class Receiver:
    """Takes what has come.

    Parameters
    ----------
    many : int
        Datagrams a call, at most.
    family : Family or None
        None: of a connected socket, messages alone.
    """

    def __init__(self, many: int, family: Family | None = None) -> None:
        self._headers = headers = _Headers(many, family, id_first=family is not None)
        self._ids = headers.u16(headers.at_id)
        self._ports = headers.u16(headers.at_name + _PORT)
        # Messages are of one piece with what is between the port and them.
        begin = headers.at_name + 4 if family else headers.at_rest
        self._starts = [i * _STRIDE + begin for i in range(many)]
        self._before = headers.at_rest - begin - _ID

    def _receive(self, fd: int) -> int:
        headers = self._headers
        count = _recvmmsg(fd, headers.address, headers.many, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, os.strerror(number))
            return 0
        return int(count)

    def _pieces(self, count: int) -> list[bytes]:
        data, before = self._headers.data, self._before
        sizes = self._headers.came[:count].tolist()
        return [
            data[start : start + before + size]
            for start, size in zip(self._starts, sizes, strict=False)
        ]

    def receive(self, fd: int) -> list[tuple[int, bytes]]:
        """Id and the rest of what has come to a connected socket; OSError: an ICMP error.

        What is shorter than an id has some id, and no rest.
        """
        count = self._receive(fd)
        return [*zip(self._ids[:count].tolist(), self._pieces(count), strict=True)]

    def receive_from(self, fd: int) -> list[tuple[bytes, int, int]]:
        """Addresses and message (see `Family.split`), its id, its sender's port; as `receive`."""
        count = self._receive(fd)
        if not count:
            return []
        pieces, told = self._pieces(count), self._headers.told[:count].tolist()
        if 0 in told:  # what is there was told of an earlier one
            pieces = [piece if t else b"" for piece, t in zip(pieces, told, strict=True)]
        self._headers.refresh(count)
        ids, ports = self._ids[:count].tolist(), self._ports[:count].tolist()
        return [*zip(pieces, ids, ports, strict=True)]


class Sender:
    """Sends bursts.

    Parameters
    ----------
    many : int
        Datagrams a call, at most.
    family : Family or None
        None: by connected sockets, messages alone.
    """

    def __init__(self, many: int, family: Family | None = None) -> None:
        self._headers = headers = _Headers(many, family)
        self._ids = headers.u16(headers.at_id)
        self._ports = headers.u16(_PORT)
        if family is not None:
            for i in range(many):
                headers.u16(0)[i] = family.number

    def send(
        self, fd: int, messages: Sequence[tuple[int, bytes]], failed: Callable[[int, int], bool]
    ) -> None:
        """Send by a connected socket.

        Parameters
        ----------
        fd : int
        messages : sequence of tuple
            Id and the rest of each.
        failed : callable
            Given the place of a message that cannot be sent, and the errno; true: once more.
        """
        headers, ids = self._headers, self._ids
        many, view, lengths = headers.many, headers.octets, headers.lengths
        at_rest = headers.at_rest
        for first in range(0, len(messages), many):
            part = messages[first : first + many]
            at = at_rest
            for i, (number, octets) in enumerate(part):
                size = len(octets)
                ids[i] = number
                view[at : at + size] = octets
                lengths[i] = size + _ID
                at += _STRIDE
            self._go(fd, len(part), first, failed)

    def send_to(
        self,
        fd: int,
        messages: Sequence[tuple[int, bytes, int, bytes]],
        failed: Callable[[int, int], bool],
    ) -> None:
        """Send to a port, by what `Family.back` made, an id and a message's rest; as `send`."""
        headers, ids, ports = self._headers, self._ids, self._ports
        many, view, lengths = headers.many, headers.octets, headers.lengths
        at_rest = headers.at_rest
        for first in range(0, len(messages), many):
            part = messages[first : first + many]
            at = at_rest
            for i, (port, back, number, octets) in enumerate(part):
                size = len(octets)
                ports[i] = port
                view[at - _ID - len(back) : at - _ID] = back
                ids[i] = number
                view[at : at + size] = octets
                lengths[i] = size + _ID
                at += _STRIDE
            self._go(fd, len(part), first, failed)

    def _go(self, fd: int, count: int, first: int, failed: Callable[[int, int], bool]) -> None:
        done = 0
        while done < count:
            at = self._headers.address + done * _HEADER.size
            sent = _sendmmsg(fd, at, count - done, socket.MSG_DONTWAIT)
            if sent > 0:
                done += sent
            elif not failed(first + done, ctypes.get_errno()):
                done += 1
