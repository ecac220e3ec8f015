"""Commands that run in an endpoint: their output as it comes, their end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import grpc

from fqdnlab.errors import LateError, UsageError
from fqdnlab.lab.calls import Peer
from fqdnlab.patience import patiently
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc

__all__ = ["Result", "Running"]


@dataclass(frozen=True)
class Result:
    """How a command ended.

    Attributes
    ----------
    argv : tuple of str
    exit : int
        Its exit status, or the negated number of the signal that ended it.
    stdout, stderr : str
    timed_out : bool
    """

    argv: tuple[str, ...]
    exit: int
    stdout: str
    stderr: str
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.exit == 0

    def __str__(self) -> str:
        return self.stdout + self.stderr


class Running:
    """A command that was started; read by a thread of its own.

    Parameters
    ----------
    node : Peer
    endpoint : str
    argv : sequence of str
    timeout : float
        Seconds after which the node service ends it; 0: never.
    env : mapping, optional
    stdin : bytes, optional
    """

    def __init__(
        self,
        node: Peer,
        endpoint: str,
        argv: Sequence[str],
        timeout: float,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> None:
        if isinstance(argv, str) or not argv:
            raise UsageError("a command is a list of words", 'say ["curl", url]')
        self.argv = tuple(argv)
        self.pid = 0
        self._changed = threading.Condition()
        self._out, self._err = bytearray(), bytearray()
        self._exit: int | None = None
        self._timed_out = False
        self._failure: Exception | None = None
        self._requests: queue.SimpleQueue[pb.RunInput | None] = queue.SimpleQueue()
        start = pb.RunStart(endpoint=endpoint, argv=self.argv, env=dict(env or {}), timeout=timeout)
        self._requests.put(pb.RunInput(start=start))
        if stdin:
            self._requests.put(pb.RunInput(stdin=stdin))
        self._requests.put(pb.RunInput(stdin_eof=True))
        self._node = node
        stub = control_pb2_grpc.NodeStub(node.channel)
        self._call = stub.Run(iter(self._requests.get, None), wait_for_ready=True)
        self._thread = threading.Thread(target=self._read, name=f"run-{endpoint}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for output in self._call:
                self._take(output)
        except grpc.RpcError as error:
            if self._exit is None:
                self._failure = self._node.error(error)
        finally:
            self._requests.put(None)
            with self._changed:
                if self._exit is None and self._failure is None:
                    self._failure = LateError("the command's end was not told")
                self._changed.notify_all()

    def _take(self, output: pb.RunOutput) -> None:
        with self._changed:
            what = output.WhichOneof("what")
            if what == "stdout":
                self._out += output.stdout
            elif what == "stderr":
                self._err += output.stderr
            elif what == "pid":
                self.pid = output.pid
            elif what == "timed_out":
                self._timed_out = True
            elif what == "exit":
                self._exit = output.exit
            self._changed.notify_all()

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return self._out.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return self._err.decode(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._exit is None and self._failure is None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._requests.put(pb.RunInput(signal=number))

    def wait_for_output(self, text: str, timeout: float = 10.0) -> str:
        """Wait until its standard output contains `text`; return what there is.

        Raises
        ------
        LateError
            If it does not come in time, or the command ends before; it says what came.
        """
        deadline = time.monotonic() + patiently(timeout)
        with self._changed:
            while text not in self.stdout:
                left = deadline - time.monotonic()
                if left <= 0 or not self.running:
                    raise LateError(
                        f"{' '.join(self.argv)[:80]}: no {text!r} "
                        f"{'in time' if self.running else 'before its end'}: "
                        f"{self.stdout[-200:]!r} {self.stderr[-300:]!r} {self._failure or ''}"
                    )
                self._changed.wait(left)
            return self.stdout

    def wait(self, timeout: float = 60.0) -> Result:
        """Wait for its end.

        Raises
        ------
        LateError
            If it has not ended by then (it goes on running).
        """
        timeout = patiently(timeout)
        with self._changed:
            if not self._changed.wait_for(lambda: not self.running, timeout):
                raise LateError(f"{' '.join(self.argv)[:80]} still runs after {timeout:g} s")
        if self._failure is not None:
            raise self._failure
        assert self._exit is not None
        return Result(self.argv, self._exit, self.stdout, self.stderr, self._timed_out)

    def lines(self) -> Iterator[str]:
        """Its output line by line, as it comes, to the end."""
        done = 0
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: b"\n" in self._out[done:] or not self.running  # noqa: B023
                )
                text = bytes(self._out[done:])
                ended = not self.running
            *whole, rest = text.split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
            done += len(text) - len(rest)
            if ended and not whole:
                if rest:
                    yield rest.decode(errors="replace")
                return
