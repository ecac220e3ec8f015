"""This process's links to a set of machines: opened when wanted, held, let go; their folder."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fqdnlab.errors import UsageError
from fqdnlab.paths import MACHINE_SOCKET
from fqdnlab.vagrant.link import Link
from fqdnlab.vagrant.site import Site, machine_names

__all__ = ["Links"]

_OURS = "fqdnlab-ssh-"
_ALL = (*machine_names(2), "client")


class Links:
    """Links to the machines of `site`, one a machine; safe in threads.

    Parameters
    ----------
    site : Site
    ssh_config : callable
        Asks for the ssh configuration of a machine, which takes seconds.
    """

    def __init__(self, site: Site, ssh_config: Callable[[str], str]) -> None:
        self.site = site
        self._ssh_config = ssh_config
        self._links: dict[str, Link] = {}
        self._lock = threading.Lock()
        # each is opened by one thread at a time, and several machines' side by side
        self._opening = {machine: threading.RLock() for machine in _ALL}
        self._folder: Path | None = None

    def folder(self) -> Path:
        """Of the links' sockets: short, ours alone, and gone with `close`."""
        with self._lock:
            if self._folder is None:
                _sweep()
                self._folder = Path(tempfile.mkdtemp(prefix=f"{_OURS}{os.getpid()}-", dir="/tmp"))
            return self._folder

    def link(self, machine: str) -> Link:
        """The link to a machine, opened."""
        if machine not in (*self.site.machines, "client"):
            raise UsageError(
                f"there is no machine {machine!r}", f"one of {', '.join(self.site.machines)}"
            )
        with self._opening[machine]:
            link = self._links.get(machine)
            if link is None:
                link = self._links[machine] = self._opened(machine)
            return link

    def _opened(self, machine: str) -> Link:
        saved = self._saved_config(machine)
        link = Link(self.site, machine, self.folder(), lambda: self._config(machine))
        if saved.exists():
            link.expect(saved.read_text())
        try:
            link.open()
            link.forward("machine", str(MACHINE_SOCKET))
        except BaseException:
            link.close()
            raise
        return link

    def held(self, machine: str) -> Link | None:
        """The link to a machine, if there is one already."""
        return self._links.get(machine)

    def known(self, machine: str) -> bool:
        """Whether there is a link to it, or it is known where one would lead."""
        return machine in self._links or self._saved_config(machine).exists()

    def let_go(self, machine: str) -> None:
        """Close the link to one machine, which is not where it was any more."""
        with self._opening[machine]:
            link = self._links.pop(machine, None)
            if link is not None:
                link.close()
            self._saved_config(machine).unlink(missing_ok=True)

    def _saved_config(self, machine: str) -> Path:
        """What `vagrant ssh-config` said last."""
        return self.site.dotfiles / f"fqdnlab-ssh-{machine}"

    def _config(self, machine: str) -> str:
        text = self._ssh_config(machine)
        with suppress(OSError):
            self._saved_config(machine).write_text(text)
        return text

    def close(self) -> None:
        """Let go of all machines; they go on."""
        for machine in list(self._links):
            with self._opening[machine]:
                link = self._links.pop(machine, None)
                if link is not None:
                    link.close()
        with self._lock:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def forget(self) -> None:
        """Let go of them for good, as after `destroy`: where they were is not theirs any more."""
        self.close()
        for machine in _ALL:
            self._saved_config(machine).unlink(missing_ok=True)


def _sweep() -> None:
    """Remove the folders of links whose process was killed."""
    for folder in Path("/tmp").glob(f"{_OURS}*-*"):  # noqa: S108
        pid = folder.name.removeprefix(_OURS).partition("-")[0]
        with suppress(OSError):
            if folder.stat().st_uid == os.getuid() and not Path("/proc", pid).exists():
                shutil.rmtree(folder, ignore_errors=True)
