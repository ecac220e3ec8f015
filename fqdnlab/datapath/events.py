"""The one reader of a lab's ring buffer."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from fqdnlab.datapath.libbpf import RingBuffer, obj_get
from fqdnlab.errors import ConflictError

__all__ = ["RingReader"]


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
        self._ring = RingBuffer(self._map, sample)

    def fileno(self) -> int:
        return self._ring.fileno()

    def consume(self) -> int:
        return self._ring.consume()

    def close(self) -> None:
        self._ring.close()
        os.close(self._map)
        os.close(self._lock)
