"""Labs in virtual machines: machine services there make them, ssh links bring their sockets."""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fqdnlab.errors import ConflictError, FqdnlabError, UsageError
from fqdnlab.lab.backends.base import Backend, NodeSockets
from fqdnlab.lab.machine import MachineClient
from fqdnlab.paths import LabPaths
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.vagrant.machines import Machines
from fqdnlab.vagrant.site import Site

__all__ = ["VagrantBackend"]

_INTERNET, _CLIENT = "internet", "client"
_OFFSET_AGE = 60.0  # s after which a clock's offset is measured anew
_SOCKETS = ("node", "agent", "observer")


def _say(text: str) -> None:
    if text.strip():
        print(text, file=sys.stderr, flush=True)


class VagrantBackend(Backend):
    """The machines of vagrant/, brought up when a lab is wanted.

    Parameters
    ----------
    site : Site, optional
        The set of machines; none: as the environment says.
    say : callable, optional
        Told what goes on; none: stderr.

    Raises
    ------
    SetupError
        If there is no Vagrantfile or no vagrant.
    """

    name = "vagrant"
    world_link = "the ssh link to internet"
    machine_link = "the ssh link to client"
    has_machines = True

    def __init__(self, site: Site | None = None, say: Callable[[str], None] = _say) -> None:
        super().__init__()
        self.machines = Machines(site or Site.from_environment(), say)
        self._offsets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()
        self._snapshots: set[str] = set()  # that this process made
        self._forwarded: set[str] = set()  # labs of which the client's node service is here
        atexit.register(self.machines.close)

    def machine(self, name: str) -> MachineClient:
        """A client of the machine service of one machine."""
        return self.machines.client(name)

    # ------------------------------------------------------------ labs

    def up(self, lab: str, settings: dict[str, Any]) -> bool:
        """The internet's part first, whose CA the nodes' commands trust, then each node's."""
        self.machines.up()
        self._measure_anew()  # some may have stood still
        for node in self.node_names():
            self.note_back(node, "vm")
        world = self.machine(_INTERNET).make(lab, settings)
        made = bool(world["created"])
        begun = [_INTERNET]
        try:
            for node in self.node_names():
                begun.append(node)  # a lost answer may have made it
                part = self.machine(node).make(lab, settings, world["ca"])
                made = made or bool(part["created"])
        except BaseException as error:
            if isinstance(error, ConflictError | UsageError):
                begun.pop()  # it has one, and not ours to end
            if made:
                with suppress(FqdnlabError):  # why it failed is to be told
                    self._down(lab, begun)
            raise
        return made

    def down(self, lab: str) -> None:
        """On every machine; what is unreachable is told after the rest is done."""
        if not self.machines.alive():
            raise UsageError(f"no lab {lab!r} here: no machine is up", "see  fqdnlab status")
        self.machines.up()
        self._down(lab, [*self._clients(), *self.node_names(), _INTERNET])

    def _down(self, lab: str, machines: list[str]) -> None:
        failed: list[FqdnlabError] = []
        done = 0
        for name in machines:
            try:
                self.machine(name).down(lab)
                done += 1
            except FqdnlabError as error:
                failed.append(error)
        # half a lab, as a machine that was reset leaves it, is down when its other half is
        grave = [error for error in failed if not isinstance(error, UsageError)]
        if grave or (failed and not done):
            raise (grave or failed)[0]

    def clean(self) -> list[str]:
        """As `MachineClient.clean`, on every machine; a machine that is off has nothing left."""
        if not self.machines.alive():
            return []
        self.machines.up()
        everyone = (*self._clients(), *self._all())
        return sorted({one for name in everyone for one in self.machine(name).clean()})

    def list(self) -> list[dict[str, Any]]:
        """Labs of all machines; one is alive where each part of it is.  Empty: no machine is up."""
        if not self.machines.running():
            return []
        merged: dict[str, dict[str, Any]] = {}
        for name in reversed(self._all()):
            for one in self.machine(name).list():
                known = merged.get(one["name"], one)
                merged[one["name"]] = {**one, "alive": known["alive"] and one["alive"]}
        return [merged[name] for name in sorted(merged)]

    def _all(self) -> tuple[str, ...]:
        return self.machines.site.machines

    def _clients(self) -> tuple[str, ...]:
        """The client, if it was ever used and runs."""
        return (_CLIENT,) if self.machines.reached(_CLIENT) else ()

    # ------------------------------------------------------------ the way to them

    def node_names(self) -> tuple[str, ...]:
        """``node``, and ``node2`` where there are two."""
        return self.machines.site.node_names

    def open(self, lab: str) -> None:
        """Have the lab's sockets here."""
        paths = LabPaths(lab)
        for node in self.node_names():
            link = self.machines.link(node)
            for what in _SOCKETS:
                link.forward(f"{lab}.{what}", str(getattr(paths, f"{what}_socket")))
        self.machines.link(_INTERNET).forward(f"{lab}.world", str(paths.world_socket))

    def shut(self, lab: str) -> None:
        """Take them away."""
        folder = self.machines.folder()
        for name in self._all():
            link = self.machines.held(name)
            if link is not None:  # else its sockets are gone with it
                for what in (*_SOCKETS, "world"):
                    link.unforward(folder / f"{name}-{lab}.{what}")
        if lab in self._forwarded:
            self._forwarded.discard(lab)
            client = self.machines.held(_CLIENT)
            if client is not None:
                client.unforward(folder / f"{_CLIENT}-{lab}.node")

    def sockets(self, lab: str, node: str) -> NodeSockets:
        """At this end of the link."""
        folder = self.machines.folder()
        here = {what: folder / f"{node}-{lab}.{what}" for what in _SOCKETS}
        return NodeSockets(node, **here, link=f"the ssh link to {node}")

    def world_socket(self, lab: str) -> Path:
        """At this end of the link."""
        return self.machines.folder() / f"{_INTERNET}-{lab}.world"

    def offset(self, node: str) -> float:
        """Measured over the link, at most once a minute and after each restore or resume."""
        with self._lock:
            known = self._offsets.get(node)
            if known is None or time.monotonic() - known[1] > _OFFSET_AGE:
                try:
                    known = (self.machines.offset(node), time.monotonic())
                except (FqdnlabError, OSError):  # it stands still: as it was
                    known = (known[0] if known else 0.0, time.monotonic())
                self._offsets[node] = known
            return known[0]

    # ------------------------------------------------------------ a whole machine as an endpoint

    def machine_address(self, machine: str) -> str:
        """Bring it up where it does not run."""
        if machine != _CLIENT:
            raise UsageError(f"{machine!r} cannot be an endpoint", f'machine="{_CLIENT}" can')
        self.machines.up(_CLIENT)
        return self.machines.site.address(_CLIENT)

    def join(self, lab: str, endpoint: pb.Endpoint, ca: str) -> None:
        """By its machine service, brought up where it does not run."""
        self.machines.up(endpoint.machine)
        self.machine(endpoint.machine).join(lab, endpoint, ca)

    def leave(self, lab: str, machine: str) -> None:
        """Likewise; where it does not run, it is in no lab once it does."""
        if self.machines.reached(machine):
            self.machine(machine).leave(lab)

    def machine_socket(self, lab: str, machine: str) -> Path:
        """At this end of the link, from now on."""
        self._forwarded.add(lab)
        remote = str(LabPaths(lab).node_socket)
        return self.machines.link(machine).forward(f"{lab}.node", remote)

    def _measure_anew(self) -> None:
        with self._lock:
            self._offsets.clear()

    # ------------------------------------------------------------ the machines

    def snapshot(self, name: str) -> None:
        """As `Machines.snapshot`."""
        self.machines.snapshot(name)
        self._snapshots.add(name)

    def restore(self, name: str) -> None:
        """As `Machines.restore`."""
        self.machines.restore(name)
        self._measure_anew()
        for node in self.node_names():
            self.note_back(node, "vm")
            self.note_back(node, "link")

    def snapshots(self) -> tuple[str, ...]:
        """As `Machines.snapshots`."""
        return self.machines.snapshots()

    def has_snapshot(self, name: str) -> bool:
        """Without asking, which takes seconds, if this process made it."""
        return name in self._snapshots or super().has_snapshot(name)

    def suspend(self, node: str) -> None:
        """As `Machines.suspend`."""
        self.machines.suspend(node)

    def resume(self, node: str) -> None:
        """As `Machines.resume`."""
        self.machines.resume(node)
        self._measure_anew()

    def reset(self, node: str) -> None:
        """As `Machines.reset`."""
        self.machines.reset(node)
        self._measure_anew()

    def cut_link(self, node: str) -> None:
        """Cut it at the node."""
        self.machines.set_link(node, up=False)

    def mend_link(self, node: str) -> None:
        """Mend it there."""
        self.machines.set_link(node, up=True)

    def echo_seconds(self, node: str) -> float:
        """As `MachineClient.echo_seconds`."""
        return self.machine(node).echo_seconds(21)
