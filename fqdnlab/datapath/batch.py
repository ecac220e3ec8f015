"""Whole maps read a few hundred entries a call (``BPF_MAP_LOOKUP_BATCH``), through libbpf."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator

from fqdnlab.datapath.libbpf import MapFd, function

__all__ = ["entries"]

_P = ctypes.c_void_p
_lookup_batch = function(
    "bpf_map_lookup_batch",
    ctypes.c_int,
    ctypes.c_int,
    _P,
    _P,
    _P,
    _P,
    ctypes.POINTER(ctypes.c_uint32),
    _P,
)
#: At first; a hash map's bucket must fit whole.
_AT_ONCE = 1024


def entries(source: MapFd) -> Iterator[tuple[bytes, bytes]]:
    """Every (key, value), as `MapFd.items`, in a hundredth of the calls.

    A map type that this kernel reads no batches of is read entry by entry.
    """
    place = ctypes.create_string_buffer(max(4, source.key_size))  # where the next batch begins
    begun, size = False, _AT_ONCE
    while True:
        keys = ctypes.create_string_buffer(size * source.key_size)
        values = ctypes.create_string_buffer(size * source.value_size)
        count = ctypes.c_uint32(size)
        start = ctypes.create_string_buffer(place.raw, len(place)) if begun else None
        result = _lookup_batch(source.fd, start, place, keys, values, ctypes.byref(count), None)
        if result == -errno.ENOSPC:
            size *= 2
            continue
        if result not in (0, -errno.ENOENT):  # ENOENT: that was the last
            if begun:
                raise OSError(-result, "read a map")
            yield from source.items()
            return
        begun = True
        yield from _split(keys.raw, values.raw, count.value, source)
        if result:
            return


def _split(keys: bytes, values: bytes, count: int, source: MapFd) -> Iterator[tuple[bytes, bytes]]:
    k, v = source.key_size, source.value_size
    for n in range(count):
        yield keys[n * k : n * k + k], values[n * v : n * v + v]
