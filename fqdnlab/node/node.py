"""A lab's node: its namespaces, processes, endpoints and metrics as one thing with a life."""

from __future__ import annotations

import functools
import os
import shutil
import threading
import time
from dataclasses import asdict
from pathlib import Path

from fqdnlab.dns.proxy.journal import waiting
from fqdnlab.errors import UsageError
from fqdnlab.node import joined, netlink, netns
from fqdnlab.node.agent_client import AgentClient
from fqdnlab.node.commands import Lab
from fqdnlab.node.endpoints import Endpoints
from fqdnlab.node.faults import Faults
from fqdnlab.node.links import make_links, world_nodes
from fqdnlab.node.metrics import Port, gather
from fqdnlab.node.processes import start_time
from fqdnlab.node.state import EndpointRecord, LabState, StateFile
from fqdnlab.node.supervisor import Supervisor
from fqdnlab.node.sysctls import prepare
from fqdnlab.node.teardown import end_lab
from fqdnlab.node.tree import make_tree
from fqdnlab.patience import patiently

__all__ = ["Node"]

_GRACE = 10.0  # s for all processes to end by themselves
_HAND_OVER = 2.0  # s for a proxy to connect again and hand over what it kept


class Node:
    """The lab `lab`; `open` makes or adopts it, `shut_down` ends it, `leave` leaves it up.

    Parameters
    ----------
    lab : Lab
    endpoint : EndpointRecord, optional
        On a client: which one the machine is to be.
    """

    def __init__(self, lab: Lab, endpoint: EndpointRecord | None = None) -> None:
        self.lab = lab
        self.since = time.time()
        self._over = False
        self._ending = threading.Lock()
        self._asked_read, self._asked_write = os.pipe()
        make_tree(lab.paths, lab.uid, lab.gid)
        found = StateFile.read(lab.paths)
        self.adopted = found is not None
        fresh = LabState(lab.name, lab.uid, lab.gid, asdict(lab.settings), self.since)
        fresh.place = lab.place.to_json()
        fresh.endpoints = [endpoint] if endpoint is not None else []
        state = found if found is not None else fresh
        state.node_pid, state.node_start = os.getpid(), start_time(os.getpid()) or 0
        state.node_starts += 1
        self.file = StateFile(lab.paths, state)
        self.file.save()
        self.supervisor = Supervisor(lab, self.file, self._ready)
        self.endpoints = Endpoints(lab, self.file, AgentClient(lab.paths))
        self.faults = Faults(self.supervisor)
        self._port: Port | None = None

    def open(self) -> None:
        """Make everything, or take over what a dead node service left; returns when all is ready.

        Raises
        ------
        FqdnlabError, OSError
            If something cannot be made or does not get ready.
        """
        if self.lab.place.role == "client":
            self._join()
        elif self.adopted:
            self.supervisor.adopt()
            self.endpoints.sync_later()
        else:
            self._make_namespaces()
            self.supervisor.start_all()
        self._port = Port(self._metrics)

    def _join(self) -> None:
        paths, (record,) = self.lab.paths, self.endpoints.records()
        if not (self.adopted and joined.is_joined(paths)):
            joined.join(paths, self.lab.place, record.id)
        self.endpoints.joined(netlink.link_index(netlink.MACHINE_LINK))

    def _make_namespaces(self) -> None:
        place, names = self.lab.place, {part: self.lab.netns(part) for part in ("node", "world")}
        for part in place.namespaces:
            netns.make(names[part])
            netns.inside(names[part], functools.partial(prepare, part))
        make_links(self.lab.name, place, names)
        if "node" in place.namespaces:
            netns.inside(names["node"], lambda: netlink.set_up_node(place.index))
        if "world" in place.namespaces:
            netns.inside(names["world"], lambda: netlink.set_up_world(world_nodes(place)))

    def _ready(self, name: str) -> None:
        if name == "agent":
            self.endpoints.sync()
            self._await_hand_over()

    def _await_hand_over(self) -> None:
        """An agent is back when it has what a living proxy kept for it; a late proxy is let be."""
        end = time.monotonic() + patiently(_HAND_OVER)
        while self.supervisor.slot("proxy").phase == "running" and time.monotonic() < end:
            if not waiting(self.lab.paths.proxy_state):
                return
            time.sleep(0.02)

    # ------------------------------------------------------------ what others ask

    @property
    def metrics_port(self) -> int:
        """Loopback TCP port of the machine; 0 before `open` is done."""
        return self._port.number if self._port is not None else 0

    def _metrics(self) -> str:
        return gather(self.metrics_sockets())

    def metrics_sockets(self) -> dict[str, tuple[Path, ...]]:
        """Name of each process → where its metrics' socket may be."""
        paths = self.lab.paths
        sockets: dict[str, tuple[Path, ...]] = {
            name: (paths.metrics_socket(name),) for name in self.lab.place.processes
        }
        if "proxy" in sockets:
            sockets["proxy"] = (paths.proxy / "metrics.sock", paths.proxy_state / "metrics.sock")
        return sockets

    def inside(self, record: EndpointRecord) -> tuple[str, str]:
        """Path of an endpoint's network namespace (empty: the machine's own); name of its link.

        Raises
        ------
        UsageError
            If it is a machine, and not this one.
        """
        if self.lab.place.role == "client":
            return "", netlink.MACHINE_LINK
        if record.machine:
            raise UsageError(
                f"endpoint {record.name!r} is the machine {record.machine}",
                "its commands run there, by that machine's own node service",
            )
        return str(netns.NETNS / self.endpoints.netns(record.name)), "eth0"

    def trusted(self) -> Path | None:
        """A copy of the world's CA that everybody may read; None if the world has none.

        Where the world is on another machine, the machine service was given it.
        """
        source, copy = self.lab.paths.state("world") / "ca.pem", self.lab.paths.ca
        if "world" not in self.lab.place.processes:
            return copy if copy.exists() else None
        try:
            if not copy.exists() or copy.stat().st_mtime < source.stat().st_mtime:
                fresh = copy.with_suffix(f".{threading.get_ident()}")
                shutil.copyfile(source, fresh)
                fresh.chmod(0o644)
                os.replace(fresh, copy)
        except FileNotFoundError:
            return None
        return copy

    # ------------------------------------------------------------ the end

    def ask_down(self) -> None:
        """End `wait`; may be called by a signal handler."""
        os.write(self._asked_write, b"x")

    def wait(self) -> None:
        """Wait until somebody asks for the end."""
        os.read(self._asked_read, 1)

    def shut_down(self) -> None:
        """End everything of the lab; idempotent."""
        with self._ending:
            if not self._over:
                self.endpoints.close()
                self.supervisor.end_all(patiently(_GRACE))
                self._close_port()
                end_lab(self.lab.name, spare=os.getpid())
                self._over = True
        self.ask_down()

    def leave(self) -> None:
        """Let go of the lab and leave it up."""
        self.endpoints.close()
        self._close_port()

    def _close_port(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None
