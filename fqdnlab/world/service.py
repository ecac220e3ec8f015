"""gRPC control of the world: calls come in threads, and are done on the event loop, one by one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import ipaddress
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc

from fqdnlab.dns.dnslib_codec import rdata_to_text, type_word
from fqdnlab.errors import UsageError
from fqdnlab.pb import world_pb2, world_pb2_grpc
from fqdnlab.world.behaviour import Behaviour
from fqdnlab.world.http import WebState
from fqdnlab.world.server import Servers
from fqdnlab.world.store import Edit, packed_address
from fqdnlab.world.wire import CNAME, name_text, name_wire

__all__ = ["WorldService"]

T = TypeVar("T")
_PATIENCE = 30.0  # s for the event loop
_REPEATED = ("wrong", "wrong_addresses", "extra", "types", "transports")


class WorldService(world_pb2_grpc.WorldServicer):  # type: ignore[misc]
    """The service `fqdnlab.world.v1.World`.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        That of `servers`; it runs in another thread.
    servers : Servers
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, servers: Servers) -> None:
        self._loop = loop
        self._servers = servers

    def _do(self, context: grpc.ServicerContext, work: Callable[[], T]) -> T:
        """Do `work` on the loop; a UsageError of it becomes INVALID_ARGUMENT with its remedy."""
        done: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            if not done.set_running_or_notify_cancel():
                return  # nobody waits any more: nothing is changed
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        try:
            return done.result(_PATIENCE)
        except UsageError as error:
            text = json.dumps({"message": error.message, "remedy": error.remedy})
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        except TimeoutError:
            done.cancel()
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the world's event loop is busy")

    # ------------------------------------------------------------ names

    def Change(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Do all changes, or none."""
        edits = [_edit(change) for change in request.changes]

        def work() -> int:
            revision = self._servers.store.apply(edits)
            self._servers.responder.changed()
            return revision

        return world_pb2.ChangeReply(revision=self._do(context, work))

    def List(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Names and their records."""

        def work() -> Any:
            store = self._servers.store
            reply = world_pb2.ListReply(revision=store.revision)
            for server, name, node in store.sets(request.name, request.server):
                text = name_text(name)
                if not node:
                    reply.empty.append(text)
                for kind, records in node.items():
                    reply.sets.add(
                        name=text,
                        type=type_word(kind),
                        ttl=records.ttl,
                        values=[_value(kind, rdata) for rdata in records.rdata],
                        server=server,
                    )
            return reply

        return self._do(context, work)

    # ------------------------------------------------------------ behaviours

    def SetFault(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Set one behaviour; the reply lists all."""

        def work() -> Any:
            behaviour = _behaviour(request.behaviour)
            self._servers.behaviours.put(request.name, request.server, behaviour)
            return self._faults()

        return self._do(context, work)

    def ClearFaults(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Take behaviours away; the reply lists what is left."""

        def work() -> Any:
            self._servers.behaviours.clear(request.name, request.server)
            if not request.name and not request.server:
                self._servers.clear_web()
            return self._faults()

        return self._do(context, work)

    def _faults(self) -> Any:
        reply = world_pb2.FaultReply()
        for name, server, behaviour in self._servers.behaviours:
            reply.faults.add(
                name=name,
                server=server,
                behaviour=world_pb2.Behaviour(
                    **{
                        one.name: getattr(behaviour, one.name)
                        for one in dataclasses.fields(behaviour)
                        if one.compare
                    }
                ),
            )
        return reply

    def SetWeb(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Set how a web server behaves; the reply lists all that are not normal."""

        def work() -> Any:
            state = WebState(request.state or "on", request.delay, request.status)
            self._servers.set_web(request.address, state)
            reply = world_pb2.WebReply()
            for address, one in self._servers.webs.items():
                reply.webs.add(address=address, state=one.state, delay=one.delay, status=one.status)
            return reply

        return self._do(context, work)

    def Listen(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Serve the web on one more port."""

        def work() -> Any:
            self._servers.listen(request.port, request.tls)
            ports = self._servers.ports.items()
            return world_pb2.ListenReply(
                plain=sorted(port for port, tls in ports if not tls),
                tls=sorted(port for port, tls in ports if tls),
            )

        return self._do(context, work)

    # ------------------------------------------------------------ what was asked

    def Queries(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The questions after one."""

        def work() -> Any:
            log = self._servers.log
            name = name_wire(request.name) if request.name else None
            server = packed_address(request.server) if request.server else None
            entries = [
                entry
                for entry in log.since(request.since)
                if (name is None or entry.name.lower() == name)
                and (server is None or entry.server == server)
            ]
            reply = world_pb2.QueriesReply(newest=log.newest, dropped=log.dropped)
            reply.queries.extend(_queries(entries[-request.most :] if request.most else entries))
            return reply

        return self._do(context, work)

    def Counts(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Questions by server, name, type and transport."""

        def work() -> Any:
            log = self._servers.log
            reply = world_pb2.CountsReply(
                total=log.counts.total(),
                malformed=log.malformed,
                clients=log.clients(),
                web_requests=log.web_requests,
            )
            for (server, key, transport), count in log.counts.items():
                reply.counts.add(
                    server=str(ipaddress.ip_address(server)),
                    name=name_text(key[:-4]),
                    type=type_word(int.from_bytes(key[-4:-2], "big")),
                    transport=transport,
                    count=count,
                )
            if request.reset:
                log.reset()
            return reply

        return self._do(context, work)

    def Info(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The process, and the certificate of its CA."""
        servers = self._servers
        return world_pb2.InfoReply(
            pid=os.getpid(), ca_pem=servers.authority.pem, revision=servers.store.revision
        )


def _edit(change: Any) -> Edit:
    return Edit(
        world_pb2.Verb.Name(change.verb).lower(),
        change.name,
        change.type,
        tuple(change.values),
        change.ttl if change.HasField("ttl") else None,
        change.steps,
        change.server,
    )


def _behaviour(message: Any) -> Behaviour:
    values = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    for name in _REPEATED:
        values[name] = tuple(values[name])
    return Behaviour(**values)


def _value(kind: int, rdata: bytes) -> str:
    """An address, a name without its last dot, or data as in a zone file."""
    return name_text(rdata) if kind == CNAME else rdata_to_text(kind, rdata)


def _queries(entries: list[Any]) -> Iterator[Any]:
    for entry in entries:
        yield world_pb2.Query(
            number=entry.number,
            boottime_ns=entry.boottime,
            client=entry.client,
            client_port=entry.client_port,
            server=str(ipaddress.ip_address(entry.server)),
            name=name_text(entry.name),
            type=type_word(entry.type),
            id=int.from_bytes(entry.id, "big"),
            transport=entry.transport,
        )
