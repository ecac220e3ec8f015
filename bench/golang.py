"""Cilium's proxies, built from bench/peers/ where Go is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bench.figures import BenchError

__all__ = ["build", "why_absent"]

_SOURCES = Path(__file__).parent / "peers"
_TIMEOUT = 1800.0
_PACKAGES = (
    "./ciliumproxy",
    "./yesagent",
    "github.com/cilium/cilium/standalone-dns-proxy",
)


def why_absent() -> str:
    """Why Cilium's parts cannot be had; empty if they can."""
    return "" if shutil.which("go") else "needs Go (https://go.dev/dl), which is not here"


def build(out: Path) -> Path:
    """Build the programs into `out`; a minute or three the first time, seconds later.

    Raises
    ------
    BenchError
        If that fails: without a network, or out of time.
    """
    out.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "CGO_ENABLED": "0"}
    argv = ["go", "build", "-trimpath", "-o", f"{out}/", *_PACKAGES]
    try:
        done = subprocess.run(
            argv, cwd=_SOURCES, env=env, capture_output=True, text=True, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"go build: not ended after {_TIMEOUT:g} s") from error
    if done.returncode:
        raise BenchError(f"go build: {done.stderr[-1500:]}")
    return out
