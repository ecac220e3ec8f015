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

__all__ = ["Peer", "error_from"]

T = TypeVar("T")
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
    """

    def __init__(self, path: Path, who: str, remedy: str) -> None:
        self._path = path
        self._who = who
        self._remedy = remedy
        self.channel = grpc.insecure_channel(f"unix:{path}", options=_OPTIONS)

    def listens(self) -> bool:
        """Whether somebody accepts connections at its socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._path))
            except OSError:
                return False
        return True

    def call(self, method: Callable[..., T], request: Any, timeout: float = 10.0) -> T:
        """Call `method`; once more, if the channel is only still waiting to connect again.

        Raises
        ------
        UnavailableError, LateError, UsageError, StateError
        """
        end = time.monotonic() + timeout
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or not self.listens():
                raise error_from(error, self._who, self._remedy) from error
        try:
            left = max(0.1, end - time.monotonic())
            return method(request, timeout=left, wait_for_ready=True)
        except grpc.RpcError as error:
            raise error_from(error, self._who, self._remedy) from error

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()
