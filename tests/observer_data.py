"""What tests of the observer say: one lab's rules, DNS messages, the proxy's records.  No I/O."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

from fqdnlab.datapath import abi
from fqdnlab.model.dnsrecord import DnsRecord, Early, Outcome

EP, EP4, EP6 = 1, "10.10.0.1", "fd10::1"
RESOLVER = "10.96.0.10"
API = "198.51.100.7"
FQDN_IDENTITY, RULE = 16777217, 12

RULES: dict[str, Any] = {
    "revision": 7,
    "rules": {
        "12": {
            "policy": "web-egress",
            "namespace": "default",
            "kind": "CiliumNetworkPolicy",
            "direction": "egress",
            "index": 1,
            "text": "egress[1] toFQDNs matchName api.example.com 443/TCP",
            "file": "policy.yaml",
            "line": 14,
            "labels": ["k8s:io.cilium.k8s.policy.name=web-egress"],
        },
        "13": {"policy": "no-mail", "namespace": "default", "text": "egressDeny[0] 25/TCP"},
    },
    "endpoints": {
        "1": {
            "name": "web",
            "namespace": "default",
            "labels": ["k8s:app=web"],
            "identity": 257,
            "ip4": EP4,
            "ip6": EP6,
        }
    },
    "identities": {"16777217": ["fqdn:api.example.com.", "reserved:world-ipv4"]},
}


def question(name: str, qtype: int = 1, ident: int = 4711) -> bytes:
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".") if x)
    return (
        struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0)
        + labels
        + struct.pack("!BHH", 0, qtype, 1)
    )


def answer(name: str, addresses: Sequence[str], ttl: int = 60, rcode: int = 0) -> bytes:
    kind = 28 if addresses and ":" in addresses[0] else 1
    asked = question(name, kind)
    head = struct.pack("!HHHHHH", 4711, 0x8180 | rcode, 1, len(addresses), 0, 0)
    family = socket.AF_INET6 if kind == 28 else socket.AF_INET
    data = [socket.inet_pton(family, a) for a in addresses]
    records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, ttl, len(d)) + d for d in data)
    return head + asked[12:] + records


def dns_record(
    message: bytes,
    outcome: int = Outcome.ANSWERED,
    early: int = Early.NO,
    *,
    at: int = 0,
    latency: int = 1_500_000,
    lost: int = 0,
    server: str = RESOLVER,
) -> DnsRecord:
    return DnsRecord(
        at or time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        latency,
        abi.ip16(EP4),
        abi.ip16(server),
        EP,
        1,
        RULE,
        lost,
        40000,
        53,
        17,
        outcome,
        early,
        0,
        message,
    )
