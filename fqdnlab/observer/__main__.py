"""``python -m fqdnlab.observer --lab L --settings JSON --ready-fd N``: the observer's process.

It needs the lab's pins (the agent made them), not the agent.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import secrets
import signal
import sys
import threading
from concurrent import futures
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

import fqdnlab
from fqdnlab.datapath.events import RingReader
from fqdnlab.datapath.maps import Maps
from fqdnlab.errors import FqdnlabError, SetupError
from fqdnlab.leave import leave
from fqdnlab.metrics import Family, exposition, serve_metrics
from fqdnlab.model.place import node_name
from fqdnlab.model.settings import LabSettings
from fqdnlab.observer.context import Clock, Context
from fqdnlab.observer.counters import Counters, families
from fqdnlab.observer.decode import Decoder
from fqdnlab.observer.history import History
from fqdnlab.observer.identities import kernel_identity
from fqdnlab.observer.intake import Intake
from fqdnlab.observer.journal import Journal
from fqdnlab.observer.names import NameHistory
from fqdnlab.observer.records import RecordReader
from fqdnlab.observer.rules import RulesFile
from fqdnlab.observer.service import ObserverService
from fqdnlab.observer.sockets import bind_records
from fqdnlab.paths import PROXY_GID, LabPaths

__all__ = ["main"]

_CLUSTER = "fqdnlab"
_WORKERS = 64  # calls at once; each follower holds one
_GRACE = 1.0  # s for calls that run, at the end
_log = logging.getLogger("fqdnlab.observer")


class Observer:
    """Everything of one observer; `run` returns when it was told to stop."""

    def __init__(self, lab: str, settings: LabSettings, paths: LabPaths, index: int = 1) -> None:
        self._paths = paths
        self._clock = Clock()
        self._names = NameHistory(settings.time_scale, settings.min_ttl)
        self._rules = RulesFile(paths.rules_file, self._clock.to_boottime)
        self._history = History(settings.flow_history)
        self._counters = Counters()
        other = f"-{node_name(index)}" if index > 1 else ""
        self._node_name = f"{_CLUSTER}/{lab}{other}"
        self._intake: Intake | None = None
        self._stopped = False

    def stop(self, *_: object) -> None:
        """End `run`; a signal handler."""
        self._stopped = True
        if self._intake is not None:
            self._intake.stop()

    def run(self, ready_fd: int) -> None:
        """Serve until `stop`.

        Raises
        ------
        FqdnlabError
            If another observer reads the ring buffer, or the maps are not pinned.
        """
        with ExitStack() as stack:
            intake, reader, maps = self._open(stack)
            service = ObserverService(
                self._history,
                self._decoder(maps),
                f"fqdnlab {fqdnlab.__version__}",
                f"unix://{self._paths.observer_socket}",
                intake.settle,
            )
            stack.callback(_stop_server, _serve(service, self._paths.observer_socket))
            stack.callback(self._history.close)  # ends the followers first
            thread = threading.Thread(target=intake.run, args=(reader,), name="intake")
            thread.start()
            _log.info("%s serves at %s", self._node_name, self._paths.observer_socket)
            _say_ready(ready_fd)
            thread.join()
            if not self._stopped:
                raise SetupError("the reader of the ring buffer ended", "see the lines above")

    def _decoder(self, maps: Maps) -> Decoder:
        context = Context(
            self._rules,
            self._names,
            self._clock,
            self._node_name,
            secrets.randbits(48),
            lambda address: kernel_identity(maps, address),
        )
        return Decoder(context)

    def _open(self, stack: ExitStack) -> tuple[Intake, RingReader, Maps]:
        if not (self._paths.bpf / "events").exists():
            raise SetupError(
                f"the lab's maps are not pinned in {self._paths.bpf}", "start its agent once"
            )
        state = self._paths.state("observer")
        state.mkdir(mode=0o700, exist_ok=True)
        held: list[Intake] = []
        reader = RingReader(self._paths.bpf, state / "reader.lock", lambda raw: held[0].sample(raw))
        stack.callback(reader.close)
        journal = Journal(state / "names.jsonl", self._names)  # under the reader's lock
        maps = stack.enter_context(Maps(self._paths.bpf))
        records = stack.enter_context(bind_records(self._paths.records_socket, PROXY_GID))
        stack.callback(_remove_own, self._paths.records_socket)
        intake = Intake(
            self._history,
            self._counters,
            RecordReader(self._counters, self._names),
            records,
            maps.lost_events,
            state / "lost",
            lambda: self._tick(journal),
            self._clock.boottime,
        )
        stack.callback(intake.close)
        held.append(intake)
        self._intake = intake
        if self._stopped:
            intake.stop()
        self._rules.refresh()
        self._follow_time()

        def render() -> str:
            self._rules.refresh()
            indices = range(1, self._rules.highest + 1)
            return exposition([*families(self._counters, maps, indices), *self._gauges()])

        stack.enter_context(serve_metrics(self._paths.metrics_socket("observer"), render))
        return intake, reader, maps

    def _gauges(self) -> list[Family]:
        def one(name: str, kind: str, text: str, value: int) -> Family:
            return Family(f"fqdnlab_observer_{name}", kind, text, [({}, value)])

        return [
            one("history_flows", "gauge", "Flows kept", len(self._history)),
            one("named_addresses", "gauge", "Addresses of endpoints with a name", len(self._names)),
            one("rules_faults_total", "counter", "Unreadable rules files", self._rules.faults),
        ]

    def _follow_time(self) -> None:
        clock = self._rules.latest.clock
        if clock is not None:
            self._names.follow(clock)

    def _tick(self, journal: Journal) -> None:
        journal.write()
        self._clock.refresh()
        self._rules.refresh()
        self._follow_time()


def _serve(service: ObserverService, path: Path) -> grpc.Server:
    """Start Hubble's services at `path`, for the owner of its directory only."""
    server = grpc.server(
        futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="grpc"),
        options=[("grpc.so_reuseport", 0)],
        maximum_concurrent_rpcs=_WORKERS,
    )
    server.add_generic_rpc_handlers(service.handlers())
    healthy = health.HealthServicer()
    for name in ("", "hubble.server.Observer", "observer.Observer"):  # the CLI asks the second
        healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        if not server.add_insecure_port(f"unix:{path}"):
            raise SetupError(f"cannot listen at {path}")
    finally:
        os.umask(before)
    owner = path.parent.stat()
    # The directory is the user's: no link that is put in the socket's place is followed.
    os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    server.start()
    return server


def _stop_server(server: grpc.Server) -> None:
    server.stop(_GRACE).wait(_GRACE + 2.0)


def _remove_own(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


def _say_ready(fd: int) -> None:
    if fd >= 0:
        os.write(fd, b"ready\n")
        os.close(fd)


def main(arguments: list[str] | None = None) -> int:
    """Run the process; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m fqdnlab.observer", description=__doc__)
    parser.add_argument("--lab", required=True)
    parser.add_argument("--index", type=int, default=1, help="of the node")
    parser.add_argument("--settings", default="{}", help="JSON, see fqdnlab.model.settings")
    parser.add_argument("--ready-fd", type=int, default=-1)
    given = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    gc.set_threshold(50_000, 20, 50)  # slots make no cycles; looking for them costs a tenth
    try:
        settings = LabSettings.from_json(given.settings)
        observer = Observer(given.lab, settings, LabPaths(given.lab), given.index)
        signal.signal(signal.SIGTERM, observer.stop)
        signal.signal(signal.SIGINT, observer.stop)
        observer.run(given.ready_fd)
    except (FqdnlabError, ValueError, OSError) as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    leave(main())
