"""The agent at work: one lock around the state; first written, then told."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fqdnlab.agent.cluster import Endpoint, Learned
from fqdnlab.agent.held import enforces
from fqdnlab.agent.kernel import Kernel
from fqdnlab.agent.mappings import Collected, Mapping
from fqdnlab.agent.operations import Operation, removals_first
from fqdnlab.agent.publisher import Publisher
from fqdnlab.agent.rebuilt import rebuild_numbers
from fqdnlab.agent.recorder import Recorder
from fqdnlab.agent.rulesfile import write_rules
from fqdnlab.agent.schedule import Schedule, boottime
from fqdnlab.agent.snapshot import policy_state
from fqdnlab.agent.state import AgentState
from fqdnlab.agent.store import Store
from fqdnlab.agent.taken import avoid_numbers, restore_addresses
from fqdnlab.agent.undo import Before
from fqdnlab.datapath import abi
from fqdnlab.errors import StateError
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.pb import fqdndata_pb2 as pb

__all__ = ["Applied", "Core"]

_log = logging.getLogger(__name__)


@dataclass
class Applied:
    """What became of a change of policies."""

    revision: int
    late: list[str]
    proxy: bool


class Core:
    """State, kernel, disk and proxies together.

    Parameters
    ----------
    state : AgentState
    kernel : Kernel
    store : Store
    rules_file : Path
    schedule : Schedule
    """

    def __init__(
        self, state: AgentState, kernel: Kernel, store: Store, rules_file: Path, schedule: Schedule
    ) -> None:
        self.state = state
        self.kernel = kernel
        self.schedule = schedule
        self.publisher = Publisher()
        self.recorder = Recorder()
        self.warnings: list[str] = []
        self.collected = Collected(set())
        self._store = store
        self._rules_file = rules_file
        self._lock = threading.RLock()
        self._rules_stale = threading.Event()
        self._changing_time = threading.Lock()
        self._no_leases = False

    # ------------------------------------------------------------ start and end

    def start(self) -> None:
        """Take over what the kernel and the disk hold; flush nothing."""
        with self._lock:
            self.state.content = self.kernel.read()
            avoid_numbers(self.state)
            for warning in self._store.load(self.state, parse_policies):
                self._warn(warning)
            if enforces(self.state.content):
                self._make_up_for_lost_files()
            self.schedule.set_time_scale(self.state.clock.scale, boottime())
            restore_addresses(self.state, boottime(), self.schedule.interval_ns)
            for endpoint in self.state.endpoints.values():
                self.kernel.track(endpoint.id)
            if self.state.endpoints or not self.state.content.endpoint:
                self._do("start", None, self.state.rebuild)
            self._changed()

    def close(self) -> None:
        """Save; what is in the kernel stays."""
        with self._lock:
            self._save()
            self._store.close()
            self.publisher.close()

    def _make_up_for_lost_files(self) -> None:
        """The kernel enforces something: what the disk does not say is not taken for nothing."""
        if not self._store.policies_read:
            self.state.held = True
            self._warn(
                "the policies are lost: what the kernel enforces stays as it is, and new endpoints "
                "reach nothing, until policies are applied (all of them, in one file or call)"
            )
        elif not self._store.state_read:
            try:
                rules = json.loads(self._rules_file.read_text())
            except (OSError, ValueError) as error:
                self._warn(f"{self._rules_file} cannot be read: {error}; addresses are lost")
                return
            rebuild_numbers(self.state, rules)

    # ------------------------------------------------------------ policies (way 1)

    def apply(self, policies: Sequence[Policy], timeout: float) -> Applied:
        """Way 1.3 to 1.9: into the kernel, then to the proxies; waits for their acknowledgement.

        Raises
        ------
        StateError, OverflowError, OSError
            If the kernel or the numbers have no room: all is as it was before.
        """
        with self._lock:
            self._all_or_nothing("apply", policies, lambda: self.state.set_policies(policies))
            revision = self._changed()
        return self._await_proxies(revision, timeout)

    def delete(self, key: tuple[str, str, str], timeout: float) -> Applied:
        """Withdraw a policy; KeyError if it is not there."""
        with self._lock:
            self._all_or_nothing("delete", key, lambda: self.state.delete_policy(key))
            revision = self._changed()
        return self._await_proxies(revision, timeout)

    def set_time_scale(self, scale: float, timeout: float) -> list[str]:
        """Lab time goes on at another speed; who of the proxies has not acknowledged it in time.

        A proxy reckons with its leases in time as it was told it: first it is told to use none.

        Raises
        ------
        StateError
            While the policies are lost: proxies are told nothing then.
        """
        with self._changing_time:
            self._await_proxies(self._tell_of_leases(), timeout)
            with self._lock:
                now = boottime()
                self._do("time", scale, lambda: self.state.set_time_scale(scale, now), now)
                self.schedule.set_time_scale(scale, now)
                self._no_leases = False
                snapshot = self._changed()
            return self._await_proxies(snapshot, timeout).late

    def _tell_of_leases(self) -> int:
        with self._lock:
            if self.state.held:
                raise StateError("the policies are lost", "apply them, then change the time")
            self._no_leases = True
            return self._publish(policy_state(self.state))

    def _all_or_nothing(self, kind: str, what: Any, change: Callable[[], list[Operation]]) -> None:
        before = Before(self.state)
        try:
            self._do(kind, what, change)
        except (StateError, OverflowError, OSError):
            before.back(self.state)
            # With the numbers of before, what is to be removed is what nothing points to yet; it
            # makes room for what is to be put.
            self._do("back", None, lambda: removals_first(self.state.rebuild()))
            self._changed()
            raise

    def _await_proxies(self, snapshot: int, timeout: float) -> Applied:
        late = self.publisher.wait(snapshot, timeout)
        return Applied(self.state.revision, late, self.publisher.connected)

    # ------------------------------------------------------------ endpoints

    def sync_endpoints(self, endpoints: Iterable[Endpoint]) -> None:
        """The whole truth, from the node service."""
        wanted = list(endpoints)
        with self._lock:
            names = {e.ifname for e in wanted}
            for old in [e for e in self.state.endpoints.values() if e.ifname not in names]:
                self.kernel.detach(old)
            for endpoint in wanted:
                self.kernel.track(endpoint.id)
            known = self.state.endpoints == {e.id: e for e in wanted}  # as before a restart
            if not known:
                self._do("endpoints", wanted, lambda: self.state.set_endpoints(wanted))
            for endpoint in wanted:
                self.kernel.attach(endpoint)
            if not known:
                self._changed()

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Enforced when this returns, and known to the proxies or they are late."""
        with self._lock:
            self.kernel.track(endpoint.id)
            put = lambda: self.state.put_endpoint(endpoint)  # noqa: E731
            self._all_or_nothing("put", endpoint, put)
            self.kernel.attach(endpoint)
            revision = self._changed()
        for who in self.publisher.wait(revision, 2.0):
            _log.warning("%s has not acknowledged endpoint %s yet", who, endpoint.name)

    def remove_endpoint(self, endpoint_id: int) -> None:
        """Gone: its entries, its table, its links."""
        with self._lock:
            endpoint = self.state.endpoints.get(endpoint_id)
            if endpoint is None:
                return
            self._do("remove", endpoint_id, lambda: self.state.remove_endpoint(endpoint_id))
            self.kernel.detach(endpoint)
            self._changed()

    # ------------------------------------------------------------ mappings (way 2.8)

    def learn(self, mappings: Sequence[Learned]) -> list[int]:
        """Install mappings; when this returns, the kernel holds them (way 2.9).

        Returns
        -------
        list of int
            For each: until when it stays open at least (CLOCK_BOOTTIME, ns); 0: it was refused.
        """
        now = boottime()
        with self._lock:
            promises = [self._learn(m, now) for m in mappings]
            taken = [m for m, p in zip(mappings, promises, strict=True) if p]
            self._store.append(self._learned(taken), self.state.identities.news())
        return promises

    def _learned(self, taken: Iterable[Learned]) -> Iterator[Mapping]:
        for learned in taken:
            for raw in learned.addresses:
                found = self.state.mappings.find(
                    learned.endpoint, learned.name, abi.ip16_packed(raw)
                )
                if found is not None:
                    yield found

    def _learn(self, learned: Learned, now: int) -> int:
        sizes = {len(address) for address in learned.addresses}
        if not sizes or sizes - {4, 16} or learned.endpoint not in self.state.endpoints:
            return 0
        try:
            operations = self._do("learn", learned, lambda: self.state.learn(learned, now), now)
        except (StateError, ValueError, OverflowError, OSError) as error:
            self.state.unlearn(learned)
            self._warn(f"mapping of {learned.name} refused: {error}")
            return 0
        if any(o.table == "policy" for o in operations):
            self._rules_stale.set()
        expires = min(
            self.state.mappings.expires(learned.endpoint, learned.name, abi.ip16_packed(a))
            for a in learned.addresses
        )
        return self.schedule.pass_after(expires)

    def collect(self) -> Collected:
        """A collection pass now."""
        with self._lock:
            live = self.kernel.live_addresses(self.state.endpoints)
            live &= self.state.mappings.addresses()
            now, done = boottime(), Collected(set())

            def change() -> list[Operation]:
                nonlocal done
                done, operations = self.state.collect(now, live)
                return operations

            self._do("collect", live, change, now)
            if done.changed or self._store.overgrown(len(self.state.mappings)):
                self._save()
                self._rules_stale.set()
            self.collected = Collected(
                set(),
                self.collected.expired + done.expired,
                done.zombies,
                self.collected.removed + done.removed,
            )
        if done.expired:
            self.publisher.forget_leases()
        return done

    # ------------------------------------------------------------ upkeep

    def write_rules_if_stale(self, timeout: float) -> None:
        """Wait for new numbers, then tell what they stand for."""
        if not self._rules_stale.wait(timeout):
            return
        with self._lock:
            self._rules_stale.clear()
            write_rules(self._rules_file, self.state)

    def _do(
        self, kind: str, what: Any, change: Callable[[], list[Operation]], now: int = 0
    ) -> list[Operation]:
        """Let the state decide, write what it wants (way 1.6), keep a record of both."""
        operations: list[Operation] = []
        try:
            operations = change()
            self.kernel.write(operations)
        except (StateError, ValueError, OverflowError, OSError) as error:
            self.state.content = self.kernel.read()
            self.recorder.note(now or boottime(), kind, what, operations, str(error))
            raise
        self.state.content.note(operations)
        self.recorder.note(now or boottime(), kind, what, operations)
        return operations

    def _save(self) -> None:
        self._store.save(self.state, policies=not self.state.held)
        self.state.identities.news()  # they are in the snapshot
        self.recorder.saved()

    def dump(self) -> dict[str, Any]:
        """The flight recorder's events and what they began with."""
        with self._lock:
            return self.recorder.dump(self._store.base(), self.state.settings, self.state.index)

    def _changed(self) -> int:
        """Policies or endpoints are others: disk, names of rules, proxies."""
        snapshot = policy_state(self.state)  # first: it may number rules
        self._save()
        write_rules(self._rules_file, self.state)
        if self.state.held:  # proxies go on by what they have
            return self.publisher.revision
        return self._publish(snapshot)

    def _publish(self, snapshot: pb.PolicyState) -> int:
        snapshot.fqdnlab_no_leases = self._no_leases
        return self.publisher.publish(snapshot)

    def _warn(self, text: str) -> None:
        _log.warning("%s", text)
        self.warnings = [*self.warnings[-49:], text]

    @property
    def lock(self) -> threading.RLock:
        """Held while the state is read at length."""
        return self._lock
