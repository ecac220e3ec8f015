"""Prometheus metrics over HTTP on a Unix socket: one socket a process, the text format, no more.

A process keeps its own counters as it likes and gives a function that makes families of them
when somebody asks; nothing is paid for metrics between two scrapes.
"""

from __future__ import annotations

import http.server
import os
import select
import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["CONTENT_TYPE", "Family", "MetricsServer", "Serving", "exposition", "serve_metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Family(NamedTuple):
    """One metric with all its series.

    Attributes
    ----------
    name : str
        With the ``_total`` of a counter.
    kind : str
        ``counter``, ``gauge`` or ``histogram``.
    text : str
        Help, one line.
    series : iterable of (labels, value) or (suffix, labels, value)
        The longer form is for histograms: ``_bucket``, ``_sum``, ``_count``.
    """

    name: str
    kind: str
    text: str
    series: Iterable[tuple[Mapping[str, str], float] | tuple[str, Mapping[str, str], float]]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def exposition(families: Iterable[Family]) -> str:
    """The families in Prometheus' text format 0.0.4.

    Parameters
    ----------
    families : iterable of Family
    """
    lines: list[str] = []
    for family in families:
        words = family.text.replace("\\", r"\\").replace("\n", r"\n")
        lines.append(f"# HELP {family.name} {words}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for one in family.series:
            suffix, labels, value = one if len(one) == 3 else ("", *one)
            inner = ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items())
            braces = f"{{{inner}}}" if inner else ""
            lines.append(f"{family.name}{suffix}{braces} {_number(value)}")
    return "\n".join(lines) + "\n"


class Serving:
    """A thread that serves `server` and ends at once when asked: `serve_forever` looks twice a
    second whether it should, and every process of a lab would be that late.
    """

    def __init__(self, server: socketserver.TCPServer, name: str) -> None:
        self._server = server
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._server.fileno(), select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while self._wake_read not in dict(poll.poll()):
            self._server.handle_request()

    def end(self) -> bool:
        """End it and close the server; whether it was not ended before."""
        if not self._thread.is_alive():
            return False
        os.write(self._wake_write, b"x")
        self._thread.join()
        self._server.server_close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        return True


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = 5.0  # seconds: a client that says nothing holds no thread

    def do_GET(self) -> None:
        """Answer any path with the metrics."""
        try:
            body = self.server.render().encode()
            status = 200
        except Exception as error:  # a scrape must say what is wrong, and end no process
            body, status = f"metrics failed: {error!r}\n".encode(), 500
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Say nothing: a scrape is no event."""


class MetricsServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves `render` until closed; a context manager."""

    daemon_threads = True
    timeout = 0.0  # of handle_request: it is called when somebody knocks

    def __init__(self, path: Path, render: Callable[[], str], mode: int) -> None:
        self.render = render
        self._path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        super().__init__(str(fresh), _Handler)
        os.chmod(fresh, mode)
        fresh.replace(path)  # takes the place of what a killed predecessor left
        self._identity = self._inode()
        self._serving = Serving(self, "metrics")

    def _inode(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Stop; remove the socket unless a successor has put its own there.  Idempotent."""
        if self._serving.end() and self._inode() == self._identity:
            self._path.unlink(missing_ok=True)

    def __exit__(self, *_: object) -> None:
        self.close()


def serve_metrics(path: Path, render: Callable[[], str], *, mode: int = 0o600) -> MetricsServer:
    """Serve what `render` returns at `path`, in threads of its own.

    Parameters
    ----------
    path : Path
        Of the socket; one that a dead process left there is replaced.
    render : callable
        Makes the text (see `exposition`); called in a thread of the server.
    mode : int
        Of the socket.

    Returns
    -------
    MetricsServer
        Close it at the end.

    Raises
    ------
    OSError
        If the socket cannot be made.
    """
    return MetricsServer(path, render, mode)
