"""What a flow record says beside the packet: time of day, ends, names, rule."""

from __future__ import annotations

import struct
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.timestamp_pb2 import Timestamp

from fqdnlab.observer.names import NameHistory
from fqdnlab.observer.rules import EndpointNames, Rule, RulesFile
from fqdnlab.pb import flow_pb2

__all__ = ["Clock", "Context", "pack_extension", "reserved_labels", "varint"]

_STRUCT_URL = "type.googleapis.com/google.protobuf.Struct"
_DOUBLE = struct.Struct("<d")
_SMALL = [bytes([n]) for n in range(128)]
_NAMESPACE_LABEL = "k8s:io.kubernetes.pod.namespace="
_LOCAL_SCOPE = 1 << 24  # identities of CIDRs and names (Cilium's scope of local identities)

_RESERVED = {
    1: ("reserved:host",),
    2: ("reserved:world",),
    9: ("reserved:world-ipv4",),
    10: ("reserved:world-ipv6",),
}


def reserved_labels(identity: int) -> tuple[str, ...]:
    """Labels of a reserved identity (Cilium's numbers); empty if it is none."""
    return _RESERVED.get(identity, ())


class Clock:
    """CLOCK_BOOTTIME and wall time, both in ns; wall time is for showing only."""

    def __init__(self, offset: int | None = None) -> None:
        self._offset = self._measure() if offset is None else offset

    @staticmethod
    def _measure() -> int:
        return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    @staticmethod
    def boottime() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def refresh(self) -> None:
        """Follow the wall clock if somebody has set it; small drifts are left alone."""
        now = self._measure()
        if abs(now - self._offset) > 500_000_000:
            self._offset = now

    def to_wall(self, boottime: int) -> int:
        return boottime + self._offset

    def to_boottime(self, wall: int) -> int:
        return max(0, wall - self._offset)

    def put(self, boottime: int, into: Timestamp) -> None:
        """Set `into` to `boottime` as wall time."""
        into.seconds, into.nanos = divmod(boottime + self._offset, 1_000_000_000)


def pack_extension(flow: flow_pb2.Flow, known: Mapping[str, str | int | bool]) -> None:
    """Put into ``flow.extensions`` what fqdnlab alone knows: fields of fqdnlab.v1.FlowExtension.

    As a ``google.protobuf.Struct``: the hubble CLI resolves no type but the well-known ones, and
    prints no flow with one that it cannot resolve (docs/decisions/0160).  Empty fields are left
    out.
    """
    flow.extensions.type_url = _STRUCT_URL
    flow.extensions.value = b"".join(_struct_field(k, v) for k, v in known.items() if v)


def _struct_field(name: str, value: str | int | bool) -> bytes:
    """One entry of a serialized Struct: {1: {1: name, 2: {2: number | 3: string | 4: bool}}}.

    By hand, because this is done for every flow, and the library takes thirty times as long.
    """
    if isinstance(value, str):
        octets = value.encode()
        inner = b"\x1a" + varint(len(octets)) + octets
    elif isinstance(value, bool):
        inner = b"\x20\x01" if value else b"\x20\x00"
    else:
        inner = b"\x11" + _DOUBLE.pack(value)
    entry = _struct_key(name) + varint(len(inner)) + inner
    return b"\x0a" + varint(len(entry)) + entry


@cache
def _struct_key(name: str) -> bytes:
    return b"\x0a" + varint(len(name)) + name.encode("ascii") + b"\x12"


def varint(number: int) -> bytes:
    """`number`, not negative, as protobuf writes lengths."""
    if number < 128:
        return _SMALL[number]
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


@dataclass(frozen=True)
class Context:
    """What the decoders need.

    Attributes
    ----------
    node_name : str
        ``CLUSTER/NODE``.
    run : int
        Random 48 bits of this observer's run: with a slot's number they make its uuid.
    identity_of : callable
        Address → identity that the kernel has for it now.
    """

    rules: RulesFile
    names: NameHistory
    clock: Clock
    node_name: str
    run: int
    identity_of: Callable[[str], int] = lambda _: 0

    def uuid(self, number: int) -> str:
        """The flow's uuid: the same whenever this run is asked for it."""
        high = self.run << 16 | 0x8000  # version 8 (RFC 9562): the layout is our own
        return str(uuid.UUID(int=high << 64 | 1 << 63 | number & (1 << 62) - 1))

    def endpoint(self, number: int, at: int) -> EndpointNames:
        found = self.rules.find(at, lambda r: r.endpoints.get(number))
        return found or EndpointNames(number)

    def rule(self, index: int, at: int) -> Rule | None:
        """The rule of that index, or None: no rule decided."""
        if not index:
            return None
        return self.rules.find(at, lambda r: r.rules.get(index)) or Rule(index)

    def labels(self, identity: int, at: int) -> tuple[str, ...]:
        found = self.rules.find(at, lambda r: r.identities.get(identity))
        return found or reserved_labels(identity)

    def fill_local(self, to: flow_pb2.Endpoint, end: EndpointNames) -> None:
        """The lab's endpoint as one end of a flow."""
        to.ID = end.id
        to.identity = end.identity
        to.namespace = end.namespace
        to.labels.extend(end.labels)
        to.pod_name = end.name

    def fill_remote(self, to: flow_pb2.Endpoint, address: str, identity: int, at: int) -> None:
        """The other end: an endpoint of this lab, or whatever its identity says."""
        end = self.rules.find(at, lambda r: r.addresses.get(address))
        if end is not None:
            self.fill_local(to, end)
            to.identity = identity or end.identity
            return
        to.identity = identity
        labels = sorted(self.labels(identity, at))
        to.labels.extend(labels)
        for label in labels:
            if label.startswith(_NAMESPACE_LABEL):
                to.namespace = label.removeprefix(_NAMESPACE_LABEL)

    def mapping_state(self, endpoint: int, address: str, identity: int, at: int) -> str:
        """How far the address was known when the packet passed (FlowExtension.mapping_state)."""
        if any(label.startswith("fqdn:") for label in self.labels(identity, at)):
            return "enforced"
        if not self.names.names(endpoint, address, at):
            return ""
        early = self.names.early(endpoint, address, at) if identity < _LOCAL_SCOPE else ""
        return "waits" if early and early != "refused" else "none"
