"""A client's programs of its own: the one user of subprocess beside the node's."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["foreground"]

_END_SECONDS = 20.0


def foreground(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a program that has the terminal; it gets our SIGTERM and SIGHUP, and Ctrl-C by itself.

    Returns
    -------
    int
        Its exit status, or the negated number of the signal that ended it.
    """
    with subprocess.Popen(command, env=dict(env)) as child, _passed_on(child):
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the terminal has told it too, and it may ask whether it is meant
            except BaseException:
                child.terminate()
                try:
                    child.wait(_END_SECONDS)
                except subprocess.TimeoutExpired:
                    child.kill()
                raise


@contextmanager
def _passed_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
