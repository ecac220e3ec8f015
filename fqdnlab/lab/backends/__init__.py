"""Where labs are: on this machine (`netns`), or in virtual machines (`vagrant`)."""

from __future__ import annotations

from fqdnlab.lab.backends.base import Backend, NodeSockets
from fqdnlab.lab.backends.choice import BACKEND, BACKENDS, backend, backend_of, remember

__all__ = ["BACKEND", "BACKENDS", "Backend", "NodeSockets", "backend", "backend_of", "remember"]
