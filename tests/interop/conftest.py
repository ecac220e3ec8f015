"""Cilium's programs, built once for all tests here, from the sources that interop/go.mod names.

Without Go this fails, and with it every test: that is meant.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "interop"
PACKAGES = (
    "github.com/cilium/cilium/hubble",
    "github.com/cilium/cilium/standalone-dns-proxy",
    "./policycheck",
)
#: Nothing in Go's cache: modules are fetched and all of Cilium is compiled.
BUILD_SECONDS = 1080
#: For the test that comes first, and waits for the build.
FIRST_TEST_SECONDS = BUILD_SECONDS + 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here[:1]:
        item.add_marker(pytest.mark.timeout(FIRST_TEST_SECONDS))


@pytest.fixture(scope="session", autouse=True)
def programs() -> Path:
    """Where the programs are; one command, so that what they share is compiled once."""
    BUILD.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-p=2", "-buildvcs=false", "-o", f"{BUILD}/", *PACKAGES]
    done = subprocess.run(
        command,
        cwd=ROOT / "interop",
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-4000:]}"
    return BUILD
