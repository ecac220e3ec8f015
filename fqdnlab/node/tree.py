"""A lab's directories and its bpffs: made before anything else, removed after all else."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from fqdnlab.node.kernel import MNT_DETACH, MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, umount
from fqdnlab.paths import PROXY_GID, PROXY_UID, RUN, LabPaths

__all__ = ["make_tree", "mounted", "remove_tree"]

#: The proxy may make sockets of its own beside those of root, but not exchange root's (sticky).
_PROXY_MODE = 0o1770


def _directory(path: Path, mode: int, uid: int = 0, gid: int = 0) -> None:
    path.mkdir(mode=mode, exist_ok=True)
    os.chown(path, uid, gid, follow_symlinks=False)
    os.chmod(path, mode)  # whatever the umask


def make_tree(paths: LabPaths, uid: int, gid: int) -> None:
    """Make what is missing of the lab's directories, for the user `uid`; mount its bpffs.

    Raises
    ------
    OSError
        If that cannot be done; it names the path.
    """
    RUN.mkdir(mode=0o755, exist_ok=True)
    os.chmod(RUN, 0o755)  # noqa: S103  (everybody reaches machine.sock)
    _directory(paths.root.parent, 0o711)
    _directory(paths.root, 0o711)
    _directory(paths.client, 0o700, uid, gid)
    for process in ("node", "agent", "observer", "world"):
        _directory(paths.state(process), 0o700)
    _directory(paths.proxy, _PROXY_MODE, 0, PROXY_GID)
    _directory(paths.proxy_state, 0o700, PROXY_UID, PROXY_GID)
    _directory(paths.metrics_socket("agent").parent, 0o700)
    _directory(paths.log("agent").parent, 0o750, 0, gid)
    _directory(paths.root / "resolv", 0o755)
    _directory(paths.bpf, 0o700)
    if not mounted(paths.bpf):
        mount("bpf", str(paths.bpf), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700")


def mounted(path: Path) -> bool:
    """Whether something is mounted at `path`."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(path) for line in lines)


def remove_tree(paths: LabPaths) -> None:
    """Unmount the bpffs (what is pinned there goes with it) and remove the directories."""
    while mounted(paths.bpf):
        umount(str(paths.bpf), MNT_DETACH)
    for top in (paths.client, paths.root):
        with suppress(FileNotFoundError):
            shutil.rmtree(top)
