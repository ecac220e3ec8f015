"""Loading, pinning and attaching the enforcer.  Never flushes: what is pinned is taken over."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Literal

from fqdnlab.datapath.clsact import ClsactHook
from fqdnlab.datapath.libbpf import (
    TCX_EGRESS,
    TCX_INGRESS,
    Object,
    link_create,
    link_ifindex,
    link_update,
    obj_get,
    obj_pin,
)
from fqdnlab.errors import SetupError, StateError
from fqdnlab.model.settings import LabSettings

__all__ = ["OBJECT", "Loader", "kernel_has_tcx"]

OBJECT = Path(__file__).parent / "objects" / "enforcer.bpf.o"

_SIDES = {"ingress": (TCX_INGRESS, ClsactHook.INGRESS), "egress": (TCX_EGRESS, ClsactHook.EGRESS)}


def kernel_has_tcx() -> bool:
    """Whether this kernel has tcx, by its version."""
    major, minor, *_ = os.uname().release.replace("-", ".").split(".")
    return (int(major), int(minor)) >= (6, 6)


class Loader:
    """The loaded programs of one lab.

    Parameters
    ----------
    pins : Path
        The lab's bpffs.
    settings : LabSettings
        Sizes of the maps, and how to attach.

    Raises
    ------
    SetupError
        If the object is not there or the kernel refuses it.
    StateError
        If maps of other sizes are pinned already.
    """

    def __init__(self, pins: Path, settings: LabSettings) -> None:
        self._pins = pins
        self._wanted = settings.attach
        self.kind: Literal["tcx", "clsact", ""] = ""
        sizes = {
            "ipcache_host": settings.max_ipcache,
            "ipcache_cidr": settings.max_cidrs,
            "policy": settings.max_policy,
            "rule_counters": settings.max_rules,
            "events": settings.events_bytes,
        }
        if not OBJECT.exists():
            raise SetupError(f"{OBJECT} is missing", "run `make bpf`, or install the wheel")
        try:
            self._object = Object(OBJECT, pins, sizes)
        except OSError as error:
            if error.errno == errno.EINVAL and any(pins.iterdir()):
                raise StateError(
                    f"maps of other sizes are pinned in {pins}", "take the lab down and up again"
                ) from error
            raise SetupError(
                f"the kernel refuses the enforcer: {error}", "see fqdnlab doctor"
            ) from error

    def program(self, name: str) -> int:
        """Descriptor of a loaded program."""
        return self._object.programs[name]

    def attach(self, interface: str, side: Literal["ingress", "egress"], program: str) -> None:
        """Attach `program` to `interface` of this process's network namespace.

        A link that is pinned already has its program exchanged, atomically.

        Raises
        ------
        SetupError
            If neither tcx nor clsact can be had.
        """
        tcx, clsact = _SIDES[side]
        fd = self.program(program)
        ifindex = socket.if_nametoindex(interface)
        if self._wanted != "clsact" and self._attach_tcx(interface, side, ifindex, tcx, fd):
            self.kind = "tcx"
            return
        if self._wanted == "tcx":
            raise SetupError(
                "this kernel has no tcx (it came with 6.6)", "use attach: auto or clsact"
            )
        ClsactHook(ifindex, clsact).attach(fd)
        self.kind = "clsact"

    def _attach_tcx(
        self, interface: str, side: str, ifindex: int, attach_type: int, fd: int
    ) -> bool:
        pin = self._pins / f"link_{interface}_{side}"
        if pin.exists():
            link = obj_get(pin)
            try:
                if link_ifindex(link) == ifindex:
                    link_update(link, fd)
                    return True
            finally:
                os.close(link)
            pin.unlink()  # of an interface that is gone
        try:
            link = link_create(fd, ifindex, attach_type)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False
            raise
        try:
            obj_pin(link, pin)
        finally:
            os.close(link)
        return True

    def forget(self, interface: str) -> None:
        """Remove the pins of an interface that is going or gone."""
        for side in _SIDES:
            (self._pins / f"link_{interface}_{side}").unlink(missing_ok=True)

    def close(self) -> None:
        self._object.close()
