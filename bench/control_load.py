"""What the control section does to a lab: policies of 1,000 rules, mappings by the thousand."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc

from bench.figures import BenchError
from fqdnlab.lab import Lab
from fqdnlab.node.netns import inside
from fqdnlab.paths import LabPaths, netns
from fqdnlab.pb import fqdndata_pb2 as pb
from fqdnlab.pb import fqdndata_pb2_grpc

__all__ = ["PORT", "HeldFlow", "address", "name", "nobodys", "policies", "resident", "teach"]

_BATCH = 200
_DNS = """  - toEndpoints:
    - matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, k8s-app: kube-dns}
    toPorts:
    - ports: [{port: "53", protocol: ANY}]
      rules: {dns: [{matchPattern: "*.bench.example"}]}
"""
_RULE = """  - toFQDNs: [{{matchName: {name}}}]
    toPorts: [{{ports: [{{port: "{port}", protocol: TCP}}]}}]
"""
PORT = 8443


def _policy(number: int, labels: str, egress: str) -> str:
    return (
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
        f"metadata: {{name: bench-{number}}}\nspec:\n"
        f"  endpointSelector: {{matchLabels: {{{labels}}}}}\n  egress:\n{egress}"
    )


def policies(count: int, rules: int) -> str:
    """So many policies with so many rules in all; each selects endpoints of its own group."""
    each = rules // count
    return "---\n".join(
        _policy(
            number,
            f'in-{count}: "{number}"',
            _DNS
            + "".join(
                _RULE.format(name=name(number * each + n), port=PORT) for n in range(each - 1)
            ),
        )
        for number in range(count)
    )


def nobodys(count: int) -> str:
    """In place of so many policies: ones that select no endpoint."""
    return "---\n".join(_policy(n, "is: nobody", "  - {}\n") for n in range(count))


def name(number: int) -> str:
    """The name of rule `number`."""
    return f"host-{number:04d}.bench.example"


def address(number: int) -> bytes:
    """Address `number` of 11.0.0.0/8."""
    return (0x0B000000 + number).to_bytes(4, "big")


def resident(pid: int) -> int:
    """Octets of memory that a process holds."""
    with open(f"/proc/{pid}/smaps_rollup") as told:
        return next(int(line.split()[1]) * 1024 for line in told if line.startswith("Pss:"))


def teach(lab: Lab, endpoint: int, mappings: Sequence[tuple[str, bytes]]) -> None:
    """Hand mappings to the agent as the proxy does; returns when the kernel holds all.

    Raises
    ------
    BenchError
        If one is refused.
    """
    waiting: queue.Queue[pb.MappingBatch | None] = queue.Queue()
    with grpc.insecure_channel(f"unix:{LabPaths(lab.name).fqdndata_socket}") as channel:
        acks = fqdndata_pb2_grpc.FQDNDataStub(channel).StreamMappings(iter(waiting.get, None))
        for start in range(0, len(mappings), _BATCH):
            some = mappings[start : start + _BATCH]
            waiting.put(_batch(endpoint, start, some))
            left = {start + n for n in range(len(some))}
            while left:
                for ack in next(acks).ack:
                    if ack.response != pb.RESPONSE_CODE_NO_ERROR:
                        raise BenchError(f"mapping {mappings[ack.seq]} was refused")
                    left.discard(ack.seq)
        waiting.put(None)


def _batch(endpoint: int, start: int, some: Sequence[tuple[str, bytes]]) -> pb.MappingBatch:
    batch = pb.MappingBatch()
    for n, (fqdn, raw) in enumerate(some):
        batch.mapping.add(
            seq=start + n, endpoint_id=endpoint, fqdn=f"{fqdn}.", ip=[raw], ttl=36_000
        )
    return batch


class HeldFlow:
    """A connection from an endpoint to the world on which octets go to and fro all the time."""

    def __init__(self, lab: Lab, endpoint: str, to: str, port: int) -> None:
        self.exchanges = 0
        self.longest = 0.0
        self.fault = ""
        self._end = threading.Event()
        listener = inside(netns(lab.name, "world"), lambda: socket.create_server((to, port)))
        self._ours = inside(netns(lab.name, f"ep-{endpoint}"), socket.socket)
        self._ours.settimeout(10)
        with listener:
            self._ours.connect((to, port))
            self._theirs, _ = listener.accept()
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def _talk(self) -> None:
        try:
            while not self._end.is_set():
                begin = time.monotonic()
                self._ours.sendall(b"?")
                self._theirs.recv(1)
                self._theirs.sendall(b"!")
                if self._ours.recv(1) != b"!":
                    raise OSError("the connection was closed")
                self.exchanges += 1
                self.longest = max(self.longest, time.monotonic() - begin)
                self._end.wait(0.002)
        except OSError as error:
            self.fault = str(error)

    def close(self) -> None:
        """End it; idempotent."""
        self._end.set()
        self._thread.join(15)
        self._ours.close()
        self._theirs.close()

    @classmethod
    @contextmanager
    def held(cls, lab: Lab, endpoint: str, to: str, port: int) -> Iterator[HeldFlow]:
        """For as long as the block lasts; BenchError if it was cut, or stood still."""
        flow = cls(lab, endpoint, to, port)
        try:
            before = flow.exchanges
            yield flow
        finally:
            flow.close()
        if flow.fault or flow.exchanges == before or flow.longest > 5:
            raise BenchError(
                f"an established flow was cut: {flow.fault or 'silence'}, "
                f"{flow.exchanges} exchanges, the longest {flow.longest:.1f} s"
            )
