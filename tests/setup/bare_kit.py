"""A bare Debian 12 to be set up: a root of its own, in namespaces that have no network.

It is made once from Debian's packages (which needs the network) and kept in the cache.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from fqdnlab.vagrant.box import cache

_MADE_SECONDS = 300
_BIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: `sh -c` in fresh namespaces: ROOT, the folder that is seen at /bundle, then the command.
_ENTER = """\
set -e
root=$1 bundle=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/bundle"
mount --bind "$bundle" "$root/bundle"
ip link set lo up
exec chroot "$root" env -i HOME=/root LANG=C.UTF-8 PATH="$PATH" "$@"
"""


def unpack(to: Path) -> None:
    """Have a minimal Debian 12 in `to`, which is made."""
    kept = cache() / "bare-bookworm.tar"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        made = subprocess.run(
            ["mmdebstrap", "--quiet", "--format=tar", "--variant=minbase", "bookworm", part],
            capture_output=True, text=True, timeout=_MADE_SECONDS,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        part.rename(kept)
    to.mkdir()
    subprocess.run(["tar", "-C", to, "-xf", kept], check=True, timeout=60)


def run_bare(
    root: Path, bundle: Path, *command: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `command` in `root` with `bundle` at /bundle; nothing it starts outlives it."""
    apart = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]
    apart += ["--fork", "--kill-child", "--propagation", "private"]
    return subprocess.run(
        [*apart, "sh", "-c", _ENTER, "sh", root, bundle, *command],
        env={**os.environ, "PATH": _BIN}, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
