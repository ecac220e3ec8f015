"""One generation of the proxy: from its sockets to its drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
from collections.abc import Callable

from fqdnlab.datapath.libbpf import MapFd
from fqdnlab.dns.proxy.agent_link import AgentLink
from fqdnlab.dns.proxy.answers import Answers
from fqdnlab.dns.proxy.asking import Asking
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.journal import Journal
from fqdnlab.dns.proxy.listen import UdpListener
from fqdnlab.dns.proxy.records import Records
from fqdnlab.dns.proxy.saved import SavedPolicy
from fqdnlab.dns.proxy.sockets import listener, own_addresses
from fqdnlab.dns.proxy.table import PolicyTable
from fqdnlab.dns.proxy.tcp import TcpListener
from fqdnlab.metrics import Family
from fqdnlab.model.settings import LabSettings
from fqdnlab.paths import LabPaths
from fqdnlab.pb import fqdndata_pb2 as pb

__all__ = ["Proxy"]

_log = logging.getLogger(__name__)
_SWEEP = 0.1
_QUIET = 100_000_000  # ns without a datagram: what was on its way has come
_AGENT_PATIENCE = 0.4
_MOST_DESCRIPTORS = 20_000
_SO_MEMINFO, _DROPS, _MEMINFO_SIZE = 55, 8, 36


class Proxy:
    """A generation.

    Parameters
    ----------
    loop : event loop
    paths : LabPaths
    settings : LabSettings
    generation : int
    socks_fd : int
        Descriptor of the SOCKMAP ``dns_socks``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        paths: LabPaths,
        settings: LabSettings,
        generation: int,
        socks_fd: int,
    ) -> None:
        self._loop = loop
        self._paths = paths
        self._settings = settings
        self._socks = MapFd(socks_fd, 4, 8)
        self._addresses = own_addresses(generation)
        self.counts = Counts()
        self.records = Records(loop, paths.records_socket, generation)
        record = self.records.add
        self._answers = Answers(loop, settings, record, self.counts)
        most = _descriptors() // 2
        self._asking = Asking(loop, settings, self._answers, record, self.counts, most)
        self._saved = SavedPolicy(paths.proxy_state)
        self.journal = Journal(paths.proxy_state, settings.kept_mappings)
        self._link = AgentLink(
            paths.fqdndata_socket,
            self._answers,
            self.journal,
            settings,
            self.counts,
            self._take_policy,
        )
        self._answers.agent = self._link
        self._udp: dict[tuple[int, str], UdpListener] = {}
        self._tcp: dict[tuple[int, str], TcpListener] = {}
        self._snapshot = b""
        self._published = False

    # ------------------------------------------------------------ policy

    def _take_policy(self, snapshot: pb.PolicyState) -> None:
        """The snapshot replaces all that was held; its ports are open before it is acknowledged."""
        snapshot.request_id, request = "", snapshot.request_id
        octets = snapshot.SerializeToString(deterministic=True)
        if octets != self._snapshot:
            self._use(snapshot)
            self._saved.save(snapshot)
            self._snapshot = octets
        snapshot.request_id = request

    def _use(self, snapshot: pb.PolicyState) -> None:
        scale = snapshot.fqdnlab_time_scale or self._settings.time_scale
        self._answers.set_time(scale, leases=not snapshot.fqdnlab_no_leases)
        table = PolicyTable(snapshot)
        for port in sorted(table.ports):
            self._open(port)
        self._asking.table = table
        if self._published:
            self._publish()

    def _open(self, port: int) -> None:
        """Sockets for a port: UDP and TCP, IPv4 and IPv6."""
        for address in self._addresses:
            if (port, address) in self._udp:
                continue
            udp = listener(address, port, socket.SOCK_DGRAM)
            tcp = listener(address, port, socket.SOCK_STREAM)
            self._udp[port, address] = UdpListener(self._loop, udp, port, self._asking, self.counts)
            self._tcp[port, address] = TcpListener(
                self._loop,
                tcp,
                port,
                self._asking,
                self.counts,
                self._settings,
            )

    def _publish(self) -> None:
        """Slots for every port, so that the enforcer steers here: from now on, this one serves."""
        self._published = True
        for (port, address), udp in self._udp.items():
            tcp = self._tcp[port, address]
            for made, is_tcp in ((udp.socket, 0), (tcp.socket, 1)):
                key = port * 4 + is_tcp * 2 + int(":" in address)
                self._socks.update(key.to_bytes(4, "little"), made.fileno().to_bytes(8, "little"))

    # ------------------------------------------------------------ life

    async def run(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Serve until `stop`, then drain."""
        saved = self._saved.load()
        if saved is not None:
            self._use(saved)
        link = self._loop.create_task(self._link.run())
        sweeper = self._loop.create_task(self._sweep())
        try:
            await self._until_servable(saved is not None)
            if not self._udp:
                self._use(pb.PolicyState())
            self._publish()
            ready()
            await stop.wait()
            await self._drain()
        finally:
            for task in (link, sweeper):
                task.cancel()
            await asyncio.gather(link, sweeper, return_exceptions=True)
            self._close()

    async def _until_servable(self, has_policy: bool) -> None:
        """With an agent there, its snapshot first: then no answer has to go out early."""
        if not _listens(self._paths.fqdndata_socket) and has_policy:
            return
        patience = _AGENT_PATIENCE if has_policy else 5.0
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._link.ready.wait(), patience)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            self._asking.sweep()
            self._link.hand_over_late()

    async def _drain(self) -> None:
        """Answer what has come, at most the upstream time-out; new questions go to the next."""
        _log.info("draining")
        self._published = False  # the slots are the next generation's
        for tcp in self._tcp.values():
            tcp.close()
        end = boottime() + int(self._settings.upstream_timeout * 1e9)
        start = boottime()
        while boottime() < end:
            for udp in self._udp.values():
                udp.drain()
            last = max(start, *(u.last for u in self._udp.values()))
            quiet = boottime() - last > _QUIET
            connected = any(t.busy for t in self._tcp.values())
            if quiet and not connected and not self._asking.busy and not self._link.busy:
                return
            await asyncio.sleep(0.01)

    def _close(self) -> None:
        for udp in self._udp.values():
            udp.close()
        for tcp in self._tcp.values():
            tcp.cancel()
        self.records.close()
        self.journal.close()

    def families(self) -> list[Family]:
        """Metrics."""

        def one(name: str, kind: str, text: str, value: float) -> Family:
            return Family(f"fqdnlab_proxy_{name}", kind, text, [({}, value)])

        return [
            *self.counts.families(),
            one("agent_connected", "gauge", "Whether the agent is there", self._link.connected),
            one("kept_total", "counter", "Mappings kept for an agent", self.journal.kept),
            one("kept_dropped_total", "counter", "Kept over the limit", self.journal.dropped),
            one("records_lost_total", "counter", "DNS records without room", self.records.lost),
            one(
                "receive_drops_total",
                "counter",
                "Questions that found no room in a socket's queue",
                sum(_drops(udp.socket) for udp in [*self._udp.values()]),
            ),
            one(
                "unbelieved_total",
                "counter",
                "Datagrams that answered no question asked",
                self._asking.upstreams.unbelieved,
            ),
        ]


def _descriptors() -> int:
    """How many this process may have; as many as it is allowed to ask for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(most, _MOST_DESCRIPTORS)


def _drops(made: socket.socket) -> int:
    memory = made.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_SIZE)
    return int.from_bytes(memory[_DROPS * 4 : _DROPS * 4 + 4], "little")


def _listens(path: os.PathLike[str]) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True
