"""What the lessons' helpers make of a slow machine."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence

import pytest

from fqdnlab.lessons import first_packets, paced
from fqdnlab.patience import PATIENCE


class Here:
    """Runs an endpoint's commands on this machine."""

    def __init__(self) -> None:
        self.argv: list[str] = []

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.argv = [*argv]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)


@pytest.mark.parametrize(("factor", "seconds"), [("1", "0.6"), ("2", "0.8"), ("20", "0.8")])
def test_a_first_packet_has_longer_and_never_as_long_as_a_second_one(
    monkeypatch: pytest.MonkeyPatch, factor: str, seconds: str
) -> None:
    monkeypatch.setenv(PATIENCE, factor)
    here = Here()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        table = first_packets(here, ["localhost"], port)
        assert (here.argv[3:5], list(table["arrived"])) == ([str(port), seconds], [True])
    assert list(first_packets(here, ["localhost"], port)["arrived"]) == [False]


@pytest.mark.parametrize(
    ("factor", "rate", "wanted"),
    [("1", 200, 200), ("5", 200, 40), ("5", 10, 2), ("20", 10, 1), ("5", 0.5, 0.5)],
)
def test_rates_and_speeds_are_lower_there(
    monkeypatch: pytest.MonkeyPatch, factor: str, rate: float, wanted: float
) -> None:
    monkeypatch.setenv(PATIENCE, factor)
    assert paced(rate) == wanted
