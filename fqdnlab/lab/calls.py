"""gRPC calls with a deadline each, and errors in words."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc

from fqdnlab import errors
from fqdnlab.errors import FqdnlabError, LateError, StateError, UnavailableError, UsageError
from fqdnlab.lab.times import earlier
from fqdnlab.patience import patiently

__all__ = ["Peer", "error_from"]

T = TypeVar("T")
_PROBE_SECONDS = 1.0
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.max_receive_message_length", 256 << 20),
    ("grpc.enable_retries", 0),
]


def error_from(error: grpc.RpcError, who: str, remedy: str) -> FqdnlabError:
    """The typed error for what a call raised: the service's own, where it names one."""
    code, details = error.code(), error.details() or ""
    told: dict[str, Any] = {m.key: m.value for m in error.trailing_metadata() or ()}
    kind = getattr(errors, str(told.get("error", "")), None)
    if isinstance(kind, type) and issubclass(kind, FqdnlabError):
        return kind(details, bytes(told.get("remedy-bin", b"")).decode())
    if code == grpc.StatusCode.UNAVAILABLE:
        return UnavailableError(f"{who} is dead or unreachable", remedy)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return LateError(f"{who} did not answer in time (stopped?)", remedy)
    if code in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
    ):
        return UsageError(details)
    return StateError(f"{who}: {code.name}: {details}")


class Peer:
    """One service of the lab, on its Unix socket.

    Parameters
    ----------
    path : Path
    who : str
        For messages.
    remedy : str
        What to do when it is dead.
    link : str
        What carries the socket, for messages; empty: it is the service's own.
    ahead : callable, optional
        Gives the seconds by which the service's wall clock is ahead of ours; replies are told in
        our time.
    """

    def __init__(
        self,
        path: Path,
        who: str,
        remedy: str,
        link: str = "",
        ahead: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._path = path
        self._who = who
        self._remedy = remedy
        self._link = link
        self.ahead = ahead
        self._channel = grpc.insecure_channel(f"unix:{path}", options=_OPTIONS)
        self._closed = False

    @property
    def channel(self) -> grpc.Channel:
        """To the service.  Raises as `held`."""
        self.held()
        return self._channel

    def held(self) -> None:
        """Raise UsageError after `close`."""
        if self._closed:
            raise errors.let_go(self._who)

    def listens(self) -> bool:
        """Whether somebody accepts connections at its socket, at the far end of a link too."""
        try:
            with self._probe() as probe:
                # A link accepts for a dead service, and closes; a living one speaks first (HTTP/2).
                return not self._link or probe.recv(1) != b""
        except TimeoutError:  # it hangs
            return True
        except OSError:
            return False

    def _linked(self) -> bool:
        try:
            self._probe().close()
        except OSError:
            return False
        return True

    def _probe(self) -> socket.socket:
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            probe.settimeout(patiently(_PROBE_SECONDS))
            probe.connect(str(self._path))
        except BaseException:
            probe.close()
            raise
        return probe

    def call(self, method: Callable[..., T], request: Any, timeout: float = 10.0) -> T:
        """Call `method`; once more, if the channel is only still waiting to connect again.

        Parameters
        ----------
        timeout : float
            Seconds on a machine of our own (`fqdnlab.patience`).

        Raises
        ------
        UnavailableError, LateError, UsageError, StateError
        """
        self.held()
        timeout = patiently(timeout)
        end = time.monotonic() + timeout
        try:
            return self._in_our_time(method(request, timeout=timeout))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or not self.listens():
                raise self.error(error) from error
        try:
            left = max(0.1, end - time.monotonic())
            return self._in_our_time(method(request, timeout=left, wait_for_ready=True))
        except grpc.RpcError as error:
            raise self.error(error) from error

    def _in_our_time(self, reply: T) -> T:
        earlier(reply, self.ahead())
        return reply

    def error(self, error: grpc.RpcError) -> FqdnlabError:
        """The typed error for what a call raised: a lost link, where that is why."""
        lost = self._link and error.code() == grpc.StatusCode.UNAVAILABLE and not self._linked()
        if lost:
            return UnavailableError(
                f"{self._link} is lost: {self._who} cannot be asked",
                "nothing more is known of it; the link is made again by itself: try again",
            )
        return error_from(error, self._who, self._remedy)

    def close(self) -> None:
        """Close the channel.  Idempotent."""
        self._closed = True
        self._channel.close()
