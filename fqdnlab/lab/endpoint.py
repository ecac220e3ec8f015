"""An endpoint (a workload): run commands in it, connect from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fqdnlab.lab.capture import Capture
from fqdnlab.lab.running import Result, Running
from fqdnlab.lab.traffic import Kind, Traffic
from fqdnlab.patience import patiently
from fqdnlab.pb import control_pb2 as pb

if TYPE_CHECKING:
    from fqdnlab.lab.endpoints import Endpoints
    from fqdnlab.lab.node import Node

__all__ = ["Connection", "Endpoint"]

#: argv: host port seconds; as source text, as an endpoint's user need not read this package.
_CONNECT = """
import socket, sys, time
start = time.monotonic()
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as s:
        print("connected", s.getpeername()[0], round((time.monotonic() - start) * 1000, 3))
except socket.gaierror as error:
    sys.exit(f"unresolved: {error.strerror}")
except OSError as error:
    sys.exit(f"unreachable: {type(error).__name__}: {error}")
"""


@dataclass(frozen=True)
class Connection:
    """What came of an attempt to connect.

    Attributes
    ----------
    ok : bool
    address : str
        Reached; empty if none was.
    milliseconds : float
        Look-up and connect together.
    error : str
        ``unresolved: …`` or ``unreachable: …``; empty if it was reached.
    """

    ok: bool
    address: str
    milliseconds: float
    error: str

    def __bool__(self) -> bool:
        return self.ok


class Endpoint:
    """An endpoint of a lab; made by `Lab.endpoint`.

    Attributes
    ----------
    name, namespace : str
    labels : dict of str to str
    ip4, ip6 : str
    node : str
        The node that it is on.
    machine : str
        The machine that it is; empty: a network namespace on its node.
    """

    def __init__(self, lab: Endpoints, node: Node, message: pb.Endpoint) -> None:
        self._lab = lab
        self.message = message
        self.node = node.name
        self.machine = message.machine
        self.id = message.id
        self.name = message.name
        self.namespace = message.namespace
        self.labels = dict(message.labels)
        self.ip4 = message.ip4
        self.ip6 = message.ip6

    def __repr__(self) -> str:
        return f"<Endpoint {self.namespace}/{self.name} {self.ip4} {self.labels}>"

    def popen(
        self,
        argv: Sequence[str],
        timeout: float = 0.0,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Running:
        """Start a command in the endpoint, as the lab's user (`nobody` where that is root).

        Parameters
        ----------
        argv : sequence of str
        timeout : float
            Seconds after which it is ended; 0: never.
        """
        return Running(self._lab.peer_of(self), self.name, argv, timeout, env, stdin)

    def run(
        self,
        argv: Sequence[str],
        timeout: float = 60.0,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Result:
        """Run a command in the endpoint to its end.

        Raises
        ------
        UnavailableError
            If the node service is dead.
        LateError
            If the command is not ended and told of in time.
        """
        return self.popen(argv, patiently(timeout), env, stdin).wait(timeout + 10)

    def connect(self, host: str, port: int, timeout: float = 3.0) -> Connection:
        """Look `host` up and connect to it by TCP, with plain sockets of the system's Python.

        Parameters
        ----------
        host : str
            A name or an address.
        port : int
        timeout : float
            Seconds for each address.
        """
        argv = ["python3", "-c", _CONNECT, host, str(port), str(timeout)]
        result = self.run(argv, timeout=timeout * 4 + 20)
        words = result.stdout.split()
        if result.exit == 0 and len(words) == 3:
            return Connection(True, words[1], float(words[2]), "")
        return Connection(False, "", 0.0, result.stderr.strip() or f"exit {result.exit}")

    def traffic(
        self, kind: Kind, name: str, port: int = 443, rate: float = 5.0, seconds: float = 0.0
    ) -> Traffic:
        """Start traffic (`fqdnlab.lab.traffic.Traffic` has the kinds and the units)."""
        return Traffic(self, kind, name, port, rate, seconds)

    def capture(self, limit: int = 64 << 20) -> Capture:
        """Capture its packets from now on, at most `limit` octets (`fqdnlab.lab.capture`)."""
        return Capture(self._lab.peer_of(self), self.name, limit)

    def delete(self) -> None:
        """Remove the endpoint."""
        self._lab.delete_endpoint(self.name)
