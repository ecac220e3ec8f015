"""Policies are lost: what the kernel should hold till there are new ones.  Pure.

Fail closed: who is there is judged by what the kernel has, whoever is new may go nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from fqdnlab.agent.operations import Content
from fqdnlab.datapath import abi

__all__ = ["enforces", "held_content"]


def held_content(have: Content, endpoints: Mapping[int, bytes]) -> Content:
    """All that is there, but for endpoints: those of `endpoints`, as they are or closed.

    Parameters
    ----------
    have : Content
    endpoints : mapping of int to bytes
        Interface index → the endpoint's value without a policy.
    """
    want = Content(dict(have.policy), dict(have.ipcache), dict(have.cidr))
    for ifindex, value in endpoints.items():
        key = ifindex.to_bytes(4, "little")
        want.endpoint[key] = have.endpoint.get(key) or _closed(value)
    return want


def _closed(value: bytes) -> bytes:
    number, _, identity, _, ip4, ip6 = abi.ENDPOINT.unpack(value)
    return abi.ENDPOINT.pack(number, 0, identity, abi.ENDPOINT_ENFORCED, ip4, ip6)


def enforces(have: Content) -> bool:
    """Whether some endpoint is policed."""
    values = (abi.ENDPOINT.unpack(value) for value in have.endpoint.values())
    return any(flags & abi.ENDPOINT_ENFORCED for _, _, _, flags, _, _ in values)
