"""The machine service: listens on machine.sock, and does for each caller what that may ask.

Labs are processes of their own and stay up when this one ends (`--take-labs-down`: they do not).
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import fqdnlab
from fqdnlab.errors import FqdnlabError, SetupError, UsageError
from fqdnlab.machine.checks import wanted_endpoint
from fqdnlab.machine.labs import Labs
from fqdnlab.machine.peer import Caller, LineSocket, caller_of
from fqdnlab.model.place import Place
from fqdnlab.model.settings import LabSettings
from fqdnlab.paths import MACHINE_SOCKET, PLACE_FILE, RUN
from fqdnlab.patience import patience

__all__ = ["MachineService", "echo", "main", "read_place"]

_IDLE_SECONDS = 30.0  # s for a caller to say what it wants, or to take the answer
_CONNECTIONS = 64
_ECHOED = 4096  # octets at a time
_OPERATIONS = ("ping", "up", "down", "join", "leave", "list", "clean", "clock", "echo")
_log = logging.getLogger("fqdnlab.machine")


class MachineService:
    """Serves until `stop`.

    Parameters
    ----------
    place : Place
        What this machine is to its labs.
    take_labs_down : bool
        Whether the labs it started end with it.
    """

    def __init__(self, place: Place, take_labs_down: bool = False) -> None:
        self._place = place
        self._labs = Labs(place)
        self._take_labs_down = take_labs_down
        self._stop_read, self._stop_write = os.pipe()
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)

    def stop(self, *_: object) -> None:
        """End `run`; a signal handler."""
        os.write(self._stop_write, b"x")

    def run(self, ready_fd: int = -1) -> None:
        """Serve until `stop`.

        Raises
        ------
        SetupError
            If this is not root, or another machine service runs.
        OSError
            If the socket cannot be made.
        """
        with ExitStack() as stack:
            _only_one(stack)
            listener = stack.enter_context(_listen())
            _log.info("listening at %s", MACHINE_SOCKET)
            if ready_fd >= 0:
                os.write(ready_fd, b"ready\n")
                os.close(ready_fd)
            self._accept(listener)
            MACHINE_SOCKET.unlink(missing_ok=True)
        if self._take_labs_down:
            self._labs.take_all_down()

    def _accept(self, listener: socket.socket) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self._stop_read, select.POLLIN)
        while self._stop_read not in dict(poll.poll()):
            try:
                connection, _ = listener.accept()
            except OSError as error:  # its client is gone, or no descriptors are left
                _log.warning("accept: %s", error)
                continue
            if not self._slots.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(_IDLE_SECONDS)
                caller, lines = caller_of(connection), LineSocket(connection)
                with suppress(OSError):
                    if self._talk(caller, lines):
                        echo(connection, lines.rest())
        finally:
            self._slots.release()

    def _talk(self, caller: Caller, lines: LineSocket) -> bool:
        """Answer one request after the other; whether it is to be an echo from now on."""
        while True:
            try:
                request = lines.read()  # OSError, which ends it: broken, or silent for long
            except UsageError as error:  # where the next line would begin, nobody knows
                lines.write(_refusal("UsageError", error.message, error.remedy))
                return False
            if request is None:
                return False
            try:
                answer = {"ok": True, **self._do(caller, request)}
            except FqdnlabError as error:
                answer = _refusal(type(error).__name__, error.message, error.remedy)
            except Exception as error:  # it must go on for others, and say what was wrong
                _log.exception("a request failed")
                answer = _refusal("StateError", f"{type(error).__name__}: {error}", "")
            try:
                lines.write(answer)
            except OSError:
                if answer.get("created"):  # who asked for it is gone
                    self._labs.down(caller, request["lab"])
                raise
            if request.get("op") == "echo" and answer["ok"]:
                return True

    def _do(self, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
        op, lab = request.get("op"), request.get("lab", "")
        _log.info("uid %d, pid %d: %s %s", caller.uid, caller.pid, op, lab)
        if not isinstance(lab, str):
            raise UsageError("the name of a lab must be a text")
        if op == "ping":
            place = json.loads(self._place.to_json())
            payload = os.environ.get("FQDNLAB_PAYLOAD", "")
            about = {"version": fqdnlab.__version__, "payload": payload}
            return {**about, "pid": os.getpid(), "place": place}
        if op == "up":
            return self._up(caller, lab, request)
        if op == "down":
            self._labs.down(caller, lab)
            return {}
        if op == "join":
            wanted = wanted_endpoint(self._place, request.get("endpoint"))
            return {"created": self._labs.join(caller, lab, wanted, _ca(request))}
        if op == "leave":
            return {"left": self._labs.leave(caller, lab)}
        if op == "list":
            return {"labs": self._labs.list()}
        if op == "clean":
            return {"removed": self._labs.clean(caller)}
        if op == "clock":
            return {"wall": time.time_ns(), "boottime": time.clock_gettime_ns(time.CLOCK_BOOTTIME)}
        if op == "echo":
            return {}
        raise UsageError(f"no operation {op!r}", f"one of {', '.join(_OPERATIONS)}")

    def _up(self, caller: Caller, lab: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            settings = LabSettings.from_dict(request.get("settings") or {})
        except (ValueError, TypeError) as error:
            raise UsageError(str(error), "see fqdnlab.model.settings") from error
        made = self._labs.up(caller, lab, settings, _ca(request))
        answer: dict[str, Any] = {"created": made}
        ca = self._labs.ca(lab)
        return {**answer, "ca": ca} if ca else answer


def _ca(request: dict[str, Any]) -> str:
    given = request.get("ca") or ""
    if not isinstance(given, str):
        raise UsageError("the CA must be a text")
    return given


def echo(connection: socket.socket, rest: bytes) -> None:
    """Send back what comes, till the end; TimeoutError once nothing came for `_IDLE_SECONDS`."""
    while rest or (rest := connection.recv(_ECHOED)):
        connection.sendall(rest)
        rest = b""


def read_place(file: Path | None) -> Place:
    """What this machine is: as `file` says, else as `PLACE_FILE`, if there is one.

    Raises
    ------
    SetupError
        If the file cannot be read, or says nothing sensible.
    """
    path = PLACE_FILE if file is None else file
    try:
        return Place.from_json(path.read_text("utf-8"), str(path))
    except FileNotFoundError as error:
        if file is None:
            return Place()
        raise SetupError(f"no file {path}", "make it, or leave --place out") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}", "mend it") from error


def _refusal(error: str, message: str, remedy: str) -> dict[str, Any]:
    return {"ok": False, "error": error, "message": message, "remedy": remedy}


def _only_one(stack: ExitStack) -> None:
    if os.geteuid() != 0:
        raise SetupError("the machine service must be root", "run  sudo fqdnlab serve")
    RUN.mkdir(mode=0o755, exist_ok=True)
    os.chmod(RUN, 0o755)  # noqa: S103  (everybody reaches machine.sock)
    lock = os.open(RUN, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, lock)  # the lock dies with us, however we die
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SetupError("a machine service runs already", "use that one") from None


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        MACHINE_SOCKET.unlink(missing_ok=True)  # of one that was killed: we hold the lock
        listener.bind(str(MACHINE_SOCKET))
        os.chmod(MACHINE_SOCKET, 0o666)  # noqa: S103  (who may do what: SO_PEERCRED)
        listener.listen(_CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


def main(arguments: list[str] | None = None) -> int:
    """Run the machine service till SIGTERM or Ctrl-C; return its exit status."""
    parser = argparse.ArgumentParser(prog="fqdnlab serve", description=__doc__)
    parser.add_argument(
        "--take-labs-down", action="store_true", help="end the labs it started with it"
    )
    parser.add_argument(
        "--place", type=Path, help=f"what this machine is to labs (default: {PLACE_FILE})"
    )
    parser.add_argument("--ready-fd", type=int, default=-1)
    given = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        patience()
        service = MachineService(read_place(given.place), given.take_labs_down)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, service.stop)
        service.run(given.ready_fd)
    except (FqdnlabError, OSError, ValueError) as error:
        _log.error("%s", error)
        return 4 if isinstance(error, SetupError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
