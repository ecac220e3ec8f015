"""What is said when a machine service goes while it is asked: here, and at the end of a link."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fqdnlab.errors import UnavailableError
from fqdnlab.lab.machine import SUDO_LINE, MachineClient


@pytest.fixture
def closing(tmp_path: Path) -> Iterator[Path]:
    """A socket that takes connections and closes them, as ssh does where nobody is at its end."""
    path = tmp_path / "machine"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def close() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = threading.Thread(target=close, daemon=True)
        thread.start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_link_that_is_lost_in_the_middle_is_named(closing: Path) -> None:
    client = MachineClient(closing, link="the ssh link to node")
    for ask in (client.list, client.clock, client.echo_seconds, lambda: client.down("x")):
        with pytest.raises(UnavailableError, match="the ssh link to node is lost, or") as told:
            ask()
        assert SUDO_LINE not in told.value.remedy, "nothing is to be started on this machine"


def test_without_a_link_it_is_this_machines(closing: Path) -> None:
    with pytest.raises(UnavailableError, match="the machine service ended") as told:
        MachineClient(closing).list()
    assert told.value.remedy == SUDO_LINE
