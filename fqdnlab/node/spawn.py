"""``python -m fqdnlab.node.spawn PLAN``: become the process that PLAN (JSON) describes, and exec.

The node service starts all of a lab's processes and all endpoint commands through this, because
nothing may run between fork and exec in a process that has imported gRPC.  It runs as root for a
moment: it reads nothing of the environment or the directory of the lab's user, and imports the
standard library alone.  The pid stays the same over the exec.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from fqdnlab.node import kernel
from fqdnlab.node.private import make_readable, own_files

__all__ = ["Plan", "main"]

_FAILED = 126  # as a shell: found, and could not be run
_NOT_FOUND = 127


@dataclass(frozen=True)
class Plan:
    """What is to run, and as what.

    Attributes
    ----------
    argv : list of str
        Looked up in the ``PATH`` of `env`.
    env : dict
        The whole environment.
    netns : str
        Path of a network namespace to enter; empty: stay.
    uid, gid : int
        Taken on after all else.
    groups : list of int
        Supplementary groups.
    capabilities : list of int
        Kept by a `uid` that is not 0 (linux/capability.h), and the only ones.
    private : str
        Directory with ``resolv.conf``, ``hosts``, ``nsswitch.conf`` to be seen in /etc, in a mount
        namespace of its own; empty: no such namespace.
    hostname : str
        With `private`: what the process sees as the machine's name.
    readable : list of str
        Directories that `uid` must be able to read though their parents forbid it.
    cwd : str
        Where it runs; "/" if that is not to be entered.
    """

    argv: list[str]
    env: dict[str, str]
    netns: str = ""
    uid: int = 0
    gid: int = 0
    groups: list[int] = field(default_factory=list)
    capabilities: list[int] = field(default_factory=list)
    private: str = ""
    hostname: str = ""
    readable: list[str] = field(default_factory=list)
    cwd: str = "/"

    def to_json(self) -> str:
        """One line, for the command line of the helper."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that `to_json` wrote."""
        given: dict[str, Any] = json.loads(text)
        return cls(**given)


def _become(plan: Plan) -> None:
    if plan.netns:
        fd = os.open(plan.netns, os.O_RDONLY | os.O_CLOEXEC)
        kernel.setns(fd, kernel.CLONE_NEWNET)
        os.close(fd)
    if plan.private:
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS)
        socket.sethostname(plan.hostname)
        own_files(plan.private)
    elif plan.readable:
        make_readable(plan.readable, plan.uid, plan.gid)
    if plan.uid != 0:
        _drop(plan)
    os.umask(0o022)
    try:
        os.chdir(plan.cwd)
    except OSError:
        os.chdir("/")


def _drop(plan: Plan) -> None:
    if plan.capabilities:
        kernel.keep_capabilities(plan.capabilities)
    os.setgroups(plan.groups)
    os.setresgid(plan.gid, plan.gid, plan.gid)
    os.setresuid(plan.uid, plan.uid, plan.uid)
    if plan.capabilities:
        kernel.raise_capabilities(plan.capabilities)
        kernel.no_new_privileges()


def _default_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):  # Python's own choices
        signal.signal(number, signal.SIG_DFL)


def main(arguments: list[str]) -> int:
    """Exec what the plan says; returns only on failure, with the status to exit with."""
    plan = Plan.from_json(arguments[0])
    try:
        _become(plan)
    except OSError as error:
        print(f"fqdnlab: cannot prepare {plan.argv[0]}: {error}", file=sys.stderr)
        return _FAILED
    _default_signals()
    try:
        os.execvpe(plan.argv[0], plan.argv, plan.env)  # noqa: S606  (that is what this is for)
    except FileNotFoundError:
        print(f"fqdnlab: {plan.argv[0]}: not found in {plan.env.get('PATH', '')}", file=sys.stderr)
        return _NOT_FOUND
    except OSError as error:
        print(f"fqdnlab: {plan.argv[0]}: {error.strerror}", file=sys.stderr)
    return _FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
