"""Named network namespaces, pinned where ``ip netns`` pins them.

Only threads of their own change namespace, and end afterwards: the process stays where it is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from fqdnlab.errors import StateError
from fqdnlab.node.kernel import (
    CLONE_NEWNET,
    MNT_DETACH,
    MS_BIND,
    MS_REC,
    MS_SHARED,
    mount,
    setns,
    umount,
    unshare,
)

__all__ = ["NETNS", "identity", "inside", "make", "names", "remove"]

NETNS = Path("/run/netns")

T = TypeVar("T")


def _in_a_thread(function: Callable[[], T]) -> T:
    done: list[T] = []
    failed: list[BaseException] = []

    def body() -> None:
        try:
            done.append(function())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _share_directory() -> None:
    """As ``ip netns`` does: so that unmounting reaches private mount namespaces too."""
    NETNS.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        mount("", str(NETNS), flags=MS_SHARED | MS_REC)
    except OSError:  # not a mount point yet
        mount(str(NETNS), str(NETNS), flags=MS_BIND | MS_REC)
        mount("", str(NETNS), flags=MS_SHARED | MS_REC)


def make(name: str) -> None:
    """Make a network namespace and pin it at /run/netns/`name`.

    Raises
    ------
    StateError
        If something of that name is there.
    OSError
        If the kernel refuses.
    """
    _share_directory()
    path = NETNS / name
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o444))
    except FileExistsError:
        raise StateError(f"{path} is there already", "run  fqdnlab clean") from None

    def pin() -> None:
        unshare(CLONE_NEWNET)
        mount("/proc/thread-self/ns/net", str(path), flags=MS_BIND)

    try:
        _in_a_thread(pin)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def remove(name: str) -> None:
    """Unpin the namespace; the kernel frees it with its last process.  Idempotent."""
    path = NETNS / name
    with suppress(OSError):  # not mounted
        umount(str(path), MNT_DETACH)
    path.unlink(missing_ok=True)


def names(prefix: str) -> list[str]:
    """Names of pinned namespaces that begin with `prefix`."""
    return sorted(p.name for p in NETNS.glob(f"{prefix}*")) if NETNS.is_dir() else []


def identity(name: str) -> tuple[int, int] | None:
    """Device and inode that tell a pinned namespace from all others; None if there is none."""
    try:
        found = os.stat(NETNS / name)
        folder = os.stat(NETNS)
    except FileNotFoundError:
        return None
    # The same device: only the file that it was pinned on is left, as after a start of the machine.
    return None if found.st_dev == folder.st_dev else (found.st_dev, found.st_ino)


def inside(name: str, function: Callable[[], T]) -> T:
    """Call `function` in a thread that is in the network namespace `name`; return its result.

    Raises
    ------
    StateError
        If there is no such namespace.
    """
    try:
        fd = os.open(NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StateError(f"the network namespace {name} is gone", "run  fqdnlab clean") from None

    def body() -> T:
        setns(fd, CLONE_NEWNET)
        return function()

    try:
        return _in_a_thread(body)
    finally:
        os.close(fd)
