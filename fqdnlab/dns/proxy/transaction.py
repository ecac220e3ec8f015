"""One question on its way: what is known of it until its answer is released."""

from __future__ import annotations

from collections.abc import Callable

from fqdnlab.dns.proxy.question import Question

__all__ = ["Transaction"]


class Transaction:
    """From the question's arrival to the answer's release.

    Attributes
    ----------
    question : Question
    identity : int
        The client's id.  Of ids, here and upstream, nothing but the octets matters: little endian.
    client_port : int
        As in a sockaddr: network order, read as little endian.
    start : int
        CLOCK_BOOTTIME, ns.
    send : callable
        Gives the client a message, told without its id.
    number : int
        The id with which it was asked upstream.
    asked : dict or None
        Questions that wait where this one does, by `number`; None: no answer is awaited.
    took : int
        ns from `start` to its end; 0: it is not ended.
    answer : bytes
        What will be released, but for the id.
    leased : bool
        Whether the kernel holds its addresses already; it waits for another's answer only.
    early : int
        `fqdnlab.model.dnsrecord.Early`.
    done : bool
    """

    __slots__ = (
        "answer",
        "asked",
        "client_port",
        "done",
        "early",
        "identity",
        "leased",
        "number",
        "question",
        "send",
        "start",
        "took",
    )

    answer: bytes  # from the moment it came
    number: int  # from the moment it is asked upstream

    def __init__(
        self,
        question: Question,
        identity: int,
        client_port: int,
        start: int,
        send: Callable[[Transaction, bytes], None],
    ) -> None:
        self.question = question
        self.identity = identity
        self.client_port = client_port
        self.start = start
        self.send = send
        self.asked: dict[int, Transaction] | None = None
        self.leased = False
        self.early = 0
        self.done = False
        self.took = 0

    def forget(self) -> None:
        """Stop waiting for an answer from upstream: one that comes is believed no more."""
        if self.asked is not None:
            del self.asked[self.number]
            self.asked = None
