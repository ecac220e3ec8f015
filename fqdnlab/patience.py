"""How much longer than on a machine of our own one waits: VMs without KVM take ten times as long.

Only deadlines that tell a fault from slowness are multiplied, never what the semantics of a lab say
(TTLs, the hold, time-outs of DNS).
"""

from __future__ import annotations

import os

__all__ = ["PATIENCE", "patience", "patiently"]

#: The environment variable: a factor, 1 where it is not set.
PATIENCE = "FQDNLAB_PATIENCE"


def patience() -> float:
    """The factor.

    Raises
    ------
    ValueError
        Unless it is a number of at least 1 and at most 100.
    """
    text = os.environ.get(PATIENCE, "1")
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1.0 <= factor <= 100.0:
        raise ValueError(f"{PATIENCE} must be 1 … 100, not {text!r}")
    return factor


def patiently(seconds: float) -> float:
    """So many seconds on this machine."""
    return seconds * patience()
