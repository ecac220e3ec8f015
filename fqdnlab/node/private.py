"""What a process sees of the file system in a mount namespace of its own; standard library only.

`spawn` calls this as root, before it takes on another uid.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from fqdnlab.node.kernel import (
    CLONE_NEWNS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SLAVE,
    mount,
    unshare,
)

__all__ = ["make_readable", "own_files", "unreachable"]

#: Where name services that would answer in the resolver's place have their sockets.
_HIDDEN = (
    "/run/systemd/resolve",
    "/run/nscd",
    "/var/run/nscd",
    "/run/avahi-daemon",
    "/run/dbus",
    "/run/sssd",
    "/var/lib/sss/pipes",
    "/run/user",
)
_PLACED = {"/etc/resolv.conf": True, "/etc/hosts": False, "/etc/nsswitch.conf": False}
_SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC


def own_files(source: str) -> None:
    """Hide name services; put the files of `source` over those in /etc; a /sys of this netns.

    Called in a new mount namespace.

    Raises
    ------
    OSError
        If that cannot be done: a command that could reach the machine's resolver must not run.
    """
    mount("", "/", flags=MS_REC | MS_SLAVE)
    made: list[Path] = []
    for name in _HIDDEN:
        path = Path(os.path.realpath(name))
        if path.is_dir() and path not in made:
            mount("tmpfs", str(path), "tmpfs", _SAFE, "size=64k,mode=755")
            made.append(path)
    for name, needed in _PLACED.items():
        _place(Path(source, Path(name).name), name, needed, made)
    try:
        mount("sysfs", "/sys", "sysfs", _SAFE | MS_RDONLY)
    except OSError as error:
        if error.errno != errno.EBUSY:  # a whole machine's namespace: this one is there already
            raise


def _place(source: Path, name: str, needed: bool, made: list[Path]) -> None:
    target = Path(os.path.realpath(name))
    if not target.exists():
        if any(target.is_relative_to(path) for path in made):  # a stub in what is hidden now
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        elif needed:
            raise OSError(f"{name} is not there: make an empty one")
        else:
            return
    mount(str(source), str(target), flags=MS_BIND)


def unreachable(path: str, uid: int, gid: int) -> str:
    """The first directory on the way to `path` that `uid` may not pass; empty if there is none."""
    way = Path(os.path.realpath(path))
    for part in (*reversed(way.parents), way):
        found = part.stat()
        shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
        if stat.S_ISDIR(found.st_mode) and not found.st_mode >> shift & 1:
            return str(part)
    return ""


def make_readable(directories: list[str], uid: int, gid: int) -> None:
    """Make `directories` readable for `uid` though a parent (a home of 0700) forbids it.

    In a new mount namespace, an empty file system is laid over such a parent, with nothing in it
    but the way to the directories, read-only.  Nothing is done where nothing is in the way.
    """
    blocked = {d: unreachable(d, uid, gid) for d in map(os.path.realpath, directories)}
    if not any(blocked.values()):
        return
    unshare(CLONE_NEWNS)
    mount("", "/", flags=MS_REC | MS_SLAVE)
    held = {d: os.open(d, os.O_PATH | os.O_CLOEXEC) for d in blocked}
    for top in sorted(set(filter(None, blocked.values()))):
        mount("tmpfs", top, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=755")
    for directory, fd in held.items():
        if blocked[directory]:
            os.makedirs(directory, mode=0o755, exist_ok=True)
            mount(f"/proc/self/fd/{fd}", directory, flags=MS_BIND)
            flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV
            mount("", directory, flags=flags)
        os.close(fd)
