"""libbpf and bpf(2) through ctypes: the only module that loads either (`clsact` builds on it).

``libbpf.so.1`` (1.1 is enough) loads objects and pins maps; links for tcx, which 1.1 does not know,
are made with bpf(2) itself (``BPF_LINK_CREATE``, linux/bpf.h).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fqdnlab.errors import SetupError

__all__ = [
    "BPF_ANY",
    "BPF_NOEXIST",
    "TCX_EGRESS",
    "TCX_INGRESS",
    "MapFd",
    "Object",
    "check_map",
    "checked",
    "function",
    "link_create",
    "link_ifindex",
    "link_update",
    "obj_get",
    "obj_pin",
    "prog_test_run",
]

BPF_ANY, BPF_NOEXIST = 0, 1
TCX_INGRESS, TCX_EGRESS = 46, 47  # enum bpf_attach_type
_SYS_BPF = {"x86_64": 321, "aarch64": 280}.get(platform.machine(), 321)
_CMD_TEST_RUN, _CMD_MAP_FD_BY_ID, _CMD_INFO, _CMD_LINK_CREATE, _CMD_LINK_UPDATE = 10, 14, 15, 28, 29

_P = ctypes.c_void_p
_libc = ctypes.CDLL(None, use_errno=True)


def _load() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise SetupError("libbpf.so.1 is missing", "sudo apt-get install libbpf1") from error
    if not os.environ.get("FQDNLAB_LIBBPF_LOG"):  # the verifier's words go to stderr with it
        lib.libbpf_set_print(None)
    return lib


_lib = _load()


def function(name: str, result: object, *arguments: object) -> Callable[..., int]:
    """A function of libbpf with its types."""
    found = getattr(_lib, name)
    found.restype, found.argtypes = result, arguments
    return found  # type: ignore[no-any-return]


_object_open = function("bpf_object__open_file", _P, ctypes.c_char_p, _P)
_object_load = function("bpf_object__load", ctypes.c_int, _P)
_object_close = function("bpf_object__close", None, _P)
_next_map = function("bpf_object__next_map", _P, _P, _P)
_next_program = function("bpf_object__next_program", _P, _P, _P)
_map_name = function("bpf_map__name", ctypes.c_char_p, _P)
_map_fd = function("bpf_map__fd", ctypes.c_int, _P)
_map_set_pin = function("bpf_map__set_pin_path", ctypes.c_int, _P, ctypes.c_char_p)
_map_set_max = function("bpf_map__set_max_entries", ctypes.c_int, _P, ctypes.c_uint32)
_program_name = function("bpf_program__name", ctypes.c_char_p, _P)
_program_fd = function("bpf_program__fd", ctypes.c_int, _P)
_obj_get = function("bpf_obj_get", ctypes.c_int, ctypes.c_char_p)
_obj_pin = function("bpf_obj_pin", ctypes.c_int, ctypes.c_int, ctypes.c_char_p)
_update = function("bpf_map_update_elem", ctypes.c_int, ctypes.c_int, _P, _P, ctypes.c_uint64)
_lookup = function("bpf_map_lookup_elem", ctypes.c_int, ctypes.c_int, _P, _P)
_delete = function("bpf_map_delete_elem", ctypes.c_int, ctypes.c_int, _P)
_next_key = function("bpf_map_get_next_key", ctypes.c_int, ctypes.c_int, _P, _P)
_update_batch = function(
    "bpf_map_update_batch", ctypes.c_int, ctypes.c_int, _P, _P, ctypes.POINTER(ctypes.c_uint32), _P
)
_map_create = function(
    "bpf_map_create",
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint32,
    ctypes.c_uint32,
    ctypes.c_uint32,
    _P,
)


def checked(result: int | None, what: str) -> int:
    """`result`, or an OSError that names `what` where it is a failure."""
    if result is None or result < 0:
        number = ctypes.get_errno() or (-result if result else errno.EIO)
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _bpf(command: int, attributes: bytes, what: str) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(attributes, max(len(attributes), 128))
    result = _libc.syscall(_SYS_BPF, command, buffer, len(buffer))
    return checked(int(result), what), buffer.raw


def obj_get(path: Path) -> int:
    """Open the pinned object at `path`; return a descriptor (close it)."""
    return checked(_obj_get(os.fsencode(path)), f"open {path}")


def obj_pin(fd: int, path: Path) -> None:
    """Pin `fd` at `path` in a bpffs."""
    checked(_obj_pin(fd, os.fsencode(path)), f"pin {path}")


def link_create(program: int, ifindex: int, attach_type: int) -> int:
    """Attach `program` by a tcx link; EINVAL before Linux 6.6."""
    return _bpf(
        _CMD_LINK_CREATE, struct.pack("=IIII", program, ifindex, attach_type, 0), "attach by tcx"
    )[0]


def link_update(link: int, program: int) -> None:
    """Exchange the program of a link, atomically."""
    _bpf(_CMD_LINK_UPDATE, struct.pack("=IIII", link, program, 0, 0), "exchange the program")


def link_ifindex(link: int) -> int:
    """The interface of a tcx link; 0 once the interface is gone."""
    info = ctypes.create_string_buffer(64)
    _bpf(_CMD_INFO, struct.pack("=IIQ", link, len(info), ctypes.addressof(info)), "read link")
    # struct bpf_link_info: type, id, prog_id, (pad), then the union: tcx {ifindex, attach_type}
    return int(struct.unpack_from("=I", info.raw, 16)[0])


def prog_test_run(
    program: int, packet: bytes, ifindex: int = 1, repeat: int = 1, mark: int = 0
) -> tuple[int, int]:
    """Run a tc program on `packet` (``BPF_PROG_TEST_RUN``).

    Returns
    -------
    (int, int)
        The program's return value (signed) and nanoseconds a run.
    """
    data = ctypes.create_string_buffer(packet, len(packet))
    context = ctypes.create_string_buffer(192)  # struct __sk_buff
    struct.pack_into("=I", context, 8, mark)
    struct.pack_into("=I", context, 40, ifindex)
    attributes = struct.pack(
        "=IIIIQQIIIIQQ",
        program,
        0,
        len(packet),
        0,
        ctypes.addressof(data),
        0,
        repeat,
        0,
        len(context),
        0,
        ctypes.addressof(context),
        0,
    )
    _, raw = _bpf(_CMD_TEST_RUN, attributes, "test run")
    value, duration = struct.unpack_from("=i", raw, 4)[0], struct.unpack_from("=I", raw, 36)[0]
    return int(value), int(duration)


class MapFd:
    """A map by descriptor; keys and values are octets.

    Parameters
    ----------
    fd : int
        Owned: closed by `close`.
    value_size : int
        Octets of a value as user space sees it (for per-CPU maps: of all CPUs).
    """

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        self.fd = fd
        self.key_size = key_size
        self.value_size = value_size

    def update(self, key: bytes, value: bytes, flags: int = BPF_ANY) -> None:
        """``BPF_MAP_UPDATE_ELEM``; raises OSError (E2BIG, ENOSPC: the map is full)."""
        checked(_update(self.fd, key, value, flags), "write a map entry")

    def lookup(self, key: bytes) -> bytes | None:
        buffer = ctypes.create_string_buffer(self.value_size)
        return buffer.raw if _lookup(self.fd, key, buffer) == 0 else None

    def delete(self, key: bytes) -> bool:
        """Whether there was such an entry."""
        return _delete(self.fd, key) == 0

    def update_many(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Write all, in one call where the map type has it."""
        if len(entries) < 2:
            for key, value in entries:
                self.update(key, value)
            return
        keys = b"".join(k for k, _ in entries)
        values = b"".join(v for _, v in entries)
        done = ctypes.c_uint32(len(entries))
        result = _update_batch(self.fd, keys, values, ctypes.byref(done), None)
        if result < 0:  # full, or no batches for this type: one by one says which
            for key, value in entries:
                self.update(key, value)

    def keys(self) -> Iterator[bytes]:
        key: bytes | None = None
        while True:
            following = ctypes.create_string_buffer(self.key_size)
            if _next_key(self.fd, key, following) != 0:
                return
            key = following.raw
            yield key

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        for key in self.keys():
            value = self.lookup(key)
            if value is not None:
                yield key, value

    def inner(self, key: bytes, key_size: int, value_size: int) -> MapFd | None:
        """The map that a map of maps holds at `key`."""
        found = ctypes.create_string_buffer(4)
        if _lookup(self.fd, key, found) != 0:
            return None
        fd, _ = _bpf(_CMD_MAP_FD_BY_ID, found.raw[:4] + bytes(8), "open an inner map")
        return MapFd(fd, key_size, value_size)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> MapFd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_LRU_HASH = 9


def create_lru_hash(name: str, key_size: int, value_size: int, entries: int) -> MapFd:
    """A new, unpinned LRU hash map."""
    fd = _map_create(_LRU_HASH, name.encode()[:15], key_size, value_size, entries, None)
    return MapFd(checked(fd, f"make map {name}"), key_size, value_size)


def check_map(fd: int) -> tuple[int, int, int, int]:
    """(type, key size, value size, max entries) of a map."""
    info = ctypes.create_string_buffer(96)
    _bpf(_CMD_INFO, struct.pack("=IIQ", fd, len(info), ctypes.addressof(info)), "read map")
    kind, _, key, value, entries = struct.unpack_from("=IIIII", info.raw)
    return int(kind), int(key), int(value), int(entries)


class Object:
    """A BPF object file, loaded; maps are pinned below `pin` or taken from there.

    Parameters
    ----------
    path : Path
    pin : Path or None
        Directory in a bpffs.
    sizes : dict of str to int
        Max entries by map name.
    """

    def __init__(self, path: Path, pin: Path | None, sizes: dict[str, int]) -> None:
        opened = _object_open(os.fsencode(path), None)
        self._object = checked(opened, f"open {path}")
        self.maps: dict[str, int] = {}
        self.programs: dict[str, int] = {}
        try:
            self._prepare(pin, sizes)
            checked(_object_load(self._object), f"load {path.name}")
        except OSError:
            self.close()
            raise
        for handle in self._walk(_next_map):
            self.maps[_name(_map_name(handle))] = _map_fd(handle)
        for handle in self._walk(_next_program):
            self.programs[_name(_program_name(handle))] = _program_fd(handle)

    def _walk(self, following: Callable[..., int]) -> Iterator[int]:
        handle = following(self._object, None)
        while handle:
            yield handle
            handle = following(self._object, handle)

    def _prepare(self, pin: Path | None, sizes: dict[str, int]) -> None:
        for handle in self._walk(_next_map):
            name = _name(_map_name(handle))
            if name in sizes:
                checked(_map_set_max(handle, sizes[name]), f"size {name}")
            if pin is not None and not name.startswith("."):
                checked(_map_set_pin(handle, os.fsencode(pin / name)), f"pin {name}")

    def close(self) -> None:
        """Close every descriptor of it; what is pinned or attached stays."""
        if self._object:
            _object_close(self._object)
            self._object = 0


def _name(text: object) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)
