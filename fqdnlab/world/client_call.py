"""Calls of the world's clients: a deadline on each, and errors of our own kinds."""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc

from fqdnlab.errors import FqdnlabError, LateError, UnavailableError, UsageError, let_go
from fqdnlab.pb import world_pb2_grpc

__all__ = ["Caller", "texts", "unsigned"]

_DEADLINE = 10.0  # s
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),  # octets: all questions that are kept
    ("grpc.use_local_subchannel_pool", 1),  # so that a new channel is a new connection
)


class Caller:
    """A connection to a world's control.

    Parameters
    ----------
    where : path or grpc.Channel
        The control socket, or a channel to it (which stays the caller's).
    timeout : float
        Seconds for each call.
    link : str
        What carries the socket, for messages; empty: it is the world's own.
    """

    def __init__(
        self, where: str | Path | grpc.Channel, timeout: float = _DEADLINE, link: str = ""
    ) -> None:
        self._path = None if isinstance(where, grpc.Channel) else Path(where)
        self._own: grpc.Channel | None = None
        self._timeout = timeout
        self._link = link
        self._lock = threading.Lock()
        self._closed = False
        if isinstance(where, grpc.Channel):
            self._stub = world_pb2_grpc.WorldStub(where)
        else:
            self._connect()

    def _connect(self) -> None:
        """Begin anew: a channel that found nobody would wait before it looks again."""
        # The old channel is not closed: another thread's call may be on it.
        self._own = grpc.insecure_channel(f"unix:{self._path}", options=_OPTIONS)
        self._stub = world_pb2_grpc.WorldStub(self._own)

    def close(self) -> None:
        """Give the connection back, if it is ours; nothing can be asked then.  Idempotent."""
        self._closed = True
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, request: Any) -> Any:
        if self._closed:
            raise let_go("the world")
        stub = self._stub
        try:
            return getattr(stub, method)(request, timeout=self._timeout)
        except grpc.RpcError as error:
            if self._path is None or not _found_nobody(error):
                raise self._ours(error) from None
        with self._lock:
            if self._stub is stub:
                self._connect()  # nothing was sent: to say it once more does it once
        try:
            return getattr(self._stub, method)(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._ours(error) from None

    def _ours(self, error: grpc.RpcError) -> FqdnlabError:
        if self._link and _found_nobody(error):
            return UnavailableError(
                f"{self._link} is lost: the world cannot be asked",
                "the link is made again by itself: try again",
            )
        return _ours(error, self._timeout)


def _found_nobody(error: grpc.RpcError) -> bool:
    return error.code() is grpc.StatusCode.UNAVAILABLE and "failed to connect" in (
        error.details() or ""
    )


def _ours(error: grpc.RpcError, timeout: float) -> FqdnlabError:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        try:
            told = json.loads(details)
            return UsageError(told["message"], told["remedy"])
        except (ValueError, KeyError, TypeError):
            return UsageError(details)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return LateError(f"the world did not answer in {timeout:g} s", "is it stopped?")
    return UnavailableError(f"the world does not answer: {details or code}", "restart it")


def texts(values: str | Iterable[str]) -> list[str]:
    """One text is a list of one; anything but texts (or addresses) is refused."""
    if isinstance(values, (str, ipaddress.IPv4Address, ipaddress.IPv6Address)):
        return [str(values)]
    return [str(value) for value in values]


def unsigned(what: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise UsageError(f"{what}={value!r} cannot be", "expected a whole number, 0 or more")
    return value
