"""The proxy's side of the agent: Cilium's FQDNData, and our stream of mappings beside it."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Iterator

import grpc

from fqdnlab.agent.cluster import Learned
from fqdnlab.agent.schedule import boottime
from fqdnlab.agent.service import Core
from fqdnlab.model.names import normalise
from fqdnlab.pb import fqdndata_pb2 as pb
from fqdnlab.pb import fqdndata_pb2_grpc

__all__ = ["FQDNData"]

_log = logging.getLogger(__name__)


class FQDNData(fqdndata_pb2_grpc.FQDNDataServicer):  # type: ignore[misc]
    """The service, for any number of proxies at a time (an upgrade has two).

    Parameters
    ----------
    core : Core
    kept_done : callable
        Called when a proxy has handed over what it kept while no agent was there.
    """

    def __init__(self, core: Core, kept_done: Callable[[], None]) -> None:
        self._core = core
        self._kept_done = kept_done

    def StreamPolicyState(  # noqa: N802 - the name is the contract's
        self, request_iterator: Iterator[pb.PolicyStateResponse], context: grpc.ServicerContext
    ) -> Iterator[pb.PolicyState]:
        """Ways 1.7 and 1.8; each snapshot is acknowledged before the next is sent."""
        publisher = self._core.publisher
        session = publisher.connect(f"proxy {context.peer()}")

        def read() -> None:
            try:
                for response in request_iterator:
                    if response.response != pb.RESPONSE_CODE_NO_ERROR:
                        _log.warning("%s answers %s", session.name, response.response)
                    elif response.request_id.isdigit():
                        publisher.acknowledge(session, int(response.request_id))
                    else:  # Cilium's Standalone DNS Proxy names none: the one it was sent
                        publisher.acknowledge(session, session.sent)
            except grpc.RpcError:
                pass
            finally:
                publisher.disconnect(session)

        context.add_callback(lambda: publisher.disconnect(session))
        threading.Thread(target=read, name="acks", daemon=True).start()
        yield from publisher.snapshots(session)

    def UpdateMappingRequest(  # noqa: N802
        self, request: pb.FQDNMapping, context: grpc.ServicerContext
    ) -> pb.UpdateMappingResponse:
        """One mapping, as Cilium's Standalone DNS Proxy sends it: addresses are text."""
        try:
            source = str(ipaddress.ip_address(request.source_ip.decode()))
            addresses = tuple(ipaddress.ip_address(a.decode()).packed for a in request.record_ip)
        except ValueError as error:
            _log.warning("mapping of %s: %s", request.fqdn, error)
            return pb.UpdateMappingResponse(response=pb.RESPONSE_CODE_ERROR_INVALID_ARGUMENT)
        endpoint = self._endpoint(source)
        if not endpoint:
            return pb.UpdateMappingResponse(response=pb.RESPONSE_CODE_ERROR_ENDPOINT_NOT_FOUND)
        if addresses and request.response_code == 0:
            name = normalise(request.fqdn)
            learned = Learned(endpoint, name, addresses, request.ttl, boottime())
            if not self._core.learn([learned])[0]:
                return pb.UpdateMappingResponse(response=pb.RESPONSE_CODE_SERVER_FAILURE)
        return pb.UpdateMappingResponse(response=pb.RESPONSE_CODE_NO_ERROR)

    def _endpoint(self, address: str) -> int:
        with self._core.lock:
            for endpoint in self._core.state.endpoints.values():
                if address in (endpoint.ip4, endpoint.ip6):
                    return endpoint.id
        return 0

    def StreamMappings(  # noqa: N802
        self, request_iterator: Iterator[pb.MappingBatch], context: grpc.ServicerContext
    ) -> Iterator[pb.MappingAcks]:
        """Ways 2.7 and 2.9: batches in, each acknowledged once the kernel holds it."""
        publisher = self._core.publisher
        out = publisher.open_queue()

        def read() -> None:
            try:
                for batch in request_iterator:
                    acks = self._take(batch)
                    if acks.ack:
                        out.put(acks)
            except grpc.RpcError:
                pass
            except Exception:
                _log.exception("a batch of mappings")
            finally:
                out.put(None)

        context.add_callback(lambda: out.put(None))
        threading.Thread(target=read, name="mappings", daemon=True).start()
        try:
            while (acks := out.get()) is not None:
                yield acks
        finally:
            publisher.close_queue(out)

    def _take(self, batch: pb.MappingBatch) -> pb.MappingAcks:
        mappings = [
            Learned(m.endpoint_id, m.fqdn, tuple(m.ip), m.ttl, m.seen_ns or boottime(), m.kept)
            for m in batch.mapping
        ]
        acks = pb.MappingAcks()
        for asked, until in zip(batch.mapping, self._core.learn(mappings), strict=True):
            acks.ack.add(
                seq=asked.seq,
                response=pb.RESPONSE_CODE_NO_ERROR if until else pb.RESPONSE_CODE_SERVER_FAILURE,
                valid_until_ns=until,
            )
        if batch.kept_done:
            self._kept_done()
        return acks
