"""Packets by hand: what the tests send through the programs."""

from __future__ import annotations

import ipaddress
import struct

ETH4 = bytes(12) + b"\x08\x00"
ETH6 = bytes(12) + b"\x86\xdd"
TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
SYN, ACK, FIN, RST = 2, 16, 1, 4


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def ip(
    src: str,
    dst: str,
    proto: int,
    payload: bytes,
    *,
    frag: int = 0,
    ident: int = 1,
    options: bytes = b"",
) -> bytes:
    """An Ethernet frame with IPv4 or IPv6; `frag` is IPv4's flags-and-offset field."""
    if ":" in src:
        head = struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + packed(src) + packed(dst)
        return ETH6 + head + payload
    ihl = 5 + len(options) // 4
    head = struct.pack(
        "!BBHHHBBH", 0x40 | ihl, 0, ihl * 4 + len(payload), ident, frag, 64, proto, 0
    )
    head += packed(src) + packed(dst) + options
    total = sum(struct.unpack(f"!{ihl * 2}H", head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return ETH4 + head[:10] + checksum.to_bytes(2, "big") + head[12:] + payload


def tcp(sport: int, dport: int, flags: int = SYN, data: bytes = b"") -> bytes:
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 65535, 0, 0) + data


def udp(sport: int, dport: int, data: bytes = b"x" * 12) -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def sctp(sport: int, dport: int) -> bytes:
    return struct.pack("!HHII", sport, dport, 0, 0) + bytes(16)


def icmp(kind: int, code: int = 0, ident: int = 7, data: bytes = b"") -> bytes:
    return struct.pack("!BBHHH", kind, code, 0, ident, 1) + data


def ext(kind: int, payload: bytes, next_header: int) -> bytes:
    """An IPv6 extension header of 8 octets before `payload`, for ``ip(..., kind, ...)``."""
    return bytes([next_header, 0]) + bytes(6) + payload


def quote(packet: bytes, octets: int = 128) -> bytes:
    """What an ICMP error says of `packet`: its head, without Ethernet."""
    return packet[14 : 14 + octets]


def piece(
    src: str, dst: str, proto: int, payload: bytes, offset: int, more: bool, ident: int = 6
) -> bytes:
    """A fragment of either family; `offset` in octets."""
    if ":" in src:
        return ip(src, dst, 44, fragment6(proto, offset, more, payload, ident))
    return ip(src, dst, proto, payload, frag=offset // 8 | (0x2000 if more else 0), ident=ident)


def fragment6(next_header: int, offset: int, more: bool, payload: bytes, ident: int = 9) -> bytes:
    return struct.pack("!BBHI", next_header, 0, offset & 0xFFF8 | int(more), ident) + payload
