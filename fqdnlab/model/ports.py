"""Protocols and ports of a policy as prefixes: how the kernel's policy map keys them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fqdnlab.model.policy import ICMPType, PortProtocol

__all__ = ["EVERYTHING", "NUMBERS", "PortKey", "icmp_key", "port_keys"]

#: IP protocol numbers (IANA).
NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_ICMP = {4: 1, 6: 58}


class PortKey(NamedTuple):
    """A set of protocols and ports: the first `bits` of protocol (8) and port (16) are fixed.

    Attributes
    ----------
    proto, port : int
    bits : int
        0: anything; 8: the protocol, every port; 24: one port.
    """

    proto: int
    port: int
    bits: int


#: Everything, ICMP too.
EVERYTHING = PortKey(0, 0, 0)


def port_keys(item: PortProtocol) -> Iterator[PortKey]:
    """The keys that together are `item`; none where a name has no number here.

    ``ANY`` is TCP, UDP and SCTP (Cilium's meaning), and so is no ping.
    """
    if item.name:
        return
    protocols = NUMBERS.values() if item.protocol == "ANY" else (NUMBERS[item.protocol],)
    for proto in protocols:
        if item.port == 0:
            yield PortKey(proto, 0, 8)
            continue
        last = max(item.port, item.end_port)
        for port, bits in _prefixes(item.port, last):
            yield PortKey(proto, port, 8 + bits)


def icmp_key(item: ICMPType) -> PortKey:
    """The key of one ICMP type: it stands where the port stands."""
    return PortKey(_ICMP[item.family], item.type, 24)


def _prefixes(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Split ``first..last`` into aligned blocks: (first port, fixed bits)."""
    while first <= last:
        size = first & -first or 1 << 16
        while first + size - 1 > last:
            size >>= 1
        yield first, 16 - (size.bit_length() - 1)
        first += size
