"""The proxy's process: ``python -m fqdnlab.dns.proxy --lab NAME --generation G --socks-fd N``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import ExitStack

import uvloop

from fqdnlab.dns.proxy.server import Proxy
from fqdnlab.errors import FqdnlabError
from fqdnlab.metrics import exposition, serve_metrics
from fqdnlab.model.settings import LabSettings
from fqdnlab.paths import LabPaths

_log = logging.getLogger("fqdnlab.dns.proxy")


async def serve(
    lab: str, settings: LabSettings, generation: int, socks_fd: int, ready_fd: int
) -> None:
    """Run one generation to its end."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    paths = LabPaths(lab)
    proxy = Proxy(loop, paths, settings, generation, socks_fd)

    def ready() -> None:
        if ready_fd >= 0:
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)
        _log.info("lab %s: generation %d serves", lab, generation)

    with ExitStack() as stack:
        socket = paths.proxy / "metrics.sock"
        stack.enter_context(serve_metrics(socket, lambda: exposition(proxy.families())))
        await proxy.run(ready, stop)


def main(arguments: list[str] | None = None) -> int:
    """Run the process; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m fqdnlab.dns.proxy", description=__doc__)
    parser.add_argument("--lab", required=True)
    parser.add_argument("--settings", default="{}", help="JSON, see fqdnlab.model.settings")
    parser.add_argument("--generation", type=int, default=1)
    parser.add_argument("--socks-fd", type=int, required=True, help="of the pinned map dns_socks")
    parser.add_argument("--ready-fd", type=int, default=-1)
    given = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    gc.set_threshold(50_000, 20, 50)  # transactions make no cycles
    try:
        settings = LabSettings.from_json(given.settings)
        uvloop.run(serve(given.lab, settings, given.generation, given.socks_fd, given.ready_fd))
    except (FqdnlabError, ValueError, OSError) as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
