"""The lab's client: ``with Lab("intro") as lab: ...``; a client of services, nothing more."""

from __future__ import annotations

from fqdnlab.lab.applied import Applied
from fqdnlab.lab.endpoint import Connection, Endpoint
from fqdnlab.lab.lab import Lab
from fqdnlab.lab.machine import machine_service
from fqdnlab.lab.process import Process
from fqdnlab.lab.running import Result, Running

__all__ = [
    "Applied",
    "Connection",
    "Endpoint",
    "Lab",
    "Process",
    "Result",
    "Running",
    "machine_service",
]
