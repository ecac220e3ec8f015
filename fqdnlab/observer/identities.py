"""Which identity the kernel has for an address now (way 3.4, asked from outside)."""

from __future__ import annotations

from fqdnlab.datapath import abi
from fqdnlab.datapath.maps import Maps

__all__ = ["kernel_identity"]

_WORLD_IPV4, _WORLD_IPV6 = 9, 10


def kernel_identity(maps: Maps, address: str) -> int:
    """As the enforcer would find it: full addresses, then CIDRs, then the world.

    Parameters
    ----------
    maps : Maps
    address : str
        IPv4 or IPv6.
    """
    octets = abi.ip16(address)
    value = maps.ipcache.lookup(octets) or maps.cidrs.lookup(abi.CIDR_KEY.pack(128, octets))
    if value:
        return int(abi.IPCACHE_VALUE.unpack_from(value)[0])
    return _WORLD_IPV6 if ":" in address else _WORLD_IPV4
