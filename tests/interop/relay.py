"""Between Cilium's proxy and our agent: passes all on and keeps what is said, a line a mapping.

``python -m tests.interop.relay LISTEN TO FILE``, run in the node's namespace.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import NamedTuple

import grpc

from fqdnlab.pb import fqdndata_pb2 as pb
from fqdnlab.pb import fqdndata_pb2_grpc


class Call(NamedTuple):
    """One mapping and what our agent said to it."""

    request: pb.FQDNMapping
    response: pb.UpdateMappingResponse


class Relay(fqdndata_pb2_grpc.FQDNDataServicer):  # type: ignore[misc]
    """Octets as they came, so that what is kept is what was on the wire."""

    def __init__(self, to: str, file: Path) -> None:
        self._stub = fqdndata_pb2_grpc.FQDNDataStub(grpc.insecure_channel(to))
        self._file = file
        self._lock = threading.Lock()

    def StreamPolicyState(
        self, request_iterator: Iterator[pb.PolicyStateResponse], context: grpc.ServicerContext
    ) -> Iterator[pb.PolicyState]:
        yield from self._stub.StreamPolicyState(request_iterator)

    def UpdateMappingRequest(
        self, request: pb.FQDNMapping, context: grpc.ServicerContext
    ) -> pb.UpdateMappingResponse:
        response = self._stub.UpdateMappingRequest(request, timeout=10)
        line = f"{request.SerializeToString().hex()} {response.SerializeToString().hex()}\n"
        with self._lock, self._file.open("a", encoding="ascii") as out:
            out.write(line)
        return response


def read(file: Path) -> list[Call]:
    """What a relay has kept."""
    if not file.exists():
        return []
    found = []
    for line in file.read_text(encoding="ascii").splitlines():
        request, _, response = line.partition(" ")
        found.append(
            Call(
                pb.FQDNMapping.FromString(bytes.fromhex(request)),
                pb.UpdateMappingResponse.FromString(bytes.fromhex(response)),
            )
        )
    return found


def main(listen: str, to: str, file: str) -> None:
    """Serve until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    server = grpc.server(futures.ThreadPoolExecutor(8))
    fqdndata_pb2_grpc.add_FQDNDataServicer_to_server(Relay(to, Path(file)), server)
    assert server.add_insecure_port(listen), listen
    server.start()
    stop.wait()
    server.stop(0.2).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
