"""The agent's process: ``python -m fqdnlab.agent --lab NAME`` in the node's network namespace."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import socket
import sys
import threading
from concurrent import futures
from contextlib import ExitStack
from pathlib import Path

import grpc

from fqdnlab.agent.control import AgentControl
from fqdnlab.agent.fqdndata import FQDNData
from fqdnlab.agent.gauges import families
from fqdnlab.agent.kernel import UPLINK, Kernel
from fqdnlab.agent.schedule import Schedule, boottime
from fqdnlab.agent.service import Core
from fqdnlab.agent.state import AgentState
from fqdnlab.agent.store import Store
from fqdnlab.errors import FqdnlabError, SetupError
from fqdnlab.leave import leave
from fqdnlab.metrics import exposition, serve_metrics
from fqdnlab.model.settings import LabSettings
from fqdnlab.paths import PROXY_GID, LabPaths
from fqdnlab.pb import control_pb2_grpc, fqdndata_pb2_grpc

_log = logging.getLogger("fqdnlab.agent")
#: Cilium's standalone-dns-proxy-server-port, inside the node's namespace, for Cilium's own proxy.
FQDNDATA_TCP = "127.0.0.1:10095"
_WORKERS = 32
_GRACE = 0.2  # s for calls that run, at the end
#: 200 endpoints with 1,000 patterns each.
_MESSAGE = 256 << 20


def serve(
    lab: str, index: int, settings: LabSettings, ready_fd: int, stop: threading.Event
) -> None:
    """Run until `stop` is set, as the agent of the lab's node `index`.

    Raises
    ------
    FqdnlabError
        If the kernel or the sockets are not to be had.
    """
    paths = LabPaths(lab)
    with ExitStack() as stack:
        kernel = Kernel(paths, settings)
        stack.callback(kernel.close)
        kernel.attach_uplink(socket.if_nametoindex(UPLINK))
        schedule = Schedule(settings.collection_interval, settings.time_scale, settings.hold)
        state = AgentState(settings, index)
        core = Core(state, kernel, Store(paths.state("agent")), paths.rules_file, schedule)
        gc.disable()  # a hundred thousand mappings come to stay: nothing to look for among them
        core.start()
        gc.freeze()
        gc.enable()
        stack.callback(core.close)
        for server in (_control_server(core, paths), _proxy_server(core, schedule, paths)):
            stack.callback(_stop, server)
        stack.callback(core.publisher.close)
        stack.enter_context(
            serve_metrics(paths.metrics_socket("agent"), lambda: exposition(families(core)))
        )
        for target, name in ((_collect, "collection"), (_tell, "rules")):
            thread = threading.Thread(target=target, args=(core, stop), name=name)
            thread.start()
            stack.callback(thread.join)
        if ready_fd >= 0:
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)
        _log.info("lab %s: serving, attached by %s", lab, kernel.attached)
        stop.wait()


def _control_server(core: Core, paths: LabPaths) -> grpc.Server:
    """For the lab's owner and the node service; proxies have a server of their own."""
    server = _server("control")
    control_pb2_grpc.add_AgentServicer_to_server(AgentControl(core), server)
    owner = paths.client.stat()
    _listen(server, paths.agent_socket, owner.st_uid, owner.st_gid, 0o600)
    server.start()
    return server


def _proxy_server(core: Core, schedule: Schedule, paths: LabPaths) -> grpc.Server:
    """FQDNData alone: a proxy, or who else is in the node's namespace, sets no policy."""
    server = _server("proxies")
    fqdndata_pb2_grpc.add_FQDNDataServicer_to_server(FQDNData(core, schedule.begin), server)
    _listen(server, paths.fqdndata_socket, 0, PROXY_GID, 0o660)
    if not server.add_insecure_port(FQDNDATA_TCP):
        raise SetupError(f"cannot listen at {FQDNDATA_TCP} in the node's namespace")
    server.start()
    return server


def _server(name: str) -> grpc.Server:
    return grpc.server(
        futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix=name),
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", _MESSAGE),
            ("grpc.max_send_message_length", _MESSAGE),
        ],
    )


def _stop(server: grpc.Server) -> None:
    server.stop(_GRACE).wait(_GRACE + 2.0)


def _listen(server: grpc.Server, path: Path, uid: int, gid: int, mode: int) -> None:
    path.unlink(missing_ok=True)
    before = os.umask(0o777 & ~mode)
    try:
        if not server.add_insecure_port(f"unix:{path}"):
            raise SetupError(f"cannot listen at {path}")
    finally:
        os.umask(before)
    # The directory may be the user's: no link that is put in the socket's place is followed.
    os.chown(path, uid, gid, follow_symlinks=False)


def _collect(core: Core, stop: threading.Event) -> None:
    """Passes on schedule, once the mappings kept by a proxy are in (or none ever will be)."""
    schedule = core.schedule
    while not stop.wait(0.02):
        if not schedule.begun:
            if core.publisher.connected and schedule.age_ns > schedule.interval_ns:
                schedule.begin()  # a proxy that keeps nothing: Cilium's own
            continue
        if boottime() < schedule.next_pass():
            continue
        try:
            core.collect()
        except (FqdnlabError, OSError):
            _log.exception("collection")
        schedule.passed()


def _tell(core: Core, stop: threading.Event) -> None:
    while not stop.is_set():
        core.write_rules_if_stale(0.1)


def main(arguments: list[str] | None = None) -> int:
    """Run the process; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m fqdnlab.agent", description=__doc__)
    parser.add_argument("--lab", required=True)
    parser.add_argument("--index", type=int, default=1, help="of the node")
    parser.add_argument("--settings", default="{}", help="JSON, see fqdnlab.model.settings")
    parser.add_argument("--ready-fd", type=int, default=-1)
    given = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = LabSettings.from_json(given.settings)
        serve(given.lab, given.index, settings, given.ready_fd, stop)
    except (FqdnlabError, ValueError, OSError) as error:
        stop.set()
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    leave(main())
