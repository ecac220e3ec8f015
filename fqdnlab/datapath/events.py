"""The one reader of a lab's ring buffer."""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from fqdnlab.datapath.libbpf import checked, function, obj_get
from fqdnlab.errors import ConflictError

__all__ = ["RingReader"]

_P = ctypes.c_void_p
_SAMPLE = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, ctypes.c_size_t)
_ring_new = function("ring_buffer__new", _P, ctypes.c_int, _SAMPLE, _P, _P)
_ring_consume = function("ring_buffer__consume", ctypes.c_int, _P)
_ring_fd = function("ring_buffer__epoll_fd", ctypes.c_int, _P)
_ring_free = function("ring_buffer__free", None, _P)


class _RingBuffer:
    """Reads a ring buffer through libbpf; `sample` is called with the octets of each event."""

    def __init__(self, fd: int, sample: Callable[[bytes], None]) -> None:
        def take(_: object, data: int, size: int) -> int:
            sample(ctypes.string_at(data, size))
            return 0

        self._take = _SAMPLE(take)  # kept alive as long as libbpf may call it
        self._ring = _ring_new(fd, self._take, None, None)
        if not self._ring:
            raise OSError(ctypes.get_errno(), "open the ring buffer")

    def fileno(self) -> int:
        return _ring_fd(self._ring)

    def consume(self) -> int:
        """Take all that is there; return how many."""
        return checked(_ring_consume(self._ring), "read the ring buffer")

    def close(self) -> None:
        if self._ring:
            _ring_free(self._ring)
            self._ring = 0


class RingReader:
    """Reads the events of a lab; a second reader is refused.

    The lock is an flock on `lock`: it dies with its holder, however that dies.

    Parameters
    ----------
    pins : Path
        The lab's bpffs.
    lock : Path
        File to lock.
    sample : callable
        Called with the octets of each event (``struct flow_event``).

    Raises
    ------
    ConflictError
        If another process reads this ring buffer.
    """

    def __init__(self, pins: Path, lock: Path, sample: Callable[[bytes], None]) -> None:
        self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise ConflictError(
                "another observer reads this lab's events",
                "stop it first; a ring buffer has one reader",
            ) from None
        self._map = obj_get(pins / "events")
        self._ring = _RingBuffer(self._map, sample)

    def fileno(self) -> int:
        return self._ring.fileno()

    def consume(self) -> int:
        return self._ring.consume()

    def close(self) -> None:
        self._ring.close()
        os.close(self._map)
        os.close(self._lock)
