"""One unary call to the agent, as Cilium's Standalone DNS Proxy makes it: what it costs."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import grpc

from bench.figures import BenchError
from fqdnlab.pb import fqdndata_pb2 as pb
from fqdnlab.pb import fqdndata_pb2_grpc

__all__ = ["unary_call"]


def unary_call(socket: Path, source: str, mappings: list[tuple[str, str]]) -> float:
    """Median, µs, of one call for each (name, address), one after another.

    Raises
    ------
    BenchError
        If the agent would not have one.
    """
    taken = []
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        grpc.channel_ready_future(channel).result(10)
        stub = fqdndata_pb2_grpc.FQDNDataStub(channel)
        for name, address in mappings:
            request = pb.FQDNMapping(
                fqdn=f"{name}.", record_ip=[address.encode()], ttl=3600, source_ip=source.encode()
            )
            begin = time.perf_counter_ns()
            reply = stub.UpdateMappingRequest(request, timeout=5)
            taken.append(time.perf_counter_ns() - begin)
            if reply.response != pb.RESPONSE_CODE_NO_ERROR:
                raise BenchError(f"the agent would not have {name}: {reply.response}")
    return median(taken) / 1000
