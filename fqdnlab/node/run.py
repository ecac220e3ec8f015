"""Commands in endpoints: one call of Node.Run from its first message to the exit status."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress

from fqdnlab.errors import UsageError
from fqdnlab.node.plan import Plan
from fqdnlab.node.processes import Piped, launch_piped
from fqdnlab.pb import control_pb2

__all__ = ["Command"]

_CHUNK = 65536
_END_SECONDS = 5.0
_DRAIN_SECONDS = 0.2  # for what is in the pipes when the command has ended


class Command:
    """A command that runs; iterate over `outputs` to the end, whatever happens.

    Parameters
    ----------
    plan : Plan
        The command with its namespaces and user.
    timeout : float
        Seconds after which its process group is killed; 0: none.
    """

    def __init__(self, plan: Plan, timeout: float) -> None:
        self._piped: Piped = launch_piped(plan)
        self._deadline = time.monotonic() + timeout if timeout > 0 else None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._cancelled = False
        self._stdin_lock = threading.Lock()
        self._stdin_open = True
        self._done = False

    # ------------------------------------------------------------ from the client

    def cancel(self) -> None:
        """The client is gone: kill the command.  Any thread."""
        self._cancelled = True
        with self._stdin_lock:
            if not self._done:
                os.write(self._wake_write, b"x")

    def end(self) -> None:
        """Kill the command, and see that it is dead.  Any thread."""
        self.cancel()
        self._signal_group(signal.SIGKILL)
        self._piped.process.wait(_END_SECONDS)

    def feed(self, inputs: Iterable[control_pb2.RunInput]) -> None:
        """Hand input and signals to the command until there are no more; in a thread of its own."""
        for one in inputs:
            kind = one.WhichOneof("what")
            if kind == "stdin":
                self._write(one.stdin)
            elif kind == "stdin_eof":
                self._close_stdin()
            elif kind == "signal":
                self._signal_group(one.signal)
        self._close_stdin()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._stdin_open:
            try:  # waits while the command does not read, and ends with it
                view = view[os.write(self._piped.stdin.fileno(), view) :]
            except (OSError, ValueError):  # it reads no more
                return

    def _close_stdin(self) -> None:
        with self._stdin_lock:
            if self._stdin_open:
                self._stdin_open = False
                with suppress(OSError):
                    self._piped.stdin.close()

    def _signal_group(self, number: int) -> None:
        """The helper is the leader of a session, so its pid is the process group's."""
        if not 1 <= number < signal.NSIG:
            raise UsageError(f"no signal {number}")
        if self._piped.process.status is not None:
            return  # reaped: its number may be another's by now
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._piped.process.pid, number)

    # ------------------------------------------------------------ to the client

    def outputs(self) -> Iterator[control_pb2.RunOutput]:
        """Pid, then output as it comes, then the exit status."""
        process = self._piped.process
        try:
            yield control_pb2.RunOutput(pid=process.pid)
            timed_out = yield from self._pump()
            # What it left in the background ends with it: nothing runs that nobody reads.
            self._signal_group(signal.SIGKILL)
            if timed_out:
                yield control_pb2.RunOutput(timed_out=True)
            process.wait(None)
            status = process.status
            yield control_pb2.RunOutput(exit=0 if status is None else status)
        finally:
            self._signal_group(signal.SIGKILL)
            process.wait(None)
            self._close()

    def _pump(self) -> Generator[control_pb2.RunOutput, None, bool]:
        """Output until the command has ended and its pipes are empty; returns "timed out"."""
        process = self._piped.process
        pipes = {self._piped.stdout.fileno(): "stdout", self._piped.stderr.fileno(): "stderr"}
        poll = select.poll()
        for fd in (*pipes, process.fileno(), self._wake_read):
            poll.register(fd, select.POLLIN)
        deadline, ended, timed_out = self._deadline, False, False
        while pipes or not ended:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            events = [fd for fd, _ in poll.poll(None if left is None else left * 1000)]
            for fd in [fd for fd in events if fd in pipes]:
                data = os.read(fd, _CHUNK)
                if data:
                    if pipes[fd] == "stdout":
                        yield control_pb2.RunOutput(stdout=data)
                    else:
                        yield control_pb2.RunOutput(stderr=data)
                else:
                    poll.unregister(fd)
                    del pipes[fd]
            if self._cancelled:
                break
            if not ended and process.fileno() in events:
                poll.unregister(process.fileno())
                ended, deadline = True, time.monotonic() + _DRAIN_SECONDS
            elif deadline is not None and time.monotonic() >= deadline and not events:
                if ended:
                    break
                timed_out, deadline = True, None
                self._signal_group(signal.SIGKILL)
        return timed_out

    def _close(self) -> None:
        self._close_stdin()
        self._piped.stdout.close()
        self._piped.stderr.close()
        with self._stdin_lock:
            self._done = True
            os.close(self._wake_read)
            os.close(self._wake_write)
