"""What `make lint` checks, as tests, so that one run tells all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
BPF = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "bpf").glob("*.[ch]"))


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([TOOLS / "ruff", "check", "."], id="ruff-check"),
        pytest.param([TOOLS / "ruff", "format", "--check", "."], id="ruff-format"),
        pytest.param([TOOLS / "mypy"], id="mypy"),
        pytest.param(["clang-format", "--dry-run", "-Werror", *BPF], id="clang-format"),
        pytest.param(["dash", "-n", "lab"], id="dash-lab"),
        pytest.param(["dash", "-n", "tools/find-python"], id="dash-find-python"),
        pytest.param(["dash", "-n", "tools/offline.sh"], id="dash-offline"),
    ],
)
@pytest.mark.timeout(300)
def test_clean(command: list[str | Path]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-6000:]}"


def test_no_file_grows_without_bounds() -> None:
    """A file has one purpose: about 350 lines hold one."""
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("fqdnlab", "bpf", "tests")
        for path in (ROOT / folder).rglob("*.[pch]*")
        if path.suffix in (".py", ".c", ".h") and "pb" not in path.parts
        for lines in [len(path.read_text().splitlines())]
        if lines > 400
    }
    assert long == {}
