"""A node's machine as a thing that can fail: suspend, resume, reset; cut and mend its link."""

from __future__ import annotations

import time

from fqdnlab.lab.backends import Backend
from fqdnlab.pb import control_pb2 as pb

__all__ = ["Vm"]


class Vm:
    """The machine of one node, with every lab on it.  Each of its methods raises UsageError where
    the backend has no machines of its own.

    Parameters
    ----------
    backend : Backend
    node : str
    """

    def __init__(self, backend: Backend, node: str) -> None:
        self._backend = backend
        self.node = node

    def suspend(self) -> None:
        """Let it stand still, with all that runs on it."""
        self._backend.suspend(self.node)
        self._note("vm", "suspend")

    def resume(self) -> None:
        """Let it go on; its clock is set."""
        self._backend.resume(self.node)
        self._backend.note_back(self.node, "vm")

    def reset(self) -> None:
        """Cut its power and start it: what ran on it is dead."""
        self._backend.reset(self.node)
        self._note("vm", "reset")

    def cut_link(self) -> None:
        """Cut the link between it and the internet."""
        self._backend.cut_link(self.node)
        self._note("link", "cut")

    def mend_link(self) -> None:
        """Mend it."""
        self._backend.mend_link(self.node)
        self._backend.note_back(self.node, "link")

    def echo_seconds(self) -> float:
        """Seconds of a round trip of one octet on the link to it."""
        return self._backend.echo_seconds(self.node)

    def _note(self, what: str, action: str) -> None:
        """Of all machines' faults only this side knows: `Lab.faults` has them from here."""
        record = pb.FaultRecord(time=time.time(), process=what, action=action, note=self.node)
        self._backend.noted.append(record)

    def __repr__(self) -> str:
        return f"<the machine of {self.node}, backend {self._backend.name}>"
