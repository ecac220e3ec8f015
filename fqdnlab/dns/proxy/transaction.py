"""One question on its way: what is known of it until its answer is released."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Transaction"]


class Transaction:
    """From the question's arrival to the answer's release.

    Attributes
    ----------
    query : bytes
        As the client sent it.
    name : bytes
        Lower case, as on the wire.
    end : int
        Where the question ends in `query`.
    client, server : bytes
        4 or 16 octets.
    client_port, port, transport : int
    endpoint, rule : int
    start : int
        CLOCK_BOOTTIME, ns.
    send : callable
        Gives octets to the client.
    number : int
        The id with which it was asked upstream.
    asked : dict or None
        Questions that wait where this one does, by `number`; None: no answer is awaited.
    took : int
        ns from `start` to its end; 0: it is not ended.
    answer : bytes
        What will be released.
    leased : bool
        Whether the kernel holds its addresses already; it waits for another's answer only.
    early : int
        `fqdnlab.model.dnsrecord.Early`.
    done : bool
    """

    __slots__ = (
        "answer",
        "asked",
        "client",
        "client_port",
        "done",
        "early",
        "end",
        "endpoint",
        "leased",
        "name",
        "number",
        "port",
        "query",
        "rule",
        "send",
        "server",
        "start",
        "took",
        "transport",
    )

    def __init__(
        self,
        query: bytes,
        name: bytes,
        end: int,
        client: bytes,
        client_port: int,
        server: bytes,
        port: int,
        transport: int,
        endpoint: int,
        rule: int,
        start: int,
        send: Callable[[bytes], None],
    ) -> None:
        self.query = query
        self.name = name
        self.end = end
        self.client = client
        self.client_port = client_port
        self.server = server
        self.port = port
        self.transport = transport
        self.endpoint = endpoint
        self.rule = rule
        self.start = start
        self.send = send
        self.number = 0
        self.asked: dict[int, Transaction] | None = None
        self.leased = False
        self.answer = b""
        self.early = 0
        self.done = False
        self.took = 0

    def forget(self) -> None:
        """Stop waiting for an answer from upstream: one that comes is believed no more."""
        if self.asked is not None:
            del self.asked[self.number]
            self.asked = None
