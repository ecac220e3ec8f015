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
_LARGEST = 65_535
#: From one datagram's place to the next: not a power of two, which would crowd the caches.
_STRIDE = 65_536 + 192


class Family(NamedTuple):
    """Layout of addresses and of the ancillary data that tells the asked address (PKTINFO).

    Attributes
    ----------
    name_size : int
        Octets of a sockaddr.
    address : slice
        Of the address in a sockaddr; the port is its octets 2 and 3.
    control_size : int
    asked : slice
        Of the asked address, in ancillary data that came.
    head : bytes
        How such data begins.
    """

    name_size: int
    address: slice
    control_size: int
    asked: slice
    head: bytes

    def reply_control(self, server: bytes) -> bytes:
        """Ancillary data that sends a datagram from the asked address."""
        if len(server) == 4:
            return self.head + struct.pack("=I4s8x", 0, server)
        return self.head + struct.pack("=16sI4x", server, 0)


_CMSG = struct.Struct("=Qii")
_PKTINFO4, _PKTINFO6 = 8, 50
FAMILIES = {
    socket.AF_INET: Family(
        16, slice(4, 8), 32, slice(24, 28), _CMSG.pack(28, socket.SOL_IP, _PKTINFO4)
    ),
    socket.AF_INET6: Family(
        28, slice(8, 24), 40, slice(16, 32), _CMSG.pack(36, socket.IPPROTO_IPV6, _PKTINFO6)
    ),
}


class _Headers:
    """Headers, each with its place for data and, with a family, for address and control."""

    def __init__(self, many: int, family: Family | None) -> None:
        name, control = (family.name_size, family.control_size) if family else (0, 0)
        self.many = many
        # A slice of these is bytes, whatever the stubs say.
        self.data: Any = (ctypes.c_char * (many * _STRIDE))()
        self.names: Any = (ctypes.c_char * (many * name or 1))()
        self.controls: Any = (ctypes.c_char * (many * control or 1))()
        self._vectors = (ctypes.c_char * (many * _VECTOR.size))()
        self._headers = (ctypes.c_char * (many * _HEADER.size))()
        data, names, controls, vectors = map(
            ctypes.addressof, (self.data, self.names, self.controls, self._vectors)
        )
        for i in range(many):
            _VECTOR.pack_into(self._vectors, i * _VECTOR.size, data + i * _STRIDE, _LARGEST)
            _HEADER.pack_into(
                self._headers,
                i * _HEADER.size,
                names + i * name if name else 0,
                name,
                vectors + i * _VECTOR.size,
                1,
                controls + i * control if control else 0,
                control,
                0,
                0,
            )
        self.address = ctypes.addressof(self._headers)
        self._octets = memoryview(self._headers).cast("B")
        self._fresh = memoryview(bytes(self._octets))
        self.u32, self.u64 = self._octets.cast("I"), self._octets.cast("Q")
        self.lengths = memoryview(self._vectors).cast("B").cast("Q")[1::2]

    def refresh(self, count: int) -> None:
        """Put back what the kernel has written into the first headers."""
        size = count * _HEADER.size
        self._octets[:size] = self._fresh[:size]


class Receiver:
    """Takes what has come.

    Parameters
    ----------
    many : int
        Datagrams a call, at most.
    family : Family or None
        None: of a connected socket, data alone.
    """

    def __init__(self, many: int, family: Family | None = None) -> None:
        self._headers = _Headers(many, family)
        self._family = family
        self._places = [(i * _STRIDE, i * _U32 + _LEN32) for i in range(many)]

    def _receive(self, fd: int) -> int:
        headers = self._headers
        count = _recvmmsg(fd, headers.address, headers.many, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, os.strerror(number))
            return 0
        return int(count)

    def receive(self, fd: int) -> list[bytes]:
        """Data of the datagrams that have come to a connected socket; OSError: an ICMP error."""
        count = self._receive(fd)
        data, u32 = self._headers.data, self._headers.u32
        return [data[at : at + u32[size]] for at, size in self._places[:count]]

    def receive_from(self, fd: int) -> list[tuple[bytes, bytes, bytes]]:
        """Data, sender's sockaddr and asked address (empty: not told) of each; as `receive`."""
        count = self._receive(fd)
        family, headers = self._family, self._headers
        assert family is not None
        data, names, controls, u32 = headers.data, headers.names, headers.controls, headers.u32
        begin, end = family.asked.start, family.asked.stop
        found = []
        for i, (at, size) in enumerate(self._places[:count]):
            name, control = i * family.name_size, i * family.control_size
            told = headers.u64[i * _U64 + _CONTROLLEN64] and (
                controls[control : control + 16] == family.head
            )
            found.append(
                (
                    data[at : at + u32[size]],
                    names[name : name + family.name_size],
                    controls[control + begin : control + end] if told else b"",
                )
            )
        headers.refresh(count)
        return found


class Sender:
    """Sends bursts.

    Parameters
    ----------
    many : int
        Datagrams a call, at most.
    family : Family or None
        None: by connected sockets, data alone.
    """

    def __init__(self, many: int, family: Family | None = None) -> None:
        self._headers = _Headers(many, family)
        self._family = family
        self._data = memoryview(self._headers.data).cast("B")
        self._names = memoryview(self._headers.names).cast("B")
        self._controls = memoryview(self._headers.controls).cast("B")

    def send(self, fd: int, data: Sequence[bytes], failed: Callable[[int, int], bool]) -> None:
        """Send by a connected socket.

        Parameters
        ----------
        fd : int
        data : sequence of bytes
        failed : callable
            Given the place of a datagram that cannot be sent, and the errno; true: once more.
        """
        many, view, lengths = self._headers.many, self._data, self._headers.lengths
        for first in range(0, len(data), many):
            part = data[first : first + many]
            at = 0
            for i, one in enumerate(part):
                size = len(one)
                view[at : at + size] = one
                lengths[i] = size
                at += _STRIDE
            self._go(fd, len(part), first, failed)

    def send_to(
        self,
        fd: int,
        messages: Sequence[tuple[bytes, bytes, bytes]],
        failed: Callable[[int, int], bool],
    ) -> None:
        """Send data, to a sockaddr, with ancillary data; as `send`."""
        family = self._family
        assert family is not None
        many, view, lengths = self._headers.many, self._data, self._headers.lengths
        names, controls = self._names, self._controls
        name_size, control_size = family.name_size, family.control_size
        for first in range(0, len(messages), many):
            part = messages[first : first + many]
            at = name_at = control_at = 0
            for i, (one, name, control) in enumerate(part):
                size = len(one)
                view[at : at + size] = one
                lengths[i] = size
                names[name_at : name_at + name_size] = name
                controls[control_at : control_at + control_size] = control
                at += _STRIDE
                name_at += name_size
                control_at += control_size
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
