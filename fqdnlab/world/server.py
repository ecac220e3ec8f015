"""The world's servers together, on one event loop: DNS over UDP, TCP, TLS, HTTPS, and the web."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fqdnlab.errors import SetupError, UsageError
from fqdnlab.world.behaviour import Behaviours
from fqdnlab.world.ca import Authority
from fqdnlab.world.forward import ask
from fqdnlab.world.http import WebServer, WebState
from fqdnlab.world.listen import Handler, Listener
from fqdnlab.world.log import QueryLog
from fqdnlab.world.mangle import Reply
from fqdnlab.world.responder import Deferred, Responder
from fqdnlab.world.store import Store, packed_address
from fqdnlab.world.tcp import StreamServer, answer_over_stream, forwarded
from fqdnlab.world.udp import Asked, UdpServer

__all__ = ["Servers"]

DNS, HTTP, HTTPS, DOT = 53, 80, 443, 853
_MAX_SILENT = 400  # addresses: what a listener's filter holds
_log = logging.getLogger(__name__)


class Servers:
    """Everything that serves.  Make and use it on the running event loop.

    Parameters
    ----------
    state : Path
        Directory for the CA.

    Raises
    ------
    SetupError
        If a port is taken.
    """

    def __init__(self, state: Path) -> None:
        self.store = Store()
        self.behaviours = Behaviours()
        self.log = QueryLog()
        self.authority = Authority(state)
        self.responder = Responder(self.store, self.behaviours, self.log)
        self.webs: dict[str, WebState] = {}
        self.ports: dict[int, bool] = {}  # web port → over TLS
        self._loop = asyncio.get_running_loop()
        self._web_listeners: list[Listener] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._close = ExitStack()
        streams = StreamServer(self.responder, ask)
        self._web = WebServer(self.web_state, self._count_web, self._doh)
        try:
            for v6 in (False, True):
                udp = UdpServer(self._loop, self.responder, self._forward_udp, v6, DNS)
                self._close.callback(udp.close)
                self._open(DNS, v6, streams.handle)
                self._open(DOT, v6, streams.handle, tls=True)
        except OSError as error:
            self.close()
            raise SetupError(
                f"the world cannot listen for DNS: {error}", "give it a namespace of its own"
            ) from error
        self.listen(HTTP, tls=False)
        self.listen(HTTPS, tls=True)

    # ------------------------------------------------------------ listening

    def listen(self, port: int, tls: bool) -> None:
        """Serve the web on one more port of all addresses; again is fine.

        Raises
        ------
        UsageError
            If the port is not free or cannot be.
        """
        if not 0 < port < 1 << 16:
            raise UsageError(f"{port} is no port", "expected 1 to 65535")
        if self.ports.get(port) == tls:
            return
        made: list[Listener] = []
        try:
            made += [self._open(port, v6, self._web.handle, tls, web=True) for v6 in (False, True)]
        except OSError as error:
            raise UsageError(f"cannot listen on port {port}: {error}", "take another") from None
        self.ports[port] = tls
        self._web_listeners += made
        self._silence()

    def _open(
        self, port: int, v6: bool, handler: Handler, tls: bool = False, web: bool = False
    ) -> Listener:
        listener = Listener(
            port,
            v6,
            handler,
            self.authority.context if tls else None,
            (lambda address: self.web_state(address).state == "reset") if web else None,
        )
        self._close.callback(listener.close)
        return listener

    # ------------------------------------------------------------ the web

    def web_state(self, address: str) -> WebState:
        """How the web server at `address` behaves."""
        return self.webs.get(address) or self.webs.get("") or WebState()

    def set_web(self, address: str, state: WebState) -> None:
        """Set it, from the next connection on; of all addresses if `address` is empty.

        Raises
        ------
        UsageError
            If it cannot be.
        """
        if state.state not in ("on", "off", "reset"):
            raise UsageError(f"a web server cannot be {state.state!r}", "one of on, off, reset")
        if state.state == "off" and not address:
            raise UsageError("not all web servers can be off at once", 'name them, or use "reset"')
        if not 0 <= state.delay <= 3600:
            raise UsageError(f"a delay of {state.delay} s cannot be", "expected 0 to 3600")
        if state.status and not 200 <= state.status <= 599:
            raise UsageError(f"{state.status} is no status of a response", "expected 200 to 599")
        key = str(ipaddress.ip_address(packed_address(address))) if address else ""
        webs = {at: there for at, there in self.webs.items() if at != key}
        if state != WebState():
            webs[key] = state
        if sum(there.state == "off" for there in webs.values()) > _MAX_SILENT:
            raise UsageError(f"more than {_MAX_SILENT} web servers off", "switch others on first")
        self.webs = webs
        self._silence()

    def clear_web(self) -> None:
        """All web servers are normal again."""
        self.webs = {}
        self._silence()

    def _silence(self) -> None:
        silent = [packed_address(at) for at, there in self.webs.items() if there.state == "off"]
        for listener in self._web_listeners:
            listener.silence(silent)

    def _count_web(self) -> None:
        self.log.web_requests_ever += 1

    # ------------------------------------------------------------ DNS by other ways

    async def _doh(self, data: bytes, address: str, client: tuple[str, int]) -> bytes | None:
        answer = None  # HTTP takes one: the last, which is the true one
        async for one in answer_over_stream(self.responder, ask, data, address, client, "https"):
            answer = one
        return answer

    def _forward_udp(self, deferred: Deferred, data: bytes, asked: Asked, udp: UdpServer) -> None:
        async def pass_on() -> None:
            answer = await forwarded(ask, deferred, data, False)
            if answer is not None:
                udp.send(Reply(answer), asked)

        self._start(pass_on())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Serve no more."""
        with contextlib.suppress(OSError):
            self._close.close()
        for task in self._tasks:
            task.cancel()
