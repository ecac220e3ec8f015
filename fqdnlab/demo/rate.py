"""At which rate proxies are upgraded: as asked for, or less on a slow machine.  Pure."""

from __future__ import annotations

from dataclasses import replace

from fqdnlab.demo.claims import Claim

__all__ = ["at_rate", "upgrade_rate"]

_SHARE = 0.25
_LEAST = 50.0


def upgrade_rate(wanted: float, sustained: float) -> float:
    """Queries/s: a quarter of what the direct path sustains, at least 50 and at most `wanted`.

    Parameters
    ----------
    wanted : float
        Queries/s on a machine of our own.
    sustained : float
        Answers/s of the direct path, as measured.
    """
    return min(wanted, max(_LEAST, float(round(_SHARE * sustained))))


def at_rate(claim: Claim, rate: float) -> Claim:
    """The claim, with the rate at which it is checked in its words."""
    return replace(claim, text=claim.text.replace("1,000 queries/s", f"{rate:,.0f} queries/s"))
