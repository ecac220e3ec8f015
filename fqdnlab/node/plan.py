"""What `spawn` is told: a process with its namespaces, user and environment."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """What is to run, and as what.

    Attributes
    ----------
    argv : list of str
        Looked up in the ``PATH`` of `env`.
    env : dict
        The whole environment.
    netns : str
        Path of a network namespace to enter; empty: stay.
    uid, gid : int
        Taken on after all else.
    groups : list of int
        Supplementary groups.
    capabilities : list of int
        Kept by a `uid` that is not 0 (linux/capability.h), and the only ones.
    private : str
        Directory with ``resolv.conf``, ``hosts``, ``nsswitch.conf`` to be seen in /etc, in a mount
        namespace of its own; empty: no such namespace.
    hostname : str
        With `private`: what the process sees as the machine's name.
    readable : list of str
        Directories that `uid` must be able to read though their parents forbid it.
    cwd : str
        Where it runs; "/" if that is not to be entered.
    """

    argv: list[str]
    env: dict[str, str]
    netns: str = ""
    uid: int = 0
    gid: int = 0
    groups: list[int] = field(default_factory=list)
    capabilities: list[int] = field(default_factory=list)
    private: str = ""
    hostname: str = ""
    readable: list[str] = field(default_factory=list)
    cwd: str = "/"

    def to_json(self) -> str:
        """One line, for the command line of the helper."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that `to_json` wrote."""
        given: dict[str, Any] = json.loads(text)
        return cls(**given)
