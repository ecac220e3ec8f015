"""One machine service for all notebooks, as `./lab notebook` has one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fqdnlab.lab.machine import MachineClient, machine_service


@pytest.fixture(scope="session")
def service() -> Iterator[MachineClient]:
    with machine_service() as client:
        yield client


@pytest.fixture
def no_labs_left(service: MachineClient) -> Iterator[None]:
    """What a notebook that stopped half-way has left is taken down, and the test fails."""
    yield
    left = [one["name"] for one in service.list()]
    for name in left:
        service.down(name)
    assert left == [], "the notebook left labs behind"


@pytest.fixture
def labs_end(service: MachineClient) -> Iterator[None]:
    """For notebooks that are made to fail: their labs are taken down."""
    yield
    for one in service.list():
        service.down(one["name"])
