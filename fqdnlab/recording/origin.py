"""Where a recording comes from: kernel, versions, and the commit of this very code."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fqdnlab

__all__ = ["commit", "kernel", "versions"]

_PACKAGES = ("grpcio", "pandas", "protobuf", "pyroute2", "dnslib")
_HASH = re.compile(r"[0-9a-f]{40,64}")


def kernel() -> str:
    """``Linux 6.18.0``."""
    return f"{platform.system()} {platform.release()}"


def versions() -> dict[str, str]:
    """Python's and those of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit(root: Path | None = None) -> str:
    """The commit that is checked out where this code lies; '' where it was installed.

    Read from git's files, so that no program is run for it.
    """
    top = (root or Path(fqdnlab.__file__).resolve().parents[1]) / ".git"
    try:
        if top.is_file():  # a work tree of its own: "gitdir: PATH"
            top = Path(top.read_text().partition(":")[2].strip())
        head = (top / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head if _HASH.fullmatch(head) else ""
        name = head.partition(":")[2].strip()
        common = top / "commondir"
        if common.exists():
            top = (top / common.read_text().strip()).resolve()
        if (top / name).exists():
            return (top / name).read_text().strip()
        packed = (top / "packed-refs").read_text().splitlines()
        return next(line.split()[0] for line in packed if line.endswith(f" {name}"))
    except (OSError, StopIteration, IndexError):
        return ""
