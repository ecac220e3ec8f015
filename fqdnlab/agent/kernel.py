"""The agent's hands: operations written to the pinned maps, programs attached (way 1.6)."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby

from fqdnlab.agent.cluster import Endpoint
from fqdnlab.agent.operations import Content, Operation
from fqdnlab.datapath import abi
from fqdnlab.datapath.batch import entries
from fqdnlab.datapath.libbpf import MapFd
from fqdnlab.datapath.loader import Loader
from fqdnlab.datapath.maps import Maps
from fqdnlab.errors import StateError
from fqdnlab.model.settings import LabSettings
from fqdnlab.paths import LabPaths

__all__ = ["UPLINK", "Kernel"]

UPLINK = "up0"
_SIZES = {"policy": "max_policy", "ipcache": "max_ipcache", "cidr": "max_cidrs"}


class Kernel:
    """The lab's enforcer: loaded or taken over, never flushed.

    Parameters
    ----------
    paths : LabPaths
    settings : LabSettings

    Raises
    ------
    SetupError
        If the kernel refuses the programs.
    """

    def __init__(self, paths: LabPaths, settings: LabSettings) -> None:
        self._settings = settings
        self._loader = Loader(paths.bpf, settings)
        self.maps = Maps(paths.bpf, settings.max_conntrack)
        self._tables: dict[str, MapFd] = {
            "policy": self.maps.policy,
            "ipcache": self.maps.ipcache,
            "cidr": self.maps.cidrs,
            "endpoint": self.maps.endpoints,
        }
        #: Entries written or removed since the start, by map.
        self.writes = dict.fromkeys(self._tables, 0)
        self._uplink = 0
        # Raised at each start: one who died may have written entries and not got to saying so.
        self._epoch = self.maps.epoch() + 1

    @property
    def attached(self) -> str:
        """``tcx`` or ``clsact``; empty before the first attachment."""
        return self._loader.kind

    def attach_uplink(self, ifindex: int) -> None:
        """Attach to the node's uplink, and tell the programs which it is."""
        self._uplink = ifindex
        self._put_config()
        self._loader.attach(UPLINK, "ingress", "from_uplink")

    def attach(self, endpoint: Endpoint) -> None:
        """Attach to both sides of an endpoint's veth."""
        self._loader.attach(endpoint.ifname, "ingress", "from_endpoint")
        self._loader.attach(endpoint.ifname, "egress", "to_endpoint")

    def track(self, endpoint_id: int) -> None:
        """Give an endpoint its conntrack table, unless it has one."""
        self.maps.make_conntrack(endpoint_id)

    def detach(self, endpoint: Endpoint) -> None:
        """Forget the links and the conntrack table of an endpoint that is gone."""
        self._loader.forget(endpoint.ifname)
        self.maps.delete_endpoint(endpoint.ifindex, endpoint.id)

    def read(self) -> Content:
        """What the kernel holds now."""
        return Content(
            *(dict(entries(self._tables[t])) for t in ("policy", "ipcache", "cidr", "endpoint"))
        )

    def write(self, operations: Sequence[Operation]) -> None:
        """Do all, in order; neighbours on one map in one call.

        Raises
        ------
        StateError
            If a map is full; what came before it is written.
        """
        for (table, puts), group in groupby(operations, lambda o: (o.table, bool(o.value))):
            if table == "epoch":
                self._epoch += 1
                self._put_config()
                continue
            entries = [(o.key, o.value) for o in group]
            self.writes[table] += len(entries)
            if puts:
                self._put(table, entries)
            else:
                for key, _ in entries:
                    self._tables[table].delete(key)

    def _put(self, table: str, entries: list[tuple[bytes, bytes]]) -> None:
        try:
            self._tables[table].update_many(entries)
        except OSError as error:
            if error.errno not in (errno.E2BIG, errno.ENOSPC):
                raise
            setting = _SIZES.get(table, "")
            raise StateError(
                f"the kernel's {table} map is full", f"make the lab with a larger {setting}"
            ) from error

    def _put_config(self) -> None:
        given = self._settings
        self.maps.put_config(
            self._epoch, self._uplink, given.trace_udp_redirects, given.steer == "tproxy"
        )

    def live_addresses(self, endpoints: Iterable[int]) -> set[bytes]:
        """Addresses to which one of `endpoints` has a living flow that it opened."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        found: set[bytes] = set()
        for endpoint in endpoints:
            with suppress(OSError):  # removed meanwhile
                found.update(
                    entry.remote
                    for entry in self.maps.flows(endpoint)
                    if entry.dir == abi.DIR_EGRESS and entry.expires > now
                )
        return found

    def close(self) -> None:
        """Let go of the descriptors; what is pinned stays and goes on."""
        self.maps.close()
        self._loader.close()
