"""The observer's own sockets: where the proxy's DNS records arrive.

A datagram Unix socket holds as many datagrams as its namespace's ``net.unix.max_dgram_qlen`` said
when it was made: 10, as the kernel has it.  The machine's setting is not ours to change, so the
socket is made in a network namespace of its own, by a thread that then ends; a path in the file
system is reached from every network namespace (docs/decisions/0161).
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from pathlib import Path

__all__ = ["bind_records"]

_CLONE_NEWNET = 0x40000000
_QUEUE = 4096  # datagrams


def bind_records(path: Path, group: int) -> socket.socket:
    """Bind a datagram socket at `path` that root and `group` may write to.

    One that a dead observer left there is replaced.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    made: list[socket.socket | OSError] = []
    thread = threading.Thread(target=lambda: made.append(_long_queue()), name="records-socket")
    thread.start()
    thread.join()
    found = made[0]
    if isinstance(found, OSError):
        raise found
    try:
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        found.bind(str(fresh))
        os.chmod(fresh, 0o660)
        os.chown(fresh, 0, group, follow_symlinks=False)
        fresh.replace(path)
        found.setblocking(False)
    except OSError:
        found.close()
        raise
    return found


def _long_queue() -> socket.socket | OSError:
    """In a thread of its own: only this thread changes its namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        return OSError(number, f"a network namespace for the records socket: {os.strerror(number)}")
    try:
        with open("/proc/sys/net/unix/max_dgram_qlen", "w", encoding="ascii") as file:
            file.write(str(_QUEUE))
        return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    except OSError as error:
        return error
