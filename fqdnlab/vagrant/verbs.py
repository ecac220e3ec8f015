"""Vagrant's verbs, each with a time limit and its failures in words."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from fqdnlab.errors import FqdnlabError, LateError, SetupError, UnavailableError, UsageError
from fqdnlab.patience import patiently
from fqdnlab.vagrant.programs import Ended, run
from fqdnlab.vagrant.site import Site

__all__ = ["BusyError", "Vagrant", "explained", "parsed_status"]


class BusyError(UnavailableError):
    """Another Vagrant is at work on a machine."""


#: Seconds that a verb may take on a machine of our own, at most.
_LIMITS = {"up": 300.0, "halt": 90.0, "destroy": 90.0, "snapshot": 90.0, "suspend": 90.0}
_LIMITS |= {"resume": 120.0, "status": 60.0, "ssh-config": 60.0, "provision": 300.0}
_LOCKED_SECONDS = 10.0
_LOCKED = "another Vagrant process is currently reading or modifying the machine"
_MADE_SECONDS = 1800.0  # of `up` where a box of hundreds of MB may have to be fetched first

#: What Vagrant says → (whose fault it is, in our words, what to do).
_KNOWN: tuple[tuple[str, type[FqdnlabError], str, str], ...] = (
    (
        "could not be accessed in the remote catalog",
        SetupError,
        "the box is not here",
        "`make box` and FQDNLAB_BOX (vagrant/README.md), or go online once",
    ),
    (
        "couldn't be found on this machine or any remote",
        SetupError,
        "the box is not here",
        "`make box` and FQDNLAB_BOX (vagrant/README.md), or go online once",
    ),
    (
        "could not be found, but was requested",
        SetupError,
        "Vagrant has no such provider here",
        "install vagrant-libvirt with libvirt, or VirtualBox",
    ),
    (
        "No usable default provider",
        SetupError,
        "Vagrant has no provider here",
        "install vagrant-libvirt with libvirt, or VirtualBox",
    ),
    (
        "Error while connecting to Libvirt",
        SetupError,
        "libvirt does not answer",
        "start libvirtd, or vagrant/private-libvirt start DIR and FQDNLAB_VAGRANT_PREFIX",
    ),
    (
        "Call to virConnectOpen failed",
        SetupError,
        "libvirt does not answer",
        "start libvirtd, or vagrant/private-libvirt start DIR and FQDNLAB_VAGRANT_PREFIX",
    ),
    (
        "private-libvirt: none runs",
        SetupError,
        "libvirt does not run",
        "vagrant/private-libvirt start DIR",
    ),
    (
        "is already taken",
        SetupError,
        "this libvirt has machines of these names, made from another folder",
        "one set a host: `fqdnlab vagrant destroy` there, or `virsh undefine` what is left of it",
    ),
    (
        _LOCKED,
        BusyError,
        "another vagrant is at work on these machines",
        "wait for its end",
    ),
    (
        "process is already executing an action",
        BusyError,
        "another vagrant is at work on these machines",
        "wait for its end",
    ),
    (
        "Timed out while waiting for the machine to boot",
        LateError,
        "a machine is half up",
        "FQDNLAB_PATIENCE=4 on a slow host; else `vagrant destroy` it and try again",
    ),
    (
        "Insufficient memory",
        SetupError,
        "there is not enough memory",
        "FQDNLAB_MEMORY=512, and destroy what was made with more",
    ),
    (
        "The snapshot name",
        UsageError,
        "no snapshot of that name",
        "lab.snapshots() lists them",
    ),
)
_PREFIX = re.compile(r"(?m)^(==>)? *(internet|node2?|client): ")


def explained(verb: str, ended: Ended) -> FqdnlabError:
    """The error for a verb that failed; pure."""
    tail = "\n".join(ended.output.splitlines()[-12:])
    if ended.late:
        return LateError(
            f"vagrant {verb} was given up:\n{tail}",
            "look with `vagrant status`; a machine that is half up: `vagrant destroy` it. "
            "FQDNLAB_PATIENCE=4 gives a slow host more time",
        )
    said = _unwrapped(ended.output)
    for sign, kind, message, remedy in _KNOWN:
        if sign in said:
            return kind(f"vagrant {verb}: {message}:\n{tail}", remedy)
    return UnavailableError(f"vagrant {verb} failed ({ended.status}):\n{tail}", "vagrant status")


def _unwrapped(output: str) -> str:
    """One line: Vagrant wraps its own, and each may begin with the machine's name."""
    return " ".join(_PREFIX.sub("", output).replace("\\n", " ").split())


def _is_locked(ended: Ended) -> bool:
    return ended.status != 0 and not ended.late and _LOCKED in _unwrapped(ended.output)


def parsed_status(text: str) -> dict[str, str]:
    """Machine → state, from ``vagrant status --machine-readable``; pure."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(",")
        if len(parts) >= 4 and parts[2] == "state":
            found[parts[1]] = parts[3]
    return found


class Vagrant:
    """Vagrant, in the folder of `site`.

    Parameters
    ----------
    site : Site
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def do(
        self,
        verb: str,
        *words: str,
        on_line: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
        limit: float = 0.0,
    ) -> str:
        """Run a verb; what it wrote.

        Parameters
        ----------
        verb, *words : str
        on_line : callable, optional
            Told each line.
        env : mapping, optional
            More for its environment.
        limit : float
            Seconds that it may take on a machine of our own; 0: as is usual for it.

        Raises
        ------
        SetupError, UnavailableError, LateError, UsageError
            If it fails, by what it said.
        """
        limit = limit or _LIMITS.get(verb, 60.0)
        ended = self._run(verb, words, on_line, env or {}, limit)
        # a client that lost its link may be asking, for a moment, where the machine is now
        deadline = time.monotonic() + patiently(_LOCKED_SECONDS)
        while _is_locked(ended) and time.monotonic() < deadline:
            time.sleep(0.5)
            ended = self._run(verb, words, on_line, env or {}, limit)
        if ended.status != 0 or ended.late:
            raise explained(verb, ended)
        return ended.output

    def status(self) -> dict[str, str]:
        """Machine → ``running``, ``shutoff``, ``saved``, ``poweroff``, ``not_created`` …"""
        return parsed_status(self.do("status", "--machine-readable"))

    def up(
        self,
        machines: Sequence[str],
        on_line: Callable[[str], None] | None = None,
        made: bool = False,
    ) -> None:
        """Make (if some are to be `made`), start or wake machines, side by side if possible."""
        self.do("up", *machines, on_line=on_line, limit=_MADE_SECONDS if made else 0.0)

    def ssh_config(self, machine: str) -> str:
        """The configuration of ssh for a machine that runs."""
        return self.do("ssh-config", machine)

    def snapshots(self, machine: str) -> tuple[str, ...]:
        """Names of the machine's snapshots, oldest first."""
        said = self.do("snapshot", "list", machine).splitlines()
        return tuple(w.strip() for w in said if w.strip() and not w.startswith("==>"))

    def _run(
        self,
        verb: str,
        words: Sequence[str],
        on_line: Callable[[str], None] | None,
        more: Mapping[str, str],
        limit: float,
    ) -> Ended:
        site = self._site
        command = [*site.prefix, "vagrant", verb, *words]
        try:
            return run(
                command,
                patiently(limit),
                env={**site.env, **more},
                cwd=site.folder,
                on_line=on_line,
            )
        except OSError as error:
            self._no_vagrant(error)

    def _no_vagrant(self, error: OSError) -> NoReturn:
        raise SetupError(f"vagrant cannot be run: {error}", "vagrant/README.md") from error
