"""What the world was asked: a ring of questions, and counts.  Belongs to the event loop."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Entry", "QueryLog"]

KEPT = 50_000  # questions
CLIENTS = 1_000  # source addresses
COUNTED = 100_000  # servers × names × types × transports; the rest is counted under `OTHERS`
OTHERS = b"\0\0\0\0\1"  # the root, type 0


class Entry(NamedTuple):
    """One question as it came."""

    number: int
    boottime: int  # ns
    client: str
    client_port: int
    server: bytes
    name: bytes  # wire, as asked
    type: int
    id: bytes
    transport: str


class QueryLog:
    """Questions and counts since the start (or the last reset)."""

    def __init__(self) -> None:
        self._ring: deque[Entry] = deque(maxlen=KEPT)
        self._clients: OrderedDict[str, None] = OrderedDict()
        #: (server, name, type and class in lower-case wire form, transport) → questions
        self.counts: Counter[tuple[bytes, bytes, str]] = Counter()
        #: questions by transport; never reset
        self.transports: Counter[str] = Counter()
        self.newest = 0
        self.malformed_ever = 0
        self.web_requests_ever = 0
        self._before_reset = (0, 0)

    def add(
        self,
        client: tuple[str, int],
        server: bytes,
        name: bytes,
        key: bytes,
        qtype: int,
        number: bytes,
        transport: str,
    ) -> None:
        """Count a question and keep it."""
        self.newest += 1
        self._ring.append(
            Entry(
                self.newest,
                time.clock_gettime_ns(time.CLOCK_BOOTTIME),
                client[0],
                client[1],
                server,
                name,
                qtype,
                number,
                transport,
            )
        )
        self.transports[transport] += 1
        place = server, key, transport
        if len(self.counts) >= COUNTED and place not in self.counts:
            place = server, OTHERS, transport
        self.counts[place] += 1
        self._clients[client[0]] = None
        self._clients.move_to_end(client[0])
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)

    @property
    def dropped(self) -> int:
        """Questions that the ring holds no more."""
        return self._ring[0].number - 1 if self._ring else 0

    @property
    def malformed(self) -> int:
        """Messages that were no question, since the reset."""
        return self.malformed_ever - self._before_reset[0]

    @property
    def web_requests(self) -> int:
        """Requests to web servers, since the reset."""
        return self.web_requests_ever - self._before_reset[1]

    def since(self, number: int) -> Iterator[Entry]:
        """Those after `number`, oldest first."""
        skip = max(0, number - self.dropped)
        for at in range(skip, len(self._ring)):
            yield self._ring[at]

    def clients(self) -> list[str]:
        """Source addresses, the last seen first."""
        return list(reversed(self._clients))

    def reset(self) -> None:
        """Counts begin anew; the questions kept stay, with their numbers."""
        self.counts.clear()
        self._clients.clear()
        self._before_reset = self.malformed_ever, self.web_requests_ever
