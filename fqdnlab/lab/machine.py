"""The client of the machine service, and the way to have one while it is needed."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fqdnlab import errors
from fqdnlab.errors import FqdnlabError, LateError, SetupError, StateError, UnavailableError
from fqdnlab.lab.interrupts import uninterrupted
from fqdnlab.machine.peer import LineSocket
from fqdnlab.node.processes import Process, launch, wait_ready
from fqdnlab.paths import MACHINE_SOCKET
from fqdnlab.patience import patiently
from fqdnlab.pb import control_pb2 as pb

__all__ = ["SUDO_LINE", "MachineClient", "machine_service"]

SUDO_LINE = "sudo fqdnlab serve"
_START_SECONDS = 20.0
_END_SECONDS = 60.0


class MachineClient:
    """Asks the machine service; a connection for each request.

    Parameters
    ----------
    path : Path
        Of its socket.
    timeout : float
        Seconds to wait for an answer, on a machine of our own; making a lab takes some.
    link : str
        What carries the socket, for messages; empty: it is the service's own.
    """

    def __init__(self, path: Path = MACHINE_SOCKET, timeout: float = 90.0, link: str = "") -> None:
        self._path = path
        self._timeout = timeout
        self._link = link

    def ping(self) -> dict[str, Any]:
        """``version`` and ``pid`` of the service.  Raises as `up`."""
        return self._ask("ping")

    def answers(self) -> bool:
        """Whether a machine service runs."""
        try:
            self.ping()
        except (SetupError, UnavailableError):
            return False
        return True

    def up(self, lab: str, settings: dict[str, Any] | None = None) -> bool:
        """Make the lab of that name for the calling user, or attach to it; whether it was made.

        Parameters
        ----------
        lab : str
        settings : dict, optional
            As `fqdnlab.model.settings.LabSettings` has them; missing ones: their default.

        Raises
        ------
        SetupError
            If no machine service runs.
        ConflictError
            If the lab lives with other settings.
        UsageError
            If it is another user's, or the name or a setting cannot be.
        UnavailableError, LateError
            If it does not come up: who ended or is late.
        """
        return bool(self.make(lab, settings)["created"])

    def make(
        self, lab: str, settings: dict[str, Any] | None = None, ca: str = ""
    ) -> dict[str, Any]:
        """As `up`, for this machine's part of a lab that is on several.

        Parameters
        ----------
        lab : str
        settings : dict, optional
        ca : str
            For a node: the certificate (PEM) of the world's CA.

        Returns
        -------
        dict
            ``created``; of a machine that has the world, ``ca`` too.
        """
        more = {"ca": ca} if ca else {}
        return self._ask("up", lab=lab, settings=settings or {}, **more)

    def join(self, lab: str, endpoint: pb.Endpoint, ca: str) -> bool:
        """Make the machine, a client, an endpoint of that lab; whether it was not before.

        Parameters
        ----------
        lab : str
        endpoint : pb.Endpoint
            As its node made it.
        ca : str
            The certificate (PEM) of the world's CA.

        Raises
        ------
        ConflictError
            If it is in another lab; it says which.
        UsageError
            If it is no client, or of another node.
        SetupError, UnavailableError, LateError
            As `up`.
        """
        given = {key: getattr(endpoint, key) for key in ("id", "name", "namespace", "ip4")}
        given["labels"] = dict(endpoint.labels)
        return bool(self._ask("join", lab=lab, endpoint=given, ca=ca)["created"])

    def leave(self, lab: str) -> bool:
        """Let the machine be no endpoint of that lab; whether it was.  Raises as `up`."""
        return bool(self._ask("leave", lab=lab)["left"])

    def down(self, lab: str) -> None:
        """Take the lab down; UsageError if there is none of yours.  Raises as `up`."""
        self._ask("down", lab=lab)

    def clean(self) -> list[str]:
        """Remove what is left of labs whose node service was killed; their names.  As `up`."""
        removed: list[str] = self._ask("clean")["removed"]
        return removed

    def clock(self) -> tuple[int, int]:
        """The machine's wall clock and CLOCK_BOOTTIME, in ns.  Raises as `up`."""
        answer = self._ask("clock")
        return answer["wall"], answer["boottime"]

    def echo_seconds(self, count: int = 1) -> float:
        """The shortest of `count` round trips of one octet on one connection.  Raises as `up`."""
        trips = []
        with self._asked("echo") as (connection, _):
            for _ in range(count):
                begin = time.perf_counter()
                try:
                    connection.sendall(b"x")
                    back = connection.recv(1)
                except OSError as error:
                    raise self._ended(str(error)) from error
                if not back:
                    raise self._ended("no echo came")
                trips.append(time.perf_counter() - begin)
        return min(trips)

    def _ended(self, how: str) -> UnavailableError:
        """It was there when it was asked."""
        if self._link:  # ssh lets one connect, whoever is there at its far end
            what = f"{self._link} is lost, or the machine service there ended"
            return UnavailableError(f"{what}: {how}", "once more; then  vagrant status")
        return UnavailableError(f"the machine service ended: {how}", SUDO_LINE)

    def _ask(self, op: str, **more: Any) -> dict[str, Any]:
        with self._asked(op, **more) as (_, answer):
            return answer

    @contextmanager
    def _asked(self, op: str, **more: Any) -> Iterator[tuple[socket.socket, dict[str, Any]]]:
        """The connection on which it was asked, and the answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(patiently(self._timeout))
            try:
                connection.connect(str(self._path))
            except OSError as error:
                if self._link:
                    raise UnavailableError(f"{self._link} is lost", "vagrant status") from error
                raise SetupError("no machine service runs here", f"run  {SUDO_LINE}") from error
            lines = LineSocket(connection)
            try:
                lines.write({"op": op, **more})
                answer = lines.read()
            except TimeoutError as error:
                raise LateError(f"the machine service: no answer to {op} yet") from error
            except OSError as error:
                raise self._ended(str(error)) from error
            if answer is None:
                raise self._ended("no answer came")
            if not answer.get("ok"):
                raise _error(answer)
            yield connection, answer

    def list(self) -> list[dict[str, Any]]:
        """Each lab: ``name``, ``uid``, ``gid``, ``pid`` (0: its node service is dead), ``alive``,
        ``since`` (Unix seconds), ``settings``.  Raises as `up`.
        """
        labs: list[dict[str, Any]] = self._ask("list")["labs"]
        return labs


def _error(answer: dict[str, Any]) -> FqdnlabError:
    kind = getattr(errors, str(answer.get("error")), StateError)
    if not (isinstance(kind, type) and issubclass(kind, FqdnlabError)):
        kind = StateError
    return kind(str(answer.get("message", "")), str(answer.get("remedy", "")))


@contextmanager
def machine_service() -> Iterator[MachineClient]:
    """Have a machine service: the one that runs, else (as root) one that ends with the block.

    Raises
    ------
    SetupError
        If none runs and this is not root; the remedy has the line to type.
    """
    client = MachineClient()
    if client.answers():
        yield client
        return
    if os.geteuid() != 0:
        raise SetupError("no machine service runs here, and this is not root", f"run  {SUDO_LINE}")
    with tempfile.TemporaryDirectory(prefix="fqdnlab-") as folder:
        process = None
        try:
            with uninterrupted():
                process = _start(Path(folder, "machine.log"))
            yield client
        finally:
            if process is not None:
                with uninterrupted():
                    process.end(patiently(_END_SECONDS))  # takes the labs it made down


def _start(log: Path) -> Process:
    read, write = os.pipe()
    try:
        command = [sys.executable, "-P", "-m", "fqdnlab.machine", "--take-labs-down"]
        process = launch([*command, "--ready-fd", str(write)], log, [write])
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    try:
        said = wait_ready(process, read, patiently(_START_SECONDS))
    finally:
        os.close(read)
    if said != "ready":
        process.end(1.0)
        raise SetupError(f"the machine service does not start: {log.read_text()[-2000:]}")
    return process
