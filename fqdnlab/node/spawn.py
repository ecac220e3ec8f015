"""``python -m fqdnlab.node.spawn PLAN``: become the process that PLAN (JSON) describes, and exec.

The node service starts all of a lab's processes and all endpoint commands through this, because
nothing may run between fork and exec in a process that has imported gRPC.  It runs as root for a
moment: it reads nothing of the environment or the directory of the lab's user.  It imports little,
as it stands before every command: each module costs a millisecond.  The pid stays the same over
the exec.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from fqdnlab.node import kernel
from fqdnlab.node.private import make_readable, own_files

__all__ = ["main"]

_FAILED = 126  # as a shell: found, and could not be run
_NOT_FOUND = 127


TYPE_CHECKING = False  # typing's own costs 4 ms
if TYPE_CHECKING:
    from fqdnlab.node.plan import Plan


class _Given:
    """A `plan.Plan` as it came: what that imports would take longer than all else here."""

    def __init__(self, text: str) -> None:
        self.__dict__.update(json.loads(text))


def _become(plan: Plan) -> None:
    if plan.netns:
        fd = os.open(plan.netns, os.O_RDONLY | os.O_CLOEXEC)
        kernel.setns(fd, kernel.CLONE_NEWNET)
        os.close(fd)
    if plan.private:
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS)
        kernel.sethostname(plan.hostname)
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
    plan: Plan = _Given(arguments[0])  # type: ignore[assignment]
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
