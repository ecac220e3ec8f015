"""``python -m fqdnlab.world --socket PATH --state DIR --ready-fd N``: the world's process.

It runs as root in the lab's world namespace, where every address is local.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
from concurrent import futures
from pathlib import Path

import grpc

from fqdnlab.errors import FqdnlabError, SetupError
from fqdnlab.leave import leave
from fqdnlab.metrics import Family, exposition, serve_metrics
from fqdnlab.pb import world_pb2_grpc
from fqdnlab.world.behaviour import TRANSPORTS
from fqdnlab.world.server import Servers
from fqdnlab.world.service import WorldService

__all__ = ["main"]

_WORKERS = 8
_GRACE = 0.5  # s for calls that run, at the end
_MESSAGE = 64 << 20  # octets: a list of all questions kept
_log = logging.getLogger("fqdnlab.world")


async def run(socket_path: Path, state: Path, ready_fd: int, metrics: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises
    ------
    FqdnlabError
        If it cannot serve.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = Servers(state)
    control = None
    stack = contextlib.ExitStack()
    try:
        control = _control(WorldService(loop, servers), socket_path)
        if metrics is not None:
            stack.enter_context(serve_metrics(metrics, lambda: exposition(_families(servers))))
        if ready_fd >= 0:
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)
        _log.info("serves on every address of its namespace; control at %s", socket_path)
        await stop.wait()
    finally:
        stack.close()
        servers.close()
        if control is not None:
            ended = control.stop(_GRACE)
            await loop.run_in_executor(None, ended.wait, 2 * _GRACE)


def _families(servers: Servers) -> list[Family]:
    """Single numbers only, so that they can be read in another thread."""
    log = servers.log
    questions = [({"transport": one}, log.transports[one]) for one in TRANSPORTS]
    return [
        Family("fqdnlab_world_questions_total", "counter", "DNS questions", questions),
        Family(
            "fqdnlab_world_malformed_total",
            "counter",
            "Messages to DNS servers that are no question",
            [({}, log.malformed_ever)],
        ),
        Family(
            "fqdnlab_world_web_requests_total",
            "counter",
            "Requests to web servers",
            [({}, log.web_requests_ever)],
        ),
    ]


def _control(service: WorldService, path: Path) -> grpc.Server:
    """Start the control service at `path`, for the owner of its directory only."""
    server = grpc.server(
        futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="grpc"),
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", _MESSAGE),
            ("grpc.max_send_message_length", _MESSAGE),
        ],
    )
    world_pb2_grpc.add_WorldServicer_to_server(service, server)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        if not server.add_insecure_port(f"unix:{path}"):
            raise SetupError(f"cannot listen at {path}")
    except RuntimeError as error:
        raise SetupError(f"cannot listen at {path}: {error}") from error
    finally:
        os.umask(before)
    owner = path.parent.stat()
    # The directory is the user's: no link that is put in the socket's place is followed.
    os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    server.start()
    return server


def main(arguments: list[str] | None = None) -> int:
    """Run the process; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m fqdnlab.world", description=__doc__)
    parser.add_argument("--lab", default="", help="for the log only")
    parser.add_argument("--socket", required=True, type=Path)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--metrics", type=Path, help="serve Prometheus metrics on this socket")
    given = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.set_threshold(50_000, 20, 50)  # answers make no cycles
    try:
        asyncio.run(run(given.socket, given.state, given.ready_fd, given.metrics))
    except (FqdnlabError, OSError) as error:
        _log.error("%s", error)
        return 1
    finally:
        with contextlib.suppress(FileNotFoundError):
            given.socket.unlink()
    return 0


if __name__ == "__main__":
    leave(main())
