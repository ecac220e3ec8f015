"""Snapshots to the proxies that are connected, and what they have acknowledged (ways 1.7, 1.8)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from fqdnlab.pb import fqdndata_pb2 as pb

__all__ = ["Publisher", "Session"]


class Session:
    """One proxy's policy stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent = 0
        self.acked = 0
        self.open = True


class Publisher:
    """The newest snapshot, and who has it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._snapshot = pb.PolicyState()
        self._octets = b""
        self.revision = 0
        self._sessions: list[Session] = []
        self._mapping_queues: list[queue.SimpleQueue[pb.MappingAcks | None]] = []
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether some proxy listens."""
        return bool(self._sessions)

    @property
    def acked(self) -> int:
        """The newest snapshot that every connected proxy has acknowledged; 0 without one."""
        return min((s.acked for s in self._sessions), default=0)

    def publish(self, snapshot: pb.PolicyState) -> int:
        """Make `snapshot` the newest; return its revision (the old one, if nothing changed)."""
        octets = snapshot.SerializeToString(deterministic=True)
        with self._changed:
            if octets != self._octets or not self.revision:
                self.revision += 1
                self._octets = octets
                self._snapshot = snapshot
                self._changed.notify_all()
            return self.revision

    def wait(self, revision: int, timeout: float) -> list[str]:
        """Wait until all connected proxies have acknowledged `revision`; name who is late."""
        with self._changed:
            self._changed.wait_for(lambda: not self._late(revision), timeout)
            return self._late(revision)

    def _late(self, revision: int) -> list[str]:
        return [s.name for s in self._sessions if s.acked < revision]

    # ------------------------------------------------------------ a proxy's streams

    def connect(self, name: str) -> Session:
        """A proxy has opened its policy stream."""
        session = Session(name)
        with self._changed:
            self._sessions.append(session)
        return session

    def disconnect(self, session: Session) -> None:
        """It is gone; nobody waits for it any more."""
        with self._changed:
            session.open = False
            if session in self._sessions:
                self._sessions.remove(session)
            self._changed.notify_all()

    def acknowledge(self, session: Session, revision: int) -> None:
        """It holds snapshot `revision`."""
        with self._changed:
            session.acked = max(session.acked, revision)
            self._changed.notify_all()

    def snapshots(self, session: Session) -> Iterator[pb.PolicyState]:
        """Each newest snapshot, once the one before is acknowledged."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        not self._going_on(session)
                        or (self.revision > session.sent and session.acked >= session.sent)
                    )
                )
                if not self._going_on(session):
                    return
                session.sent = self.revision
                message = pb.PolicyState()
                message.CopyFrom(self._snapshot)
            message.request_id = str(session.sent)
            message.fqdnlab_revision = session.sent
            yield message

    def _going_on(self, session: Session) -> bool:
        return session.open and not self._closed

    # ------------------------------------------------------------ leases

    def open_queue(self) -> queue.SimpleQueue[pb.MappingAcks | None]:
        """Where acknowledgements for one mapping stream are put; None ends it."""
        made: queue.SimpleQueue[pb.MappingAcks | None] = queue.SimpleQueue()
        with self._changed:
            self._mapping_queues.append(made)
            if self._closed:
                made.put(None)
        return made

    def close_queue(self, one: queue.SimpleQueue[pb.MappingAcks | None]) -> None:
        """The stream has ended."""
        with self._changed:
            self._mapping_queues.remove(one)

    def forget_leases(self) -> None:
        """Tell every proxy that promises of the past hold no more."""
        with self._changed:
            for one in self._mapping_queues:
                one.put(pb.MappingAcks(forget_leases=True))

    def close(self) -> None:
        """End all streams."""
        with self._changed:
            self._closed = True
            for one in self._mapping_queues:
                one.put(None)
            self._changed.notify_all()
