"""An ssh link to a machine: sockets of it are sockets here, for as long as the link is held.

One ssh process holds the connection and all forwards (`ControlMaster`).  When it dies, the sockets
go with it, so that clients say "lost" at once, and a new one is started until it comes through.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fqdnlab.errors import FqdnlabError, LateError, SetupError, UnavailableError
from fqdnlab.patience import patiently
from fqdnlab.vagrant.programs import Background, Ended, run
from fqdnlab.vagrant.site import Site

__all__ = ["Link"]

_CONNECT_SECONDS = 20.0
_COMMAND_SECONDS = 30.0
_AGAIN_SECONDS = 0.5
_SELDOM_SECONDS = 10.0
_OPTIONS = (
    "-oBatchMode=yes",
    "-oConnectTimeout=10",
    "-oServerAliveInterval=5",
    "-oServerAliveCountMax=6",
    "-oStreamLocalBindUnlink=yes",
    "-oStreamLocalBindMask=0177",
    "-oExitOnForwardFailure=no",
    "-oCompression=no",
    "-oLogLevel=ERROR",
)


class Link:
    """A link to `machine`.

    Parameters
    ----------
    site : Site
    machine : str
    folder : Path
        For its sockets; its name must be short.
    config : callable
        Gives the text of the ssh configuration; asked anew when the link is lost.
    """

    def __init__(self, site: Site, machine: str, folder: Path, config: Callable[[], str]) -> None:
        self.machine = machine
        self._site = site
        self._folder = folder
        self._config = config
        self._control = folder / f"{machine}.ctl"
        self._file = folder / f"{machine}.cfg"
        self._forwards: dict[Path, str] = {}
        self._lock = threading.RLock()
        self._master: Background | None = None
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None
        self.lost = 0

    # ------------------------------------------------------------ life

    def expect(self, config: str) -> None:
        """Try this configuration first."""
        self._file.write_text(config)

    def open(self) -> None:
        """Connect; returns when it stands.

        Raises
        ------
        UnavailableError, LateError
            If it does not.
        """
        with self._lock:
            if self._watcher is None:
                known = self._file.exists()
                try:
                    self._connect(fresh=False)
                except (UnavailableError, LateError):
                    if not known:
                        raise
                    self._connect(fresh=True)  # it may have another address by now
                self._watcher = threading.Thread(
                    target=self._watch, name=f"link-{self.machine}", daemon=True
                )
                self._watcher.start()

    def close(self) -> None:
        """Let go; the sockets are gone then.  Idempotent."""
        self._over.set()
        with self._lock:
            if self._master is not None:
                self._master.end()
            self._remove_sockets()

    @property
    def alive(self) -> bool:
        """Whether the ssh process lives; a machine that stands still is noticed after 30 s."""
        return self._master is not None and self._master.alive

    def again(self, fresh: bool = True) -> None:
        """Connect anew, as after a restore, which leaves the far end as it was long ago.

        Parameters
        ----------
        fresh : bool
            Whether the machine's address is asked for anew, which takes seconds.
        """
        with self._lock:
            if self._master is not None:
                self._master.end()
            self._connect(fresh)

    # ------------------------------------------------------------ what it is for

    def forward(self, name: str, remote: str) -> Path:
        """A socket here for the one at `remote` there, which need not be there yet.

        Parameters
        ----------
        name : str
            Of the socket in the link's folder.
        remote : str
        """
        local = self._folder / f"{self.machine}-{name}"
        with self._lock:
            self._forwards[local] = remote
            if self.alive:
                self._tell("forward", local, remote)
        return local

    def unforward(self, local: Path) -> None:
        """Take a socket away again."""
        with self._lock:
            remote = self._forwards.pop(local, None)
            if remote is not None and self.alive:
                with suppress(UnavailableError, LateError):  # it goes with the link
                    self._tell("cancel", local, remote)
            local.unlink(missing_ok=True)

    def run(self, *words: str, timeout: float = _COMMAND_SECONDS) -> str:
        """Run a command there; what it wrote.

        Raises
        ------
        UnavailableError, LateError
            If it fails, or has not ended in time.
        """
        return _well(f"{self.machine}: {words[0]}", self._there(words, timeout))

    def _there(self, words: tuple[str, ...], timeout: float) -> Ended:
        command = [*self._ssh(), self.machine, " ".join(map(shlex.quote, words))]
        return run(command, patiently(timeout), env=self._site.env)

    def put(self, path: Path, remote: str, timeout: float = _COMMAND_SECONDS) -> None:
        """Copy a file there.  Raises as `run`."""
        ours = ("-F", str(self._file), "-o", f"ControlPath={self._control}")
        command = [*self._site.prefix, "scp", "-q", *ours, str(path), f"{self.machine}:{remote}"]
        _well(f"copy to {self.machine}", run(command, patiently(timeout), env=self._site.env))

    def drop(self) -> None:
        """Break the connection, as a lost network does; it is made again by itself."""
        master = self._master
        if master is not None:
            master.kill()

    # ------------------------------------------------------------ inner parts

    def _ssh(self, *options: str) -> list[str]:
        where = ("-F", str(self._file), "-S", str(self._control))
        return [*self._site.prefix, "ssh", *where, *_OPTIONS, *options]

    def _connect(self, fresh: bool) -> None:
        """Start the master, and have every forward again."""
        if fresh or not self._file.exists():
            self._file.write_text(self._config())
        self._control.unlink(missing_ok=True)
        self._remove_sockets()
        try:
            # `cat`, and no -N: it ends when we do, however we do, and the connection with it
            master = Background([*self._ssh("-M"), self.machine, "cat"], self._site.env)
        except OSError as error:
            raise SetupError(
                f"ssh cannot be run: {error}", "Debian: apt-get install openssh-client"
            ) from error
        try:
            self._await(master)
            for local, remote in self._forwards.items():
                self._tell("forward", local, remote)
        except BaseException:
            master.end()
            raise
        self._master = master

    def _await(self, master: Background) -> None:
        deadline = time.monotonic() + patiently(_CONNECT_SECONDS)
        while not self._control.exists():
            if self._over.is_set():
                raise UnavailableError(f"the link to {self.machine} is closed")
            if not master.alive:
                words = master.last_words() or "ssh ended"
                raise UnavailableError(
                    f"no ssh link to {self.machine}: {words}", "vagrant status; vagrant up"
                )
            if time.monotonic() > deadline:
                raise LateError(f"no ssh link to {self.machine} yet", "vagrant status")
            master.wait(0.02)

    def _tell(self, what: str, local: Path, remote: str) -> None:
        told = self._ssh("-O", what, "-L", f"{local}:{remote}")
        _well(f"ssh -O {what}", run([*told, self.machine], patiently(10.0), env=self._site.env))

    def _watch(self) -> None:
        tries = 0
        while not self._over.is_set():
            master = self._master
            if master is not None and not master.wait(0.2):
                tries = 0
                continue
            with self._lock:
                if self._over.is_set() or self._master is not master:
                    continue
                self.lost += tries == 0
                self._remove_sockets()
                # a machine that was started anew may have another address; asking takes seconds
                with suppress(FqdnlabError, OSError):
                    self._connect(fresh=tries % 5 == 3)
                    continue
            self._over.wait(min(_SELDOM_SECONDS, _AGAIN_SECONDS * 2**tries))
            tries += 1

    def _remove_sockets(self) -> None:
        for local in self._forwards:
            local.unlink(missing_ok=True)


def _well(what: str, ended: Ended) -> str:
    if ended.late:
        raise LateError(
            f"{what}: no end in time: {ended.output[-300:]}", "is the machine suspended?"
        )
    if ended.status != 0:
        raise UnavailableError(
            f"{what} failed ({ended.status}): {ended.output[-500:]}", "vagrant status"
        )
    return ended.output
