"""The Python mirror of bpf/abi.h; a test compares the two through the object's BTF."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import NamedTuple

__all__ = [
    "CIDR_KEY",
    "CONFIG",
    "COUNTER",
    "CT_KEY",
    "CT_VALUE",
    "DIR_EGRESS",
    "DIR_INGRESS",
    "ENDPOINT",
    "ENDPOINT_ENFORCED",
    "EVENT_DROP",
    "EVENT_NEW_FLOW",
    "FLOW_EVENT",
    "IPCACHE_INTERNAL",
    "IPCACHE_VALUE",
    "MARK_FROM_PROXY",
    "MARK_TO_PROXY",
    "POLICY_EXACT_BITS",
    "POLICY_KEY",
    "POLICY_VALUE",
    "STRUCTS",
    "VERDICT_ALLOW",
    "VERDICT_DENY",
    "VERDICT_REDIRECT",
    "CtEntry",
    "FlowEvent",
    "ip16",
    "ip16_packed",
    "ip_object",
    "ip_text",
]

ENDPOINT = struct.Struct("<IIII16s16s")
IPCACHE_VALUE = struct.Struct("<IIII")
CIDR_KEY = struct.Struct("<I16s")
POLICY_KEY = struct.Struct("<I4s4sB2sx")
POLICY_VALUE = struct.Struct("<IHBB")
CT_KEY = struct.Struct("<16s2s2sB3x")
CT_VALUE = struct.Struct("<QQIIIB3xQQ")
CONFIG = struct.Struct("<QIII4x")
COUNTER = struct.Struct("<QQ")
FRAG_KEY = struct.Struct("<16s16sIIB7x")
FRAG_VALUE = struct.Struct("<QIIIIBB6x16s16s")
FLOW_EVENT = struct.Struct("<Q16s16sIIIIHHHBBBBBBBBBBB7x")

#: name in abi.h -> octets as packed here (structs of the kernel may have padding at the end)
STRUCTS = {
    "endpoint_info": ENDPOINT,
    "ipcache_value": IPCACHE_VALUE,
    "cidr_key": CIDR_KEY,
    "policy_key": POLICY_KEY,
    "policy_value": POLICY_VALUE,
    "ct_key": CT_KEY,
    "ct_value": CT_VALUE,
    "node_config": CONFIG,
    "counter": COUNTER,
    "frag_key": FRAG_KEY,
    "frag_value": FRAG_VALUE,
    "flow_event": FLOW_EVENT,
}

VERDICT_ALLOW, VERDICT_REDIRECT, VERDICT_DENY = 1, 2, 3
DIR_EGRESS, DIR_INGRESS = 0, 1
EVENT_NEW_FLOW, EVENT_DROP = 1, 2
ENDPOINT_ENFORCED = 1
IPCACHE_INTERNAL = 1
MARK_TO_PROXY, MARK_FROM_PROXY = 0x200, 0x300
POLICY_EXACT_BITS = 64

_MAPPED = bytes(10) + b"\xff\xff"


def ip16(address: str) -> bytes:
    """16 octets of an address; IPv4 as ::ffff:a.b.c.d.

    Raises
    ------
    ValueError
        If `address` is neither an IPv4 nor an IPv6 address.
    """
    packed = ipaddress.ip_address(address).packed
    return _MAPPED + packed if len(packed) == 4 else packed


def ip16_packed(packed: bytes) -> bytes:
    """16 octets of an address of 4 or 16 octets.

    Raises
    ------
    ValueError
        If it has another length.
    """
    if len(packed) == 4:
        return _MAPPED + packed
    if len(packed) != 16:
        raise ValueError(f"an address has 4 or 16 octets, not {len(packed)}")
    return packed


def ip_object(octets: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that 16 octets stand for."""
    if octets.startswith(_MAPPED):
        return ipaddress.IPv4Address(octets[12:])
    return ipaddress.IPv6Address(octets)


def ip_text(octets: bytes) -> str:
    """The address that 16 octets stand for, as text."""
    if octets.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, octets[12:])
    return socket.inet_ntop(socket.AF_INET6, octets)


class FlowEvent(NamedTuple):
    """``struct flow_event``: times in ns of CLOCK_BOOTTIME, addresses as 16 octets."""

    time: int
    saddr: bytes
    daddr: bytes
    ep_id: int
    identity: int
    rule: int
    length: int
    sport: int
    dport: int
    proxy_port: int
    type: int
    verdict: int
    reason: int
    family: int
    proto: int
    dir: int
    tcp_flags: int
    icmp_type: int
    icmp_code: int
    is_reply: int
    match: int

    @classmethod
    def unpack(cls, octets: bytes) -> FlowEvent:
        return cls(*FLOW_EVENT.unpack_from(octets))


class CtEntry(NamedTuple):
    """One conntrack entry of an endpoint."""

    remote: bytes
    local_port: int
    remote_port: int
    proto: int
    dir: int
    created: int
    last: int
    expires: int
    rule: int
    identity: int
    flags: int
