"""The bounded history: slots of octets, numbered without end, overwritten oldest first.

One slot is one flow.  A policy drop makes two slots over the same octets, because Hubble has two
flows of it (policy verdict, then drop).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

__all__ = ["History", "Kind", "Slot"]


_OCTETS = 128 << 20


class Kind(IntEnum):
    """What the octets of a slot are."""

    VERDICT = 0  # struct flow_event, shown as a policy verdict
    DROP = 1  # struct flow_event, shown as a drop
    DNS_REQUEST = 2  # a DNS record of the proxy, shown as the question
    DNS_RESPONSE = 3  # the same octets, shown as the answer
    LOST = 4  # no flow: so many events are missing here; source u8, count u64


class Slot(NamedTuple):
    """One flow, not decoded.

    Attributes
    ----------
    time : int
        CLOCK_BOOTTIME, ns.
    kind : Kind
    raw : bytes
    """

    time: int
    kind: Kind
    raw: bytes


class History:
    """The last `capacity` slots; any number of readers, one writer.

    Parameters
    ----------
    capacity : int
        Slots kept; at least 1.
    octets : int
        What the slots and their decoded forms may hold; fewer are kept where they are large.
    """

    def __init__(self, capacity: int, octets: int = _OCTETS) -> None:
        self.capacity = max(1, capacity)
        self._limit = octets
        self._octets = 0
        self._oldest = 0
        self._slots: list[Slot | None] = [None] * self.capacity
        self._decoded: list[bytes | None] = [None] * self.capacity
        self._next = 0
        self._changed = threading.Condition()
        self._closed = False

    @property
    def newest(self) -> int:
        """Number that the next slot will get."""
        return self._next

    @property
    def oldest(self) -> int:
        """Number of the oldest slot that is still here."""
        return self._oldest

    def __len__(self) -> int:
        return self._next - self.oldest

    def extend(self, slots: Sequence[Slot]) -> None:
        """Append, and wake whoever waits."""
        if not slots:
            return
        with self._changed:
            at, octets = self._next % self.capacity, 0
            kept, decoded = self._slots, self._decoded
            for slot in slots:
                old = kept[at]
                if old is not None:
                    octets -= len(old[2])
                    if decoded[at] is not None:
                        self._forget_decoded(at)
                kept[at] = slot
                octets += len(slot[2])
                at += 1
                if at == self.capacity:
                    at = 0
            self._octets += octets
            self._next += len(slots)
            self._oldest = max(self._oldest, self._next - self.capacity)
            while self._octets > self._limit and self._oldest < self._next - 1:
                self._forget(self._oldest % self.capacity)
                self._oldest += 1
            self._changed.notify_all()

    def _forget(self, at: int) -> None:
        slot = self._slots[at]
        self._octets -= len(slot.raw) if slot else 0
        self._slots[at] = None
        self._forget_decoded(at)

    def _forget_decoded(self, at: int) -> None:
        self._octets -= len(self._decoded[at] or b"")
        self._decoded[at] = None

    def read(self, start: int, stop: int) -> tuple[int, list[Slot]]:
        """Slots numbered `start` to `stop` - 1, as far as they are (still) here.

        Returns
        -------
        (int, list of Slot)
            The number of the first one, and the slots.
        """
        with self._changed:
            start = max(start, self.oldest)
            stop = min(stop, self._next)
            if start >= stop:
                return start, []
            low, high = start % self.capacity, (stop - 1) % self.capacity + 1
            slots = self._slots
            part = slots[low:high] if low < high else slots[low:] + slots[:high]
        return start, [s for s in part if s is not None]

    def decoded(self, number: int) -> bytes | None:
        """What `keep_decoded` was given for that slot, if it is still here."""
        with self._changed:
            if not self.oldest <= number < self._next:
                return None
            return self._decoded[number % self.capacity]

    def keep_decoded(self, number: int, octets: bytes) -> None:
        """Keep the serialized form of a slot beside it."""
        with self._changed:
            if self.oldest <= number < self._next:
                at = number % self.capacity
                self._octets += len(octets) - len(self._decoded[at] or b"")
                self._decoded[at] = octets

    def wait(self, number: int, timeout: float) -> bool:
        """Wait until slot `number` is there; False after `timeout` seconds or once closed."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._next > number or self._closed, timeout
            ) and not (self._closed and self._next <= number)

    def close(self) -> None:
        """Wake all readers for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed
