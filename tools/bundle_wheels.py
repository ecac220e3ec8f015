"""The wheels of a bundle: all that `.[dev]` needs, and what pip builds it with; binaries alone."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PYTHON = "3.11"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
#: What an editable install by hatchling needs beside `build-system.requires`.
_BUILD = ["editables"]


def requirements(pyproject: Path) -> list[str]:
    """All that the project may ask pip for; its own extras resolved."""
    told = tomllib.loads(pyproject.read_text())
    project = told["project"]
    name = project["name"]
    extras = [word for group in project["optional-dependencies"].values() for word in group]
    asked = [*told["build-system"]["requires"], *_BUILD, *project["dependencies"], *extras]
    return sorted({word for word in asked if not word.startswith(f"{name}[")})


def collect_wheels(root: Path, cache: Path, to: Path) -> None:
    """Have the wheels in `to`, from pip's index or `cache`.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails; it has said why.
    """
    wanted = requirements(root / "pyproject.toml")
    constraints = root / "tools" / "constraints.txt"
    key = hashlib.sha256(
        "\n".join([PYTHON, *_PLATFORMS, *wanted, constraints.read_text()]).encode()
    )
    kept = cache / f"wheels-{key.hexdigest()[:16]}"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="part-", dir=cache) as work:
            part = Path(work, "wheels")
            _download(wanted, constraints, part)
            for old in cache.glob("wheels-*"):
                shutil.rmtree(old)
            part.rename(kept)
    shutil.copytree(kept, to)


def _download(wanted: list[str], constraints: Path, to: Path) -> None:
    # pip judges markers such as `python_version < "3.12"` by the Python it runs with
    if f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON:
        raise SystemExit(f"bundle: make it with Python {PYTHON} (Debian 12), which it is for")
    there = ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    there += [word for platform in _PLATFORMS for word in ("--platform", platform)]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--dest", to, *there,
         "--constraint", constraints, *wanted],
        stdout=sys.stderr, check=True,
    )  # fmt: skip
