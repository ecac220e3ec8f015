"""00: doctor and first lab."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise
from fqdnlab.lessons.expect import connected


@exercise("00.1")
def _(answer: Any, lab: Any) -> str:
    if wrong := connected(answer):
        return wrong
    if answer.address != "203.0.113.19":
        return (
            f"it reached {answer.address}: did you give the world img.example.com at 203.0.113.19?"
        )
    flows = lab.flows()
    if not ((flows["address"] == answer.address) & (flows["port"] == 80)).any():
        return f"the lab saw no flow to {answer.address} on port 80"
    return ""
