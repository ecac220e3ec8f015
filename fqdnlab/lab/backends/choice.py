"""Which backend: as asked for, else as the environment says, else this machine."""

from __future__ import annotations

import os
import threading
from importlib import import_module

from fqdnlab.errors import UsageError
from fqdnlab.lab.backends.base import Backend
from fqdnlab.lab.backends.netns import NetnsBackend

__all__ = ["BACKEND", "BACKENDS", "backend", "backend_of", "remember"]

#: The environment variable that names the backend where none is asked for.
BACKEND = "FQDNLAB_BACKEND"
#: The backends there are; the first is the default.
BACKENDS = ("netns", "vagrant")

_lock = threading.Lock()
_made: dict[str, Backend] = {}
_of_labs: dict[str, Backend] = {}


def backend(name: str | Backend | None = None) -> Backend:
    """The backend of that name; one object a process.

    Parameters
    ----------
    name : str or Backend, optional
        ``netns`` or ``vagrant``; none: as FQDNLAB_BACKEND says, or ``netns``.  A `Backend` is
        returned as it is.

    Raises
    ------
    UsageError
        If there is none of that name.
    SetupError
        If what it needs is not installed.
    """
    if isinstance(name, Backend):
        return name
    asked = name or os.environ.get(BACKEND) or BACKENDS[0]
    if asked not in BACKENDS:
        source = "" if name else f" ({BACKEND})"
        raise UsageError(f"there is no backend {asked!r}{source}", f"one of {', '.join(BACKENDS)}")
    with _lock:
        if asked not in _made:
            _made[asked] = _make(asked)
        return _made[asked]


def _make(name: str) -> Backend:
    if name == "vagrant":  # only who uses virtual machines needs what they need
        made: Backend = import_module("fqdnlab.lab.backends.vagrant").VagrantBackend()
        return made
    return NetnsBackend()


def backend_of(lab: str) -> Backend:
    """The backend by which this process reached the lab of that name last, else the default."""
    with _lock:
        known = _of_labs.get(lab)
    return known or backend()


def remember(lab: str, used: Backend) -> None:
    """The lab of that name is at `used`."""
    with _lock:
        _of_labs[lab] = used
