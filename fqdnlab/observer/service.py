"""Hubble's gRPC: observer.Observer over the history (way 3.9).

Flows are sent as the octets that they were serialized to when first looked at.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

import grpc
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from fqdnlab.model.filters import FilterError, compile_filters
from fqdnlab.observer.context import varint
from fqdnlab.observer.decode import Decoder
from fqdnlab.observer.fieldmask import FieldMask
from fqdnlab.observer.history import History, Slot
from fqdnlab.observer.query import Item, Lost, Plan, select
from fqdnlab.pb import flow_pb2, flows_pb2, observer_pb2

__all__ = ["ObserverService"]

_SERVICE = "observer.Observer"
_CONNECTED = 1  # relay.NodeState
_SETTLED = 1_000_000_000  # ns after which a flow's names and rules change no more
_MINUTE = 60_000_000_000
_BATCH = 256  # flows a message
_log = logging.getLogger(__name__)


class ObserverService:
    """The service; add `handlers()` to a gRPC server.

    Parameters
    ----------
    history : History
    decoder : Decoder
    version : str
    address : str
        What clients connect to, for GetNodes.
    settle : callable
        Returns when all that was seen before is in the history.
    """

    def __init__(
        self,
        history: History,
        decoder: Decoder,
        version: str,
        address: str,
        settle: Callable[[], None],
    ) -> None:
        self._history = history
        self._settle = settle
        self._decoder = decoder
        self._clock = decoder.context.clock
        self._version = version
        self._address = address
        self._started = self._clock.boottime()

    # ------------------------------------------------------------ GetFlows

    def get_flows(
        self, request: observer_pb2.GetFlowsRequest, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Stream serialized GetFlowsResponses."""
        for one in self._selected(request, context):
            if one is not None:
                yield one

    def read(
        self, request: observer_pb2.GetFlowsRequest, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Stream serialized FlowBatches: the same, many at once (fqdnlab.v1.Flows)."""
        batch: list[bytes] = []
        for one in self._selected(request, context):
            if one is not None:
                batch.append(_in_batch(one))
            if batch and (one is None or len(batch) >= _BATCH):
                yield b"".join(batch)
                batch.clear()
        if batch:
            yield b"".join(batch)

    def after(
        self, request: flows_pb2.AfterRequest, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Stream serialized FlowBatches of what came after the client's last (fqdnlab.v1.Flows).

        There is always a batch, an empty one if nothing came, so that the client knows the run.
        """
        if request.settled:
            self._settle()
        run, newest = self._decoder.context.run, self._history.newest
        start = request.next if request.run == run and request.next <= newest else 0
        following = start or self._history.oldest
        batch: list[bytes] = []
        for one in select(
            self._history,
            Plan(start=following),
            self._response,
            context.is_active,
            self._clock.boottime,
        ):
            if one is None:
                continue
            if isinstance(one, Item):
                following = one.number + 1
            batch.append(_in_batch(self._lost(one) if isinstance(one, Lost) else _octets(one)))
            if len(batch) >= _BATCH:
                yield b"".join(batch) + _place(run, following)
                batch.clear()
        yield b"".join(batch) + _place(run, max(following, newest))

    def _selected(
        self, request: observer_pb2.GetFlowsRequest, context: grpc.ServicerContext
    ) -> Iterator[bytes | None]:
        try:
            plan, test = self._prepare(request)
        except FilterError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        gone = threading.Event()
        if not context.add_callback(gone.set):
            return
        for one in select(
            self._history, plan, test, lambda: not gone.is_set(), self._clock.boottime
        ):
            if one is None:
                yield None
            else:
                yield self._lost(one) if isinstance(one, Lost) else _octets(one)

    def _prepare(
        self, request: observer_pb2.GetFlowsRequest
    ) -> tuple[Plan, Callable[[int, Slot], Any]]:
        if request.first and request.follow:
            raise FilterError("first cannot be specified with follow")
        for given in (*request.whitelist, *request.blacklist):
            _check_known(given)
        match = compile_filters(request.whitelist, request.blacklist)
        filtered = bool(request.whitelist or request.blacklist)
        mask = FieldMask(request.field_mask.paths)

        def test(number: int, slot: Slot) -> bytes | None:
            octets = self._response(number, slot)
            if not filtered and not mask:
                return octets
            response = observer_pb2.GetFlowsResponse.FromString(octets)
            if filtered and not match(response.flow):
                return None
            if mask:
                masked = mask.apply(response.flow)
                response.flow.CopyFrom(masked)
                return response.SerializeToString()
            return octets

        return self._plan(request), test

    def _plan(self, request: observer_pb2.GetFlowsRequest) -> Plan:
        def boottime(field: Literal["since", "until"]) -> int | None:
            if not request.HasField(field):
                return None
            stamp = getattr(request, field)
            return self._clock.to_boottime(stamp.seconds * 1_000_000_000 + stamp.nanos)

        return Plan(
            request.number,
            request.first,
            request.follow,
            boottime("since"),
            boottime("until"),
        )

    def _response(self, number: int, slot: Slot) -> bytes:
        """The serialized response of a slot; kept once its names cannot change any more."""
        octets = self._history.decoded(number)
        if octets is None:
            response = observer_pb2.GetFlowsResponse(node_name=self._decoder.context.node_name)
            self._decoder.fill(response.flow, number, slot)
            self._clock.put(slot.time, response.time)
            octets = response.SerializeToString()
            if self._clock.boottime() - slot.time > _SETTLED:
                self._history.keep_decoded(number, octets)
        return octets

    def _lost(self, lost: Lost) -> bytes:
        response = observer_pb2.GetFlowsResponse(node_name=self._decoder.context.node_name)
        self._clock.put(lost.at, response.time)
        response.lost_events.source = lost.source  # type: ignore[assignment]
        response.lost_events.num_events_lost = lost.count
        self._clock.put(lost.at, response.lost_events.last)
        return response.SerializeToString()

    # ------------------------------------------------------------ the rest

    def server_status(
        self, _: observer_pb2.ServerStatusRequest, __: grpc.ServicerContext
    ) -> observer_pb2.ServerStatusResponse:
        status = observer_pb2.ServerStatusResponse(
            num_flows=len(self._history),
            max_flows=self._history.capacity,
            seen_flows=self._history.newest,
            uptime_ns=self._clock.boottime() - self._started,
            version=self._version,
            flows_rate=self._rate(),
        )
        status.num_connected_nodes.value = 1
        status.num_unavailable_nodes.SetInParent()
        return status

    def _rate(self) -> float:
        """Flows a second over the last minute, or over what is kept of it."""
        history, now = self._history, self._clock.boottime()
        low, high = history.oldest, history.newest
        if low == high:
            return 0.0
        while low < high:  # near enough in order of time to be searched
            middle = (low + high) // 2
            _, slots = history.read(middle, middle + 1)
            if slots and slots[0].time >= now - _MINUTE:
                high = middle
            else:
                low = middle + 1
        _, slots = history.read(low, low + 1)
        if not slots:
            return 0.0
        cut = low == history.oldest and low > 0
        span = now - slots[0].time if cut else min(_MINUTE, now - self._started)
        return (history.newest - low) / (max(span, 1) / 1e9)

    def get_nodes(
        self, _: observer_pb2.GetNodesRequest, __: grpc.ServicerContext
    ) -> observer_pb2.GetNodesResponse:
        node = observer_pb2.Node(
            name=self._decoder.context.node_name,
            version=self._version,
            address=self._address,
            state=_CONNECTED,
            uptime_ns=self._clock.boottime() - self._started,
            num_flows=len(self._history),
            max_flows=self._history.capacity,
            seen_flows=self._history.newest,
        )
        return observer_pb2.GetNodesResponse(nodes=[node])

    def get_namespaces(
        self, _: observer_pb2.GetNamespacesRequest, __: grpc.ServicerContext
    ) -> observer_pb2.GetNamespacesResponse:
        cluster = self._decoder.context.node_name.split("/")[0]
        self._decoder.context.rules.refresh()
        names = {e.namespace for e in self._decoder.context.rules.latest.endpoints.values()}
        return observer_pb2.GetNamespacesResponse(
            namespaces=[
                observer_pb2.Namespace(cluster=cluster, namespace=n) for n in sorted(names) if n
            ]
        )

    def get_agent_events(
        self, _: observer_pb2.GetAgentEventsRequest, __: grpc.ServicerContext
    ) -> Iterator[observer_pb2.GetAgentEventsResponse]:
        """None: the agent of a lab tells its events itself (fqdnlab.v1.Agent)."""
        return iter(())

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """Handlers for ``grpc.Server.add_generic_rpc_handlers``."""
        read = grpc.unary_stream_rpc_method_handler(
            self.read,
            request_deserializer=observer_pb2.GetFlowsRequest.FromString,
            response_serializer=None,
        )
        after = grpc.unary_stream_rpc_method_handler(
            self.after,
            request_deserializer=flows_pb2.AfterRequest.FromString,
            response_serializer=None,
        )
        return (
            self._hubble(),
            grpc.method_handlers_generic_handler(
                "fqdnlab.v1.Flows", {"Read": read, "After": after}
            ),
        )

    def _hubble(self) -> grpc.GenericRpcHandler[Any, Any]:
        unary: dict[str, tuple[Callable[..., Any], Any]] = {
            "ServerStatus": (self.server_status, observer_pb2.ServerStatusRequest),
            "GetNodes": (self.get_nodes, observer_pb2.GetNodesRequest),
            "GetNamespaces": (self.get_namespaces, observer_pb2.GetNamespacesRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                call,
                request_deserializer=request.FromString,
                response_serializer=_serialize,
            )
            for name, (call, request) in unary.items()
        }
        handlers["GetAgentEvents"] = grpc.unary_stream_rpc_method_handler(
            self.get_agent_events,
            request_deserializer=observer_pb2.GetAgentEventsRequest.FromString,
            response_serializer=_serialize,
        )
        handlers["GetFlows"] = grpc.unary_stream_rpc_method_handler(
            self.get_flows,
            request_deserializer=observer_pb2.GetFlowsRequest.FromString,
            response_serializer=None,  # octets already
        )
        return grpc.method_handlers_generic_handler(_SERVICE, handlers)


def _in_batch(response: bytes) -> bytes:
    return b"\x0a" + varint(len(response)) + response  # FlowBatch.response, length-delimited


def _place(run: int, following: int) -> bytes:
    return flows_pb2.FlowBatch(run=run, next=following).SerializeToString()


def _octets(item: Item) -> bytes:
    made: bytes = item.made
    return made


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _check_known(given: flow_pb2.FlowFilter) -> None:
    """Refuse a filter with fields that we do not know: leaving them out would widen it.

    Raises
    ------
    FilterError
        It names the fields' numbers (flow.FlowFilter in Cilium's flow.proto).
    """
    unknown = sorted({field.field_number for field in UnknownFieldSet(given)})  # type: ignore[attr-defined]
    if unknown:
        numbers = ", ".join(map(str, unknown))
        raise FilterError(f"this observer has no filter for field {numbers} of flow.FlowFilter")
