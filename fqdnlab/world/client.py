"""The world's client: names, addresses, faults, and what was asked.

Blocking gRPC with a deadline on each call; safe in threads.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from fqdnlab.errors import UsageError
from fqdnlab.pb import world_pb2
from fqdnlab.world.behaviour import Behaviour
from fqdnlab.world.client_call import texts, unsigned
from fqdnlab.world.client_names import Names, RecordsOf

__all__ = ["Count", "Query", "RecordsOf", "World"]

_LISTS = ("wrong", "wrong_addresses", "extra", "types", "transports")
_FAULTS = tuple(field.name for field in world_pb2.Behaviour.DESCRIPTOR.fields)

_NOBODY = "0.0.0.0"


@dataclass(frozen=True)
class Query:
    """A question that came to the world.

    Attributes
    ----------
    number : int
        From 1, without gaps; give it to `World.queries` as `since`.
    boottime_ns : int
        CLOCK_BOOTTIME.
    client, client_port, server : str, int, str
        Who asked, and whom.
    name : str
        As asked, its case kept, without the last dot.
    type : str
    id : int
    transport : str
        ``udp``, ``tcp``, ``tls`` or ``https``.
    """

    number: int
    boottime_ns: int
    client: str
    client_port: int
    server: str
    name: str
    type: str
    id: int
    transport: str


@dataclass(frozen=True)
class Count:
    """How often `server` was asked for `name` and `type` over `transport`."""

    server: str
    name: str
    type: str
    transport: str
    count: int


class World(Names):
    """The simulated internet of a lab.

    Parameters
    ----------
    where : path or grpc.Channel
        The control socket, or a channel to it (which stays the caller's).
    timeout : float
        Seconds for each call.

    Examples
    --------
    >>> world["api.example.com"] = ["198.51.100.7", "2001:db8::7"]  # doctest: +SKIP
    >>> world.fault("api.example.com", delay=0.5)                    # doctest: +SKIP
    """

    # ------------------------------------------------------------ behaviours

    def fault(self, name_or_server: str = "", *, server: str = "", **behaviour: Any) -> None:
        """Let a name or a DNS server misbehave, from now on; the narrowest setting holds.

        Parameters
        ----------
        name_or_server : str
            A name (``"*.x"``: all below x), a DNS server's address, or nothing: every question.
        server : str
            With a name: only where this server is asked.
        **behaviour
            In place of what was set for the same; none at all: normal again.
            ``delay`` (s), ``loss`` (probability) with ``seed``, ``rcode``, ``silent``,
            ``truncate``, ``limit`` (addresses an answer), ``rotate_each``,
            ``wrong`` (list of ``"id"``, ``"name"``, ``"type"``, ``"port"``, ``"address"``: a forged
            answer for each, sent before the true one, or with ``instead=True`` in its place;
            ``wrong_addresses`` is what they say), ``extra`` (list of ``"NAME ADDRESS"`` for the
            additional section), ``malformed`` (``"empty"``, ``"short"``, ``"counts"``,
            ``"pointer"``, ``"garbage"``, ``"oversized"``, ``"hex:…"``),
            ``forward`` (``"ADDRESS:PORT"`` or ``"unix:/PATH"`` of a real server),
            ``times`` (questions, then gone), ``types`` and ``transports`` (only for those).

        Raises
        ------
        UsageError
            For a behaviour that is not known or cannot be; nothing is changed.
        """
        name = name_or_server
        if _is_address(name_or_server):
            if server:
                raise UsageError("two servers were given", "give a name and server=…, or a server")
            name, server = "", name_or_server
        message = _behaviour(behaviour)
        self._call("SetFault", world_pb2.FaultRequest(name=name, server=server, behaviour=message))

    def clear_faults(self, name_or_server: str = "") -> None:
        """Take behaviours away: those of a name, of a server, or all, web servers' too."""
        which = "server" if _is_address(name_or_server) else "name"
        self._call("ClearFaults", world_pb2.ClearFaultsRequest(**{which: name_or_server}))

    def faults(self) -> list[tuple[str, str, dict[str, Any]]]:
        """What is set now: (name or "", server or "", behaviour as `fault` takes it) each."""
        nobody = world_pb2.ClearFaultsRequest(server=_NOBODY)  # the reply lists what is left
        reply = self._call("ClearFaults", nobody)
        return [
            (f.name, f.server, {field.name: _plain(v) for field, v in f.behaviour.ListFields()})
            for f in reply.faults
        ]

    def off(self, address: str) -> None:
        """Let the web server at an address be silent: nobody answers a SYN.  See also `web`."""
        self.web(address, state="off")

    def on(self, address: str) -> None:
        """Let the web server at an address be normal again."""
        self.web(address)

    def web(
        self, address: str = "", *, state: str = "on", delay: float = 0.0, status: int = 0
    ) -> None:
        """Set how the web server at an address (or, with none, all) behaves.

        Parameters
        ----------
        address : str
        state : str
            ``"on"``, ``"off"`` (silent), ``"reset"`` (takes the connection and resets it).
            Connections that are there stay.
        delay : float
            Seconds before each response.
        status : int
            The status of each response in place of 200.

        Raises
        ------
        UsageError
            If one of them cannot be.
        """
        request = world_pb2.WebRequest(address=address, state=state, delay=delay)
        request.status = unsigned("status", status)
        self._call("SetWeb", request)

    def listen(self, port: int, *, tls: bool = False) -> None:
        """Let the web servers serve one more port, on every address.

        Raises
        ------
        UsageError
            If the port cannot be or is taken.
        """
        self._call("Listen", world_pb2.ListenRequest(port=unsigned("port", port), tls=tls))

    # ------------------------------------------------------------ what was asked

    def queries(
        self, since: int | Query = 0, *, name: str = "", server: str = "", most: int = 0
    ) -> list[Query]:
        """Questions after `since`, oldest first; the newest 50,000 are kept.

        Parameters
        ----------
        since : int or Query
        name, server : str
            Only questions for this name, to this server.
        most : int
            Only the newest so many.
        """
        number = since.number if isinstance(since, Query) else unsigned("since", since)
        reply = self._call(
            "Queries",
            world_pb2.QueriesRequest(
                since=number, name=name, server=server, most=unsigned("most", most)
            ),
        )
        fields = Query.__dataclass_fields__
        return [Query(**{key: getattr(q, key) for key in fields}) for q in reply.queries]

    def newest(self) -> int:
        """Number of the newest question, for `queries`; 0 if there was none."""
        return int(self._call("Queries", world_pb2.QueriesRequest(most=1)).newest)

    def counts(self, *, reset: bool = False) -> list[Count]:
        """Questions by server, name, type and transport, since the start or the last reset."""
        reply = self._call("Counts", world_pb2.CountsRequest(reset=reset))
        fields = Count.__dataclass_fields__
        return [Count(**{key: getattr(c, key) for key in fields}) for c in reply.counts]

    def totals(self) -> dict[str, int]:
        """``queries``, ``malformed`` (no question) and ``web_requests`` since start or reset."""
        reply = self._call("Counts", world_pb2.CountsRequest())
        return {
            "queries": reply.total,
            "malformed": reply.malformed,
            "web_requests": reply.web_requests,
        }

    def clients(self) -> list[str]:
        """Source addresses of questions, the last seen first (at most 1,000)."""
        return [*self._call("Counts", world_pb2.CountsRequest()).clients]

    def ca_pem(self) -> bytes:
        """The certificate of the lab's CA, which signs the world's servers."""
        return bytes(self._call("Info", world_pb2.InfoRequest()).ca_pem)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else list(value)


def _behaviour(given: dict[str, Any]) -> world_pb2.Behaviour:
    for key in given:
        if key not in _FAULTS:
            raise UsageError(f"{key!r} is no behaviour", f"one of {', '.join(_FAULTS)}")
    values: dict[str, Any] = {
        key: tuple(texts(value)) if key in _LISTS else value for key, value in given.items()
    }
    try:
        Behaviour(**values)  # the same check as the world's, before anything is sent
        return world_pb2.Behaviour(**values)
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"that behaviour cannot be: {error}", "see World.fault") from None
