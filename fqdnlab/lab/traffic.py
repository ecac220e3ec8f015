"""Traffic of an endpoint: started, counted, stopped."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from fqdnlab.errors import UsageError
from fqdnlab.lab.traffic_client import SOURCE

if TYPE_CHECKING:
    from fqdnlab.lab.endpoint import Endpoint

__all__ = ["Counts", "Kind", "Traffic"]

Kind = Literal["connect", "reuse", "hold", "look-up"]
_MOST_RATE = 2000.0


@dataclass(frozen=True)
class Counts:
    """What was done so far.

    Attributes
    ----------
    started : int
        Attempts.
    ok, failed : int
        ``hold``: pieces that came, and 1 once the connection has ended.
    last : str
        The address last reached, or the last error.
    longest_gap : float
        ``hold``: seconds without a piece, at most (one is sent each 0.2 s).
    """

    started: int = 0
    ok: int = 0
    failed: int = 0
    last: str = ""
    longest_gap: float = 0.0


class Traffic:
    """Runs until it is stopped; made by `Endpoint.traffic`.

    Parameters
    ----------
    endpoint : Endpoint
    kind : {"connect", "reuse", "hold", "look-up"}
        Look up and connect each time; look up once and connect to that address again and again;
        one connection that is held; look up alone.
    name : str
    port : int
    rate : float
        Attempts per second.
    seconds : float
        It stops by itself after that; 0: never.

    Raises
    ------
    UsageError
        If one of these cannot be.
    """

    def __init__(
        self, endpoint: Endpoint, kind: Kind, name: str, port: int, rate: float, seconds: float
    ) -> None:
        if kind not in get_args(Kind):
            raise UsageError(f"no traffic {kind!r}", f"one of {', '.join(get_args(Kind))}")
        if not 0 < rate <= _MOST_RATE:
            raise UsageError(
                f"a rate of {rate:g}/s cannot be", f"more than 0, at most {_MOST_RATE:g}"
            )
        self.endpoint, self.kind, self.name, self.port, self.rate = endpoint, kind, name, port, rate
        words = [kind, name, str(port), str(rate), str(seconds)]
        self._running = endpoint.popen(["python3", "-c", SOURCE, *words])

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._running.running

    def counts(self) -> Counts:
        """What was done so far; told twice a second."""
        whole = self._running.stdout.rpartition("\n")[0]
        return Counts(**_last(whole))

    def stop(self, timeout: float = 10.0) -> Counts:
        """End it; what was done in all.

        Raises
        ------
        LateError
            If it does not end in time.
        """
        if self.running:
            self._running.signal(signal.SIGTERM)
        self._running.wait(timeout)
        return self.counts()

    def wait(self, timeout: float = 60.0) -> Counts:
        """Wait until its seconds are over; what was done in all."""
        self._running.wait(timeout)
        return self.counts()

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "runs" if self.running else "ended"
        return f"<Traffic {self.endpoint.name} {self.kind} {self.name}:{self.port} {state}>"


def _last(text: str) -> dict[str, Any]:
    line = text.rpartition("\n")[2]
    found: dict[str, Any] = json.loads(line) if line else {}
    return found
