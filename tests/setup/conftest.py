"""A clone of this repository as it stands, to be set up and broken."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that git would commit from this work tree, and nothing that is made."""
    made = tmp_path / "clone"
    safe = ["git", "-c", f"safe.directory={ROOT}"]
    listed = subprocess.run(
        [*safe, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():  # one that is deleted and not yet committed is listed too
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, made / name)
    return made
