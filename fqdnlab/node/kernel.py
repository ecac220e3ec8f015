"""System calls that Python 3.11 does not offer: namespaces, mounts, capabilities.

Nothing but the standard library is imported here: `spawn` runs this as root before it execs.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

__all__ = [
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWUTS",
    "MNT_DETACH",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "MS_SHARED",
    "MS_SLAVE",
    "keep_capabilities",
    "mount",
    "no_new_privileges",
    "raise_capabilities",
    "sethostname",
    "setns",
    "umount",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MNT_DETACH = 2

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def setns(fd: int, kind: int) -> None:
    """Move this thread into the namespace open at `fd`, of the given kind (``CLONE_NEW…``)."""
    _checked(_libc.setns(fd, kind), "enter a namespace")


def unshare(flags: int) -> None:
    """Give this thread new namespaces (``CLONE_NEW…``)."""
    _checked(_libc.unshare(flags), "make a namespace")


def sethostname(name: str) -> None:
    """Name the machine in this UTS namespace."""
    text = name.encode()
    _checked(_libc.sethostname(text, ctypes.c_size_t(len(text))), "sethostname")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount as mount(2) does; an OSError names the target."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _checked(result, f"mount {target}")


def umount(target: str, flags: int = 0) -> None:
    """Unmount as umount2(2) does."""
    _checked(_libc.umount2(target.encode(), flags), f"unmount {target}")


def _prctl(option: int, *arguments: int) -> int:
    given = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    return int(_libc.prctl(option, *given))


def no_new_privileges() -> None:
    """No exec of this process or its children gains privileges any more."""
    _checked(_prctl(_PR_SET_NO_NEW_PRIVS, 1), "PR_SET_NO_NEW_PRIVS")


def keep_capabilities(numbers: list[int]) -> None:
    """Before a change of uid: let the permitted capabilities live on; give up all but `numbers`."""
    with open(_LAST_CAPABILITY, encoding="ascii") as file:
        last = int(file.read())
    for number in range(last + 1):
        if number not in numbers:
            _checked(_prctl(_PR_CAPBSET_DROP, number), "PR_CAPBSET_DROP")
    _checked(_prctl(_PR_SET_KEEPCAPS, 1), "PR_SET_KEEPCAPS")


def raise_capabilities(numbers: list[int]) -> None:
    """After the change of uid: have these capabilities and no others, over an exec too.

    Parameters
    ----------
    numbers : list of int
        Of linux/capability.h.
    """
    mask = sum(1 << number for number in numbers)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = ctypes.create_string_buffer(struct.pack("=II", _CAPABILITY_VERSION_3, 0))
    sets = ctypes.create_string_buffer(struct.pack("=6I", low, low, low, high, high, high))
    _checked(_libc.capset(header, sets), "capset")
    for number in numbers:
        _checked(_prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number), "PR_CAP_AMBIENT_RAISE")


if sys.platform != "linux":  # pragma: no cover
    raise ImportError("fqdnlab's node runs on Linux")
