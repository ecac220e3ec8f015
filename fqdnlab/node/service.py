"""fqdnlab.v1.Node: what clients ask of the node service, and how errors travel."""

# ruff: noqa: N802  (gRPC names the methods)

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc

import fqdnlab
from fqdnlab.errors import (
    ConflictError,
    FqdnlabError,
    SetupError,
    StateError,
    UnavailableError,
    UsageError,
)
from fqdnlab.node.commands import capture_plan
from fqdnlab.node.evidence import read_evidence
from fqdnlab.node.metrics import read_all
from fqdnlab.node.node import Node
from fqdnlab.node.plan import Plan
from fqdnlab.node.processes import clean_environment
from fqdnlab.node.run import Command
from fqdnlab.node.supervisor import Slot
from fqdnlab.node.users import command_environment, command_user
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc

__all__ = ["NodeService", "status_code"]

T = TypeVar("T")

#: Not UNAVAILABLE or DEADLINE_EXCEEDED for our own: those say that the node service itself is dead
#: or late, and a client may call again.
_CODES: tuple[tuple[type[FqdnlabError], grpc.StatusCode], ...] = (
    (UsageError, grpc.StatusCode.INVALID_ARGUMENT),
    (UnavailableError, grpc.StatusCode.ABORTED),
    (ConflictError, grpc.StatusCode.ALREADY_EXISTS),
    (SetupError, grpc.StatusCode.FAILED_PRECONDITION),
    (StateError, grpc.StatusCode.DATA_LOSS),
)


def status_code(error: FqdnlabError) -> grpc.StatusCode:
    """The gRPC code for `error`.

    Its class travels as trailing metadata ``error``, its remedy as ``remedy-bin`` (UTF-8).
    """
    return next((c for kind, c in _CODES if isinstance(error, kind)), grpc.StatusCode.UNKNOWN)


def _abort(context: grpc.ServicerContext, error: FqdnlabError | OSError) -> None:
    if isinstance(error, FqdnlabError):
        trailer = (
            ("error", type(error).__name__),
            ("remedy-bin", error.remedy.encode()),
        )
        context.set_trailing_metadata(trailer)
        context.abort(status_code(error), error.message)
    context.abort(grpc.StatusCode.INTERNAL, str(error))


def _typed(method: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(method)
    def call(self: Any, request: Any, context: grpc.ServicerContext) -> T:
        try:
            return method(self, request, context)
        except (FqdnlabError, OSError) as error:
            _abort(context, error)
            raise

    return call


def _last_exit(slot: Slot) -> str:
    """How the last one ended; asked of a child itself, its watcher may note it a moment later."""
    current = slot.current
    if current is not None and current.status is not None:
        return current.last_words
    return slot.last_exit


def _process_state(slot: Slot) -> list[pb.ProcessState]:
    current, phase = slot.current, slot.phase
    states = [
        pb.ProcessState(
            name=slot.name,
            pid=current.pid if current is not None and phase != "dead" else 0,
            state=phase,
            generation=slot.generation,
            since=slot.since,
            restarts=max(0, slot.generation - 1),
            last_exit=_last_exit(slot),
        )
    ]
    for generation, old in list(slot.draining):
        if not old.alive:  # who watches it has not come round to it
            continue
        states.append(
            pb.ProcessState(name=slot.name, pid=old.pid, state="draining", generation=generation)
        )
    return states


class NodeService(control_pb2_grpc.NodeServicer):  # type: ignore[misc]
    """The service; everything is done by `node`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._commands: set[Command] = set()

    def end_commands(self) -> None:
        """End what still runs: a machine that leaves its lab has no namespace that tells it."""
        for command in list(self._commands):
            command.end()

    @_typed
    def Status(self, request: pb.NodeStatusRequest, context: object) -> pb.NodeStatus:
        node, state = self._node, self._node.file.state
        processes = [
            pb.ProcessState(
                name="node",
                pid=state.node_pid,
                state="running",
                generation=state.node_starts,
                since=node.since,
                restarts=max(0, state.node_starts - 1),
            )
        ]
        for slot in node.supervisor.slots.values():
            processes += _process_state(slot)
        return pb.NodeStatus(
            lab=node.lab.name,
            node=node.lab.place.name,
            process=processes,
            endpoint=node.endpoints.messages(),
            settings=node.lab.settings.to_json(),
            metrics_port=node.metrics_port,
            attach=node.lab.settings.attach,
            version=fqdnlab.__version__,
            started=state.since,
            sentence=sentence(processes),
        )

    @_typed
    def CreateEndpoint(self, request: pb.Endpoint, context: object) -> pb.Endpoint:
        return self._node.endpoints.message(self._node.endpoints.create(request))

    @_typed
    def DeleteEndpoint(self, request: pb.Endpoint, context: object) -> pb.Endpoint:
        endpoints = self._node.endpoints
        return endpoints.message(endpoints.delete(request.name))

    @_typed
    def ListEndpoints(self, request: object, context: object) -> pb.EndpointList:
        return pb.EndpointList(endpoint=self._node.endpoints.messages())

    @_typed
    def Fault(self, request: pb.FaultRequest, context: object) -> pb.FaultReply:
        note = self._node.faults.do(request.process, request.action, request.timeout)
        slot = self._node.supervisor.slot(request.process)
        return pb.FaultReply(process=_process_state(slot)[0], note=note)

    @_typed
    def ListFaults(self, request: object, context: object) -> pb.ListFaultsReply:
        with self._node.file.lock:
            entries = list(self._node.file.state.faults)
        return pb.ListFaultsReply(
            fault=[
                pb.FaultRecord(
                    time=e.time,
                    process=e.process,
                    action=e.action,
                    pid=e.pid,
                    generation=e.generation,
                    note=e.note,
                )
                for e in entries
            ]
        )

    @_typed
    def Evidence(self, request: object, context: object) -> pb.EvidenceReply:
        lab = self._node.lab
        return read_evidence(lab.paths, self._node.endpoints.messages(), lab.place.processes)

    @_typed
    def Metrics(self, request: object, context: object) -> pb.MetricsReply:
        sockets = self._node.metrics_sockets()
        texts = read_all(sockets)
        return pb.MetricsReply(
            process=[pb.ProcessMetrics(process=name, text=text) for name, text in texts.items()],
            silent=[name for name in sockets if name not in texts],
        )

    @_typed
    def Shutdown(self, request: object, context: object) -> pb.ShutdownReply:
        self._node.shut_down()
        return pb.ShutdownReply()

    def Run(
        self, request_iterator: Iterator[pb.RunInput], context: grpc.ServicerContext
    ) -> Iterator[pb.RunOutput]:
        try:
            command = self._command(next(request_iterator, None))
        except (FqdnlabError, OSError) as error:
            _abort(context, error)
            raise
        if not context.add_callback(command.cancel):
            command.cancel()
        feeder = threading.Thread(
            target=_feed, args=(command, request_iterator), name="stdin", daemon=True
        )
        feeder.start()
        self._commands.add(command)
        try:
            yield from command.outputs()
        finally:
            self._commands.discard(command)

    def _command(self, first: pb.RunInput | None) -> Command:
        if first is None or first.WhichOneof("what") != "start":
            raise UsageError("the first message of Run must say what to start")
        start, node = first.start, self._node
        record = node.endpoints.get(start.endpoint)
        namespace, link = node.inside(record)
        if start.capture:
            plan = capture_plan(namespace, link, clean_environment())
            return Command(plan, start.timeout)
        if not start.argv:
            raise UsageError("the first message of Run must say what to start")
        user = command_user(node.lab.uid, node.lab.gid)
        plan = Plan(
            argv=list(start.argv),
            env=command_environment(user, node.trusted(), dict(start.env)),
            netns=namespace,
            uid=user.uid,
            gid=user.gid,
            groups=user.groups,
            private=str(node.endpoints.files(record.name)),
            hostname=record.name,
            cwd=start.cwd or user.home,
        )
        return Command(plan, start.timeout)


def _feed(command: Command, inputs: Iterator[pb.RunInput]) -> None:
    try:
        command.feed(inputs)
    except (grpc.RpcError, UsageError):  # the client is gone, or sent nonsense
        command.cancel()
    except Exception:  # gRPC ends the iterator of a cancelled call with a bare Exception
        command.cancel()


def sentence(processes: list[pb.ProcessState]) -> str:
    """What is going on, in words."""
    odd = [p for p in processes if p.state not in ("running", "draining")]
    if not odd:
        return "all processes run"
    words = [
        f"{p.name} is {p.state}" + (f" ({p.last_exit})" if p.state == "dead" else "") for p in odd
    ]
    return "; ".join(words)
