"""A lab's node: its namespaces, processes, endpoints and metrics as one thing with a life."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import asdict
from pathlib import Path

from fqdnlab.dns.proxy.journal import waiting
from fqdnlab.node import netlink, netns
from fqdnlab.node.agent_client import AgentClient
from fqdnlab.node.commands import PROCESSES, Lab
from fqdnlab.node.endpoints import Endpoints
from fqdnlab.node.faults import Faults
from fqdnlab.node.metrics import Port, gather
from fqdnlab.node.processes import start_time
from fqdnlab.node.state import LabState, StateFile
from fqdnlab.node.supervisor import Supervisor
from fqdnlab.node.teardown import end_lab
from fqdnlab.node.tree import make_tree

__all__ = ["Node"]

_GRACE = 10.0  # s for all processes to end by themselves
_HAND_OVER = 2.0  # s for a proxy to connect again and hand over what it kept


class Node:
    """The lab `lab`; `open` makes or adopts it, `shut_down` ends it, `close` leaves it up."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.since = time.time()
        self._over = False
        self._ending = threading.Lock()
        self._asked_read, self._asked_write = os.pipe()
        make_tree(lab.paths, lab.uid, lab.gid)
        found = StateFile.read(lab.paths)
        self.adopted = found is not None
        fresh = LabState(lab.name, lab.uid, lab.gid, asdict(lab.settings), self.since)
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
        if self.adopted:
            self.supervisor.adopt()
            self.endpoints.sync_later()
        else:
            self._make_namespaces()
            self.supervisor.start_all()
        self._port = Port(self._metrics)

    def _make_namespaces(self) -> None:
        node, world = self.lab.netns("node"), self.lab.netns("world")
        for name in (node, world):
            netns.make(name)
        netns.inside(node, lambda: netlink.prepare("node"))
        netns.inside(world, lambda: netlink.prepare("world"))
        netns.inside(node, lambda: netlink.set_up_node(world))
        netns.inside(world, netlink.set_up_world)

    def _ready(self, name: str) -> None:
        if name == "agent":
            self.endpoints.sync()
            self._await_hand_over()

    def _await_hand_over(self) -> None:
        """An agent is back when it has what a living proxy kept for it; a late proxy is let be."""
        end = time.monotonic() + _HAND_OVER
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
            name: (paths.metrics_socket(name),) for name in PROCESSES
        }
        sockets["proxy"] = (paths.proxy / "metrics.sock", paths.proxy_state / "metrics.sock")
        return sockets

    def netns_path(self, endpoint: str) -> Path:
        """Where the namespace of an endpoint is pinned."""
        return netns.NETNS / self.endpoints.netns(endpoint)

    def trusted(self) -> Path | None:
        """A copy of the world's CA that everybody may read; None if the world has none."""
        source, copy = self.lab.paths.state("world") / "ca.pem", self.lab.paths.root / "ca.pem"
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
                self.supervisor.end_all(_GRACE)
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
