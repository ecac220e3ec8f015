"""What is asked, by whom and of whom: the same however often it is asked; read, judged once."""

from __future__ import annotations

from fqdnlab.dns.proxy.table import Decision
from fqdnlab.dns.proxy.wire import error_reply, limit_edns, read_question

__all__ = ["Lease", "Question"]

_NO_ID = b"\0\0"
_RESPONSE, _KIND = 0x80, 0xF8  # of the third octet: QR, and OPCODE with it


class Lease:
    """Until when the agent has promised to keep the addresses of one name open for one endpoint.

    Attributes
    ----------
    until : dict
        Of each address; CLOCK_BOOTTIME, ns.
    addresses : tuple of bytes
        Those of the last answer it was asked about; empty: ask anew.
    least : int
        The earliest end of these.
    """

    __slots__ = ("addresses", "least", "until")

    def __init__(self) -> None:
        self.until: dict[bytes, int] = {}
        self.addresses: tuple[bytes, ...] = ()
        self.least = 0

    def look(self, addresses: tuple[bytes, ...]) -> None:
        """Note the earliest end of these."""
        self.addresses = addresses
        self.least = min(self.until.get(address, 0) for address in addresses)

    def note(self, addresses: tuple[bytes, ...], until: int) -> None:
        """It is promised for these."""
        self.addresses = ()
        for address in addresses:
            self.until[address] = until

    def forget(self) -> None:
        """It promises nothing any more."""
        self.until.clear()
        self.addresses = ()


class Question:
    """A question as one endpoint asks one server; see `read`.

    Attributes
    ----------
    octets : bytes
        As the client sent it, but for the id.
    out : bytes
        As it is sent on over UDP, but for the id.
    name : bytes
        Lower case, as on the wire.
    end : int
        Where the question ends in the message.
    client, server : bytes
        4 or 16 octets.
    port, transport : int
    allowed : bool
    endpoint, rule : int
        What policy says of it (way 2.4).
    key : tuple
        Endpoint and name.
    way : tuple
        Client, server and port.
    seen : bytes or None
        The last answer that was believed and read, but for the id; it says
    addresses : tuple of bytes
    seconds : int
        Its TTL, of lab time.
    lease : Lease or None
        The last that was found for `key`.
    back : bytes
        The listener's: how its answers are addressed.
    told : bytes
        The records': what they say of it.
    """

    __slots__ = (
        "addresses",
        "allowed",
        "back",
        "client",
        "end",
        "endpoint",
        "key",
        "lease",
        "name",
        "octets",
        "out",
        "port",
        "rule",
        "seconds",
        "seen",
        "server",
        "told",
        "transport",
        "way",
    )

    def __init__(
        self, octets: bytes, client: bytes, server: bytes, port: int, transport: int
    ) -> None:
        """Read it.

        Raises
        ------
        MalformedError
        """
        data = _NO_ID + octets
        self.name, _, self.end = read_question(data)
        self.octets = octets
        self.out = limit_edns(data, self.end)[2:]
        self.client = client
        self.server = server
        self.port = port
        self.transport = transport
        self.way = client, server, port
        self.seen: bytes | None = None
        self.addresses: tuple[bytes, ...] = ()
        self.seconds = 0
        self.lease: Lease | None = None
        self.back = b""
        self.told = b""
        self.judge(Decision(False, 0, 0))

    def judge(self, decision: Decision) -> None:
        """Take what policy says."""
        self.allowed, self.rule, self.endpoint = decision
        self.key = self.endpoint, self.name

    def error(self, rcode: int) -> bytes:
        """A reply of no records, but for the id."""
        return error_reply(_NO_ID + self.octets, rcode, self.end)[2:]

    def asks_for(self, answer: bytes) -> bool:
        """Way 2.6: whether these octets (a message but for its id) answer it, letter for letter."""
        return answer == self.seen or (
            len(answer) >= 10
            and answer[0] & _KIND == _RESPONSE
            and answer[3] == 1
            and not answer[2]
            and answer.startswith(self.octets[10 : self.end - 2], 10)
        )
