"""All of a lab's metrics on one loopback port of the machine."""

from __future__ import annotations

import http.client
import http.server
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from fqdnlab.metrics import CONTENT_TYPE, Family, Serving, exposition
from fqdnlab.patience import patiently

__all__ = ["Port", "gather", "merge", "read_all"]

_SECONDS = 2.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=patiently(_SECONDS))
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _scrape(path: Path) -> str | None:
    connection = _UnixConnection(path)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == 200 else None
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return None
    finally:
        connection.close()


def merge(texts: Mapping[str, str]) -> str:
    """Expositions of several processes as one: each family once, its series together.

    Parameters
    ----------
    texts : dict
        Name of the process → Prometheus text.
    """
    heads: dict[str, list[str]] = {}
    series: dict[str, list[str]] = {}
    for text in texts.values():
        family = ""
        fresh = False
        for line in text.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                name = line.split(maxsplit=3)[2]
                if name != family:
                    family, fresh = name, name not in heads
                    heads.setdefault(name, [])
                    series.setdefault(name, [])
                if fresh:
                    heads[name].append(line)
            elif line and not line.startswith("#"):
                series.setdefault(family, []).append(line)
                heads.setdefault(family, [])
    return "".join(f"{line}\n" for name in heads for line in (*heads[name], *series[name]))


def read_all(sockets: Mapping[str, tuple[Path, ...]]) -> dict[str, str]:
    """The metrics of every process that answers.

    Parameters
    ----------
    sockets : dict
        Name of the process → where its socket may be.
    """
    texts: dict[str, str] = {}
    for name, paths in sockets.items():
        for path in paths:
            text = _scrape(path) if path.exists() else None
            if text is not None:
                texts[name] = text
                break
    return texts


def gather(sockets: Mapping[str, tuple[Path, ...]]) -> str:
    """The metrics of every process that answers, and who does, as one; see `read_all`."""
    texts = read_all(sockets)
    up = [({"process": name}, float(name in texts)) for name in sockets]
    own = Family("fqdnlab_process_answers", "gauge", "Whether a process tells its metrics", up)
    return merge({"node": exposition([own]), **texts})


class Port:
    """Serves what `render` returns on a loopback port; close it at the end."""

    def __init__(self, render: Callable[[], str]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = patiently(_SECONDS)

            def do_GET(self) -> None:
                body = render().encode()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: a scrape is no event."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.timeout = 0.0
        self._serving = Serving(self._server, "metrics-port")

    @property
    def number(self) -> int:
        """The TCP port."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving."""
        self._serving.end()
