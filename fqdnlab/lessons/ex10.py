"""10: unsupported policies and profiles."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise


@exercise("10.1")
def _(answer: Any, lab: Any) -> str:
    applied = lab.apply(answer)
    batch = lab.endpoint("batch")
    if not applied.policies[0].enforced:
        return f"it is still not enforced: {applied.policies[0].fields[0].reason}"
    if not batch.connect("192.0.2.66", 80):
        return "batch does not reach the world on port 80"
    if batch.connect("192.0.2.66", 443, timeout=1):
        return "batch reaches the world on port 443 too"
    return ""
