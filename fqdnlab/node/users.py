"""Who runs an endpoint's commands, and with what environment."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import NamedTuple

__all__ = ["User", "command_environment", "command_user"]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOBODY = 65534


class User(NamedTuple):
    """A user of this machine."""

    uid: int
    gid: int
    groups: list[int]
    name: str
    home: str


def command_user(uid: int, gid: int) -> User:
    """Who a lab's commands run as: its owner, or ``nobody`` where that is root."""
    if uid == 0:
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            return User(_NOBODY, _NOBODY, [], "nobody", "/")
        return User(nobody.pw_uid, nobody.pw_gid, [], "nobody", "/")
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return User(uid, gid, [], str(uid), "/")
    return User(uid, gid, os.getgrouplist(entry.pw_name, gid), entry.pw_name, entry.pw_dir)


def command_environment(user: User, ca: Path | None, wanted: dict[str, str]) -> dict[str, str]:
    """The environment of a command: nothing of ours, no proxies; the world's CA is trusted.

    Parameters
    ----------
    user : User
    ca : Path or None
        Certificate of the world's authority, where there is one.
    wanted : dict
        What the caller sets; it wins.
    """
    base = {
        "PATH": _PATH,
        "HOME": user.home,
        "USER": user.name,
        "LOGNAME": user.name,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }
    if ca is not None:
        for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            base[name] = str(ca)
    return {**base, **wanted}
