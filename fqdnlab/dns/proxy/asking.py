"""What is done with each question: policy, limits, time-outs; the middle of way 2."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import takewhile

from fqdnlab.dns.proxy.answers import Answers, Record
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.question import Question
from fqdnlab.dns.proxy.table import PolicyTable
from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.dns.proxy.upstream import UdpUpstreams
from fqdnlab.dns.proxy.wire import NXDOMAIN, REFUSED
from fqdnlab.model.dnsrecord import Outcome
from fqdnlab.model.settings import LabSettings
from fqdnlab.pb import fqdndata_pb2 as pb

__all__ = ["Asking"]

UDP, TCP = 17, 6
Ask = Callable[[Transaction], None]


class Asking:
    """Judges questions and sees them through.

    Parameters
    ----------
    loop : event loop
    settings : LabSettings
    answers : Answers
    record : callable
    counts : Counts
    most_sockets : int
        Descriptors that questions over UDP may take.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: LabSettings,
        answers: Answers,
        record: Record,
        counts: Counts,
        most_sockets: int,
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._answers = answers
        self._record = record
        self._counts = counts
        self._reject = REFUSED if settings.reject_code == "refused" else NXDOMAIN
        self._limit = settings.concurrency_limit
        self._timeout_ns = int(settings.upstream_timeout * 1e9)
        self.table = PolicyTable(pb.PolicyState())
        self.upstreams = UdpUpstreams(
            loop, self.answered, self.give_up, settings.transparent, most_sockets
        )
        # What awaits its answer, oldest first; what has it is let go at once, so that its memory,
        # still in the caches, serves the next.
        self._asked: dict[Transaction, None] = {}
        self._queue: deque[tuple[float, Transaction, Ask]] = deque()

    # ------------------------------------------------------------ questions

    def question(
        self, octets: bytes, client: bytes, server: bytes, port: int, transport: int
    ) -> Question:
        """Way 2.4: read and judge.

        Parameters
        ----------
        octets : bytes
            A message but for its id.
        client, server : bytes
        port, transport : int

        Raises
        ------
        MalformedError
        """
        made = Question(octets, client, server, port, transport)
        made.judge(self.table.decide(client, server, port << 8 | transport, made.name))
        return made

    def allowed(self, t: Transaction) -> bool:
        """Whether it is to be asked; a denied question is answered here and now."""
        self._counts.received += 1
        if t.question.allowed:
            self._counts.forwarded += 1
            return True
        self._counts.denied += 1
        t.done = True
        t.send(t, t.question.error(self._reject))
        self._record(t, Outcome.DENIED, t.question.octets)
        return False

    def ask_udp(self, t: Transaction) -> None:
        """Way 2.5 over UDP."""
        if self.allowed(t):
            self.ask(t, self.upstreams.ask)

    def ask(self, t: Transaction, ask: Ask) -> None:
        """Way 2.5, or wait for room, or be shed.

        Parameters
        ----------
        t : Transaction
        ask : callable
            Sends the question on and sets `t.asked`; OSError if it cannot.
        """
        if self._limit and len(self._asked) >= self._limit:
            self._no_room(t, ask)
            return
        self._asked[t] = None
        try:
            ask(t)
        except OSError:
            del self._asked[t]
            self._answers.failed(t)

    def answered(self, t: Transaction, octets: bytes, now: int) -> None:
        """Way 2.6 is done: `octets` (a message but for its id), which came `now`, are believed."""
        del self._asked[t]
        self._answers.answered(t, octets, now)
        if self._queue:
            self._next()

    def give_up(self, t: Transaction, silent: bool = False) -> None:
        """No answer will come, or nobody waits for it any more."""
        if t.asked is not None:
            t.forget()
            del self._asked[t]
        self._answers.failed(t, silent)

    # ------------------------------------------------------------ limits

    def _no_room(self, t: Transaction, ask: Ask) -> None:
        grace = self._settings.concurrency_grace
        if not grace:
            self._shed(t)
            return
        self._queue.append((self._loop.time() + grace, t, ask))
        self._loop.call_later(grace, self._shed_late)

    def _shed(self, t: Transaction) -> None:
        self._counts.shed += 1
        self._answers.failed(t)

    def _shed_late(self) -> None:
        now = self._loop.time() + 0.0005
        while self._queue and self._queue[0][0] <= now:
            self._shed(self._queue.popleft()[1])

    def _next(self) -> None:
        while self._queue and len(self._asked) < self._limit:
            self.ask(*self._queue.popleft()[1:])

    # ------------------------------------------------------------ time-outs

    def sweep(self) -> None:
        """Give up on questions whose time is over; called a few times a second."""
        last = boottime() - self._timeout_ns
        silent = self._settings.upstream_timeout_answer == "silent"
        for t in [*takewhile(lambda t: t.start <= last, self._asked)]:
            self.give_up(t, silent)
        self.upstreams.close_idle()
        if self._queue:
            self._next()

    @property
    def busy(self) -> bool:
        """Whether a question still waits for its answer, or an answer for the kernel."""
        return bool(self._asked or self._queue) or self._answers.holding
