"""fqdnlab: FQDN-based network policy, for real, in your hands.

::

    way 1, policy   YAML ─► model ─► agent's state ─► rows ─► BPF maps
                                          └─► snapshot ─► proxy (acknowledges)
    way 2, look-up  endpoint ─► enforcer: redirect ─► proxy ─► upstream
                                   maps ◄─ agent ◄─ mapping ┘  the answer goes out last
    way 3, packet   endpoint ─► enforcer: conntrack ─► ipcache ─► policy ─► verdict
                                   ring buffer ─► observer ─► flow ─► table, plot, JSON

The steps are numbered in the comments (``way 2.4``); docs/architecture.md lists them with the
processes.  `Lab` is the way in::

    with fqdnlab.Lab("intro") as lab:
        web = lab.endpoint("web", labels={"app": "web"})

What is public stands in ``__all__``; it is imported when first used, so that what needs no lab
(``fqdnlab policy validate``, a recording) loads none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fqdnlab.errors import FqdnlabError
    from fqdnlab.lab import Lab, machine_service
    from fqdnlab.recording import open_recording

__version__ = "0.1.0"

__all__ = ["FqdnlabError", "Lab", "__version__", "machine_service", "open_recording"]

_HOMES = {
    "FqdnlabError": "fqdnlab.errors",
    "Lab": "fqdnlab.lab",
    "machine_service": "fqdnlab.lab",
    "open_recording": "fqdnlab.recording",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fqdnlab' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
