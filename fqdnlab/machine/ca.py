"""The CA of a world that is on another machine: handed over, for commands of endpoints to trust."""

from __future__ import annotations

import os
import threading

from fqdnlab.errors import UsageError
from fqdnlab.model.place import Place
from fqdnlab.paths import LabPaths

__all__ = ["check_ca", "hand_over"]

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_LONGEST = 1 << 16


def check_ca(place: Place, pem: str) -> None:
    """See that `pem` may be handed to a machine at `place`; empty: nothing is.

    Raises
    ------
    UsageError
        If it is no certificate, or the machine has the world itself.
    """
    if not pem:
        return
    if "world" in place.processes:
        raise UsageError("the world is on this machine: its CA is not given", 'leave "ca" out')
    if not (pem.startswith(_BEGIN) and pem.rstrip().endswith(_END) and len(pem) <= _LONGEST):
        raise UsageError("the CA is no certificate in PEM", "the internet tells it: up")


def hand_over(paths: LabPaths, pem: str) -> None:
    """Put it where commands of endpoints are told to find it."""
    fresh = paths.ca.with_suffix(f".{threading.get_ident()}")
    fresh.write_text(pem, "ascii")
    fresh.chmod(0o644)
    os.replace(fresh, paths.ca)
