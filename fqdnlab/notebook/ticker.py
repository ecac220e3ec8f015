"""A thread of a panel that does something again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

__all__ = ["Ticker"]

_log = logging.getLogger(__name__)


class Ticker:
    """Calls `body` every `seconds` until it is stopped, or until `body` returns False.

    Parameters
    ----------
    name : str
    seconds : float
    body : callable
        What it raises is logged, and it is called again.
    """

    def __init__(self, name: str, seconds: float, body: Callable[[], bool | None]) -> None:
        self._seconds, self._body = seconds, body
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def stop(self) -> None:
        """End it; a call that is under way comes to its end."""
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                if self._body() is False:
                    return
            except Exception:
                _log.exception("%s failed; it goes on", self._thread.name)
