"""One set of machines for the whole tier; the last test destroys it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fqdnlab.lab import Lab
from fqdnlab.lab.backends.vagrant import VagrantBackend
from tests.vm.vm_kit import Figures, Host, host, qemus

_figures = Figures()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures.lines:
        terminalreporter.section("figures of the virtual machines")
        for line in _figures.lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def vms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Where machines can be; none is there yet."""
    with host(tmp_path_factory.mktemp("vms"), _figures) as made:
        yield made


@pytest.fixture(scope="session")
def machines(vms: Host) -> VagrantBackend:
    """The node and the internet, brought up from the box."""
    backend = vms.backend()
    begin = time.monotonic()
    backend.machines.up()
    vms.figures.note("two machines up from the box", time.monotonic() - begin, 120, "s")
    for name, megabytes in qemus(vms.folder).items():
        vms.figures.note(f"memory of {name}", megabytes / 1000, 1.6, "GB")
    return backend


@pytest.fixture(scope="module")
def lab(machines: VagrantBackend) -> Iterator[Lab]:
    """A lab on them."""
    with Lab("vm", machines) as made:
        yield made
