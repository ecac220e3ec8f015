"""The clsact hook of kernels before tcx (Linux 6.6), through libbpf's ``bpf_tc_*``."""

from __future__ import annotations

import ctypes
import errno

from fqdnlab.datapath.libbpf import checked, function

__all__ = ["ClsactHook"]


class _TcHook(ctypes.Structure):
    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
    )


class _TcOpts(ctypes.Structure):
    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("prog_fd", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
    )


_hook_create = function("bpf_tc_hook_create", ctypes.c_int, ctypes.POINTER(_TcHook))
_tc_attach = function(
    "bpf_tc_attach", ctypes.c_int, ctypes.POINTER(_TcHook), ctypes.POINTER(_TcOpts)
)
_tc_detach = function(
    "bpf_tc_detach", ctypes.c_int, ctypes.POINTER(_TcHook), ctypes.POINTER(_TcOpts)
)


class ClsactHook:
    """One side of a clsact qdisc (Linux before 6.6): the qdisc holds the program, whoever dies."""

    INGRESS, EGRESS = 1, 2  # enum bpf_tc_attach_point
    REPLACE = 1

    def __init__(self, ifindex: int, side: int) -> None:
        self._hook = _TcHook(ctypes.sizeof(_TcHook), ifindex, side, 0)

    def attach(self, program: int) -> None:
        result = _hook_create(ctypes.byref(self._hook))
        if result not in (0, -errno.EEXIST):
            checked(result, "make the clsact qdisc")
        options = _TcOpts(ctypes.sizeof(_TcOpts), program, self.REPLACE, 0, 1, 1)
        checked(_tc_attach(ctypes.byref(self._hook), ctypes.byref(options)), "attach by clsact")

    def detach(self) -> None:
        options = _TcOpts(ctypes.sizeof(_TcOpts), 0, 0, 0, 1, 1)
        _tc_detach(ctypes.byref(self._hook), ctypes.byref(options))
