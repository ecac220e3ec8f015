"""The lab's endpoints: namespace, link, files; enforced before the link goes up."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fqdnlab.errors import FqdnlabError, StateError, UnavailableError, UsageError
from fqdnlab.node import netlink, netns
from fqdnlab.node.addresses import MAX_ENDPOINT, RESOLVER4, EndpointAddresses, endpoint_addresses
from fqdnlab.node.agent_client import AgentClient
from fqdnlab.node.commands import Lab
from fqdnlab.node.links import make_machine_link
from fqdnlab.node.processes import processes_in
from fqdnlab.node.state import EndpointRecord, StateFile
from fqdnlab.node.sysctls import prepare
from fqdnlab.paths import check_lab_name
from fqdnlab.pb import control_pb2

__all__ = ["Endpoints", "next_number"]

_RETRY_SECONDS = 1.0
_log = logging.getLogger("fqdnlab.node")


def next_number(following: int, taken: Iterable[int]) -> int:
    """A number for a new endpoint: never one used before while there are others.

    Raises
    ------
    UsageError
        If all are taken.
    """
    if following <= MAX_ENDPOINT:
        return following
    free = set(range(1, MAX_ENDPOINT + 1)) - set(taken)
    if not free:
        raise UsageError(f"a lab has at most {MAX_ENDPOINT} endpoints", "delete some")
    return min(free)


class Endpoints:
    """Makes, enforces and removes the endpoints of `lab`.

    Parameters
    ----------
    lab : Lab
    file : StateFile
        Where they are kept.
    agent : AgentClient
    """

    def __init__(self, lab: Lab, file: StateFile, agent: AgentClient) -> None:
        self._lab = lab
        self._file = file
        self._agent = agent
        self._changing = threading.RLock()
        self._waiting = threading.Event()
        self._closed = threading.Event()
        self._retrier = threading.Thread(target=self._retry, name="enforce", daemon=True)
        self._retrier.start()

    # ------------------------------------------------------------ reading

    def records(self) -> list[EndpointRecord]:
        """All endpoints as they are now."""
        with self._file.lock:
            return list(self._file.state.endpoints)

    def messages(self) -> list[control_pb2.Endpoint]:
        """All endpoints, as they are told to others."""
        return [self.message(r) for r in self.records()]

    def message(self, record: EndpointRecord) -> control_pb2.Endpoint:
        """`record` as it is told to others."""
        addresses = self._addresses(record.id)
        return control_pb2.Endpoint(
            id=record.id,
            name=record.name,
            namespace=record.namespace,
            labels=record.labels,
            ifname=addresses.ifname,
            ifindex=record.ifindex,
            ip4=addresses.ip4,
            ip6=addresses.ip6,
            identity=record.identity,
            enforced=record.enforced,
            link_up=record.link_up,
            machine=record.machine,
            machine_address=record.machine_address,
        )

    def get(self, name: str) -> EndpointRecord:
        """The endpoint of that name.

        Raises
        ------
        UsageError
            If there is none.
        """
        for record in self.records():
            if record.name == name:
                return record
        here = ", ".join(r.name for r in self.records()) or "none yet"
        raise UsageError(f"no endpoint {name!r} in lab {self._lab.name}", f"there are: {here}")

    def netns(self, name: str) -> str:
        """Name of the network namespace of endpoint `name`."""
        return self._lab.netns(f"ep-{name}")

    def files(self, name: str) -> Path:
        """Directory of the files that are laid over /etc for its commands."""
        return self._lab.paths.root / "resolv" / name

    # ------------------------------------------------------------ changing

    def create(self, wanted: control_pb2.Endpoint) -> EndpointRecord:
        """Make an endpoint; its link is up if the agent has taken it, else it stays down till then.

        Parameters
        ----------
        wanted : control_pb2.Endpoint
            Name, namespace, labels; of a whole machine, that and its address.

        Raises
        ------
        UsageError
            If the name or the machine is taken or cannot be one, or endpoints are elsewhere.
        SetupError, StateError, OSError
            If the kernel refuses.
        """
        name, far = check_lab_name(wanted.name), wanted.machine_address
        place = self._lab.place
        if "agent" not in place.processes:
            raise UsageError(
                f"this machine is the lab's {place.name}", "endpoints are made on a node"
            )
        with self._changing:
            self._check_free(name, far)
            with self._file.lock:
                state = self._file.state
                number = next_number(state.next_endpoint, (r.id for r in state.endpoints))
                state.next_endpoint = max(state.next_endpoint, number + 1)
                self._file.save()
            addresses = self._addresses(number)
            try:
                ifindex = self._make(name, addresses, far)
            except BaseException:
                self._unmake(name, addresses.ifname)
                raise
            record = EndpointRecord(
                number,
                name,
                wanted.namespace or "default",
                dict(wanted.labels),
                ifindex,
                machine=wanted.machine,
                machine_address=far,
            )
            self._put(record)
            try:
                record = self._taken(self._agent.put(self.message(record)))
            except UnavailableError as error:
                _log.warning("%s: link down until the agent is back: %s", name, error.message)
                self.sync_later()
            return record

    def sync(self) -> None:
        """Tell the agent all endpoints, then set up the links that waited for it.

        Raises
        ------
        UnavailableError
            If the agent does not take them.
        """
        with self._changing:
            for answer in self._agent.sync(self.messages()):
                self._taken(answer)

    def sync_later(self) -> None:
        """As `sync`, but when the agent answers; returns at once."""
        self._waiting.set()

    def delete(self, name: str) -> EndpointRecord:
        """End the endpoint's commands and remove it.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        with self._changing:
            record = self.get(name)
            self._unmake(name, self._addresses(record.id).ifname)
            with self._file.lock:
                self._file.state.endpoints.remove(record)
                self._file.save()
            try:
                self._agent.remove(self.message(record))
            except UnavailableError as error:  # it learns of it by the next SyncEndpoints
                _log.warning("%s removed without the agent: %s", name, error.message)
            return record

    def joined(self, ifindex: int) -> None:
        """The machine itself is the lab's only endpoint here; its link is there."""
        (record,) = self.records()
        self._write_files(record.name, self._addresses(record.id))
        self._put(replace(record, ifindex=ifindex, link_up=True))

    def close(self) -> None:
        """End the thread that waits for the agent."""
        self._closed.set()
        self._waiting.set()
        self._retrier.join()

    # ------------------------------------------------------------ inner parts

    def _check_free(self, name: str, far: str) -> None:
        for record in self.records():
            if record.name == name:
                raise UsageError(f"an endpoint {name!r} is there", "choose another name")
            if far and record.machine_address == far:
                raise UsageError(f"the machine at {far} is endpoint {record.name!r}", "delete that")

    def _addresses(self, number: int) -> EndpointAddresses:
        return endpoint_addresses(number, self._lab.place.index)

    def _put(self, record: EndpointRecord) -> None:
        with self._file.lock:
            others = [r for r in self._file.state.endpoints if r.id != record.id]
            self._file.state.endpoints = sorted([*others, record], key=lambda r: r.id)
            self._file.save()

    def _taken(self, answer: control_pb2.Endpoint) -> EndpointRecord:
        """The agent enforces this endpoint now: its link may be up."""
        found = next((r for r in self.records() if r.id == answer.id), None)
        if found is None:
            raise StateError(f"the agent speaks of endpoint {answer.id}, which is not there")
        if not found.link_up:
            addresses = self._addresses(found.id)
            node = self._lab.netns("node")
            netns.inside(node, lambda: netlink.raise_endpoint_link(addresses))
        fresh = replace(found, identity=answer.identity, enforced=answer.enforced, link_up=True)
        if fresh != found:  # the agent is back: most are as they were, and the file is long
            self._put(fresh)
        return fresh

    def _make(self, name: str, addresses: EndpointAddresses, far: str) -> int:
        own, node = self.netns(name), self._lab.netns("node")
        if far:  # the rest is made there
            return make_machine_link(self._lab.name, self._lab.place, node, addresses, far)
        netns.make(own)
        netns.inside(own, lambda: prepare("endpoint"))
        ifindex = netns.inside(node, lambda: netlink.make_endpoint_link(addresses, own))
        netns.inside(own, lambda: netlink.set_up_endpoint(addresses))
        self._write_files(name, addresses)
        return ifindex

    def _write_files(self, name: str, addresses: EndpointAddresses) -> None:
        files = self.files(name)
        files.mkdir(mode=0o755, exist_ok=True)
        for file, text in _files(name, addresses).items():
            (files / file).write_text(text)
            (files / file).chmod(0o644)

    def _unmake(self, name: str, ifname: str) -> None:
        own = self.netns(name)
        inode = netns.identity(own)
        while inode is not None and (left := processes_in({inode})):
            for process in left:
                process.end(0)
        netns.inside(self._lab.netns("node"), lambda: netlink.drop_link(ifname))
        netns.remove(own)
        shutil.rmtree(self.files(name), ignore_errors=True)

    def _retry(self) -> None:
        """Endpoints made while the agent was dead or stopped: enforced when it answers again."""
        while self._waiting.wait() and not self._closed.wait(_RETRY_SECONDS):
            try:
                self.sync()
            except UnavailableError:
                continue
            except (FqdnlabError, OSError):
                _log.exception("endpoints wait for the agent")
                continue
            with self._changing:
                if all(r.link_up for r in self.records()):
                    self._waiting.clear()


def _files(name: str, addresses: EndpointAddresses) -> dict[str, str]:
    """What is laid over /etc for the endpoint's commands."""
    return {
        "resolv.conf": f"nameserver {RESOLVER4}\n",
        "hosts": (
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
            f"{addresses.ip4} {name}\n{addresses.ip6} {name}\n"
        ),
        "nsswitch.conf": (
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
            "protocols: files\nservices: files\nethers: files\nrpc: files\n"
        ),
    }
