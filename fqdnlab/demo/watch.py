"""Looking at a lab: counts of flows and questions, and waiting until something shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from fqdnlab.lab import Lab
from fqdnlab.patience import patiently

__all__ = ["Watch"]

T = TypeVar("T")


class Watch:
    """Reads a lab's tables for the story."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def until(self, look: Callable[[], T], seconds: float = 3.0) -> T:
        """Call `look` until what it returns is true, or `seconds` (of a machine of our own) are
        over; return the last.
        """
        deadline = time.monotonic() + patiently(seconds)
        while not (seen := look()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return seen

    def packets(self, endpoint: str, *, address: str = "", port: int = 0, verdict: str = "") -> int:
        """How many packet flows of `endpoint` there are, as far as the arguments say."""
        flows = self.lab.flows()
        if flows.empty:
            return 0
        keep = (flows["endpoint"] == endpoint) & (flows["kind"] == "packet")
        if address:
            keep &= flows["address"] == address
        if port:
            keep &= flows["port"] == port
        if verdict:
            keep &= flows["verdict"] == verdict
        return int(keep.sum())

    def questions(self, endpoint: str) -> int:
        """How many DNS records the proxy wrote for `endpoint`."""
        queries = self.lab.queries()
        return 0 if queries.empty else int((queries["endpoint"] == endpoint).sum())

    def mapping_states(self, address: str) -> set[str]:
        """The states of all mappings of `address` (empty: none, or the agent is dead)."""
        mappings = self.lab.mappings()
        if mappings.empty:
            return set()
        return {str(s) for s in mappings.loc[mappings["ip"] == address, "state"]}
