"""Cilium's own matcher and validator as a peer: JSON lines to interop/policycheck and back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BINARY = ROOT / "build" / "interop" / "policycheck"
INTEROP = ROOT / "interop"


def examples() -> list[Path]:
    """The policies that Cilium publishes with its sources."""
    done = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium"],
        cwd=INTEROP,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    folder = Path(done.stdout.strip()) / "examples" / "policies"
    return sorted(p for p in folder.rglob("*") if p.suffix in (".yaml", ".yml", ".json"))


def ask(requests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The peer's answers, in order."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run(
        [str(BINARY)], input=lines, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
