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
    asked : bool
        Whether an answer is still awaited from upstream.
    answer : bytes
        What will be released.
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
        "name",
        "port",
        "query",
        "rule",
        "send",
        "server",
        "start",
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
        self.asked = False
        self.answer = b""
        self.early = 0
        self.done = False
