"""``python -m fqdnlab.node --lab L --settings JSON --uid U --gid G``: a lab's node service.

SIGTERM takes the lab down; SIGKILL leaves it up, and the next node service adopts it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from concurrent import futures
from contextlib import suppress

import grpc

from fqdnlab.errors import FqdnlabError, SetupError
from fqdnlab.leave import leave
from fqdnlab.model.place import Place
from fqdnlab.model.settings import LabSettings
from fqdnlab.node.commands import Lab
from fqdnlab.node.node import Node
from fqdnlab.node.service import NodeService
from fqdnlab.node.state import EndpointRecord
from fqdnlab.patience import patiently
from fqdnlab.pb import control_pb2_grpc

__all__ = ["main"]

_WORKERS = 256  # calls at once; each running command holds one
_GRACE = 1.0
_log = logging.getLogger("fqdnlab.node")


def _serve(node: Node, service: NodeService) -> grpc.Server:
    server = grpc.server(
        futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="grpc"),
        options=[("grpc.so_reuseport", 0)],
    )
    control_pb2_grpc.add_NodeServicer_to_server(service, server)
    # Bound where only root may write, then moved: nothing of the user's is followed.
    path, bound = node.lab.paths.node_socket, node.lab.paths.state("node") / "node.sock"
    bound.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        if not server.add_insecure_port(f"unix:{bound}"):
            raise SetupError(f"cannot listen at {bound}")
    finally:
        os.umask(before)
    os.chown(bound, node.lab.uid, node.lab.gid, follow_symlinks=False)
    os.replace(bound, path)
    server.start()
    return server


def _say(fd: int, text: str) -> None:
    if fd >= 0:
        with suppress(BrokenPipeError):  # who started us is gone: the lab is up all the same
            os.write(fd, text.encode() + b"\n")
        os.close(fd)


def _run(lab: Lab, endpoint: EndpointRecord | None, ready_fd: int) -> int:
    node = Node(lab, endpoint)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.ask_down())
    try:
        node.open()
        service = NodeService(node)
        server = _serve(node, service)
    except (FqdnlabError, OSError) as error:
        _log.error("%s", error)
        if node.adopted:
            node.leave()
        else:
            node.shut_down()
        remedy = error.remedy if isinstance(error, FqdnlabError) else ""
        message = error.message if isinstance(error, FqdnlabError) else str(error)
        fault = {"error": type(error).__name__, "message": message, "remedy": remedy}
        _say(ready_fd, json.dumps(fault))
        return 1
    _say(ready_fd, "ready")
    _log.info("lab %s is up", lab.name)
    node.wait()
    node.shut_down()
    service.end_commands()
    server.stop(patiently(_GRACE)).wait(patiently(_GRACE) + 2.0)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the process; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m fqdnlab.node", description=__doc__)
    parser.add_argument("--lab", required=True)
    parser.add_argument("--settings", default="{}", help="JSON, see fqdnlab.model.settings")
    parser.add_argument("--place", default="{}", help="JSON, see fqdnlab.model.place")
    parser.add_argument("--endpoint", default="null", help="JSON: which one a client is to be")
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--gid", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, default=-1)
    given = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    settings = LabSettings.from_json(given.settings)
    place = Place.from_json(given.place)
    wanted = json.loads(given.endpoint)
    endpoint = EndpointRecord(**wanted) if wanted is not None else None
    lab = Lab(given.lab, settings, given.uid, given.gid, place)
    return _run(lab, endpoint, given.ready_fd)


if __name__ == "__main__":
    leave(main())
