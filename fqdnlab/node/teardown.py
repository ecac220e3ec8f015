"""Ends a lab whatever state it is in: also one whose node service is dead.  Idempotent."""

from __future__ import annotations

import re

from fqdnlab.errors import StateError
from fqdnlab.node import joined, netns
from fqdnlab.node.processes import Identity, Process, end_together, processes_in
from fqdnlab.node.state import LabState, StateFile
from fqdnlab.node.tree import remove_tree
from fqdnlab.paths import RUN, LabPaths
from fqdnlab.patience import patiently

__all__ = ["end_lab", "lab_of_netns", "labs_here", "namespaces_of"]

_GRACE = 10.0  # s for all processes to end by themselves
_OURS = re.compile(r"fqdnlab-(?P<lab>.+?)-(?:node|world|ep-.+)\Z")


def lab_of_netns(name: str) -> str:
    """The lab that a network namespace of that name belongs to; empty if it is none of ours."""
    found = _OURS.match(name)
    return found["lab"] if found else ""


def namespaces_of(lab: str) -> list[str]:
    """The network namespaces of `lab` that are pinned now."""
    return [name for name in netns.names("fqdnlab-") if lab_of_netns(name) == lab]


def labs_here() -> set[str]:
    """Every lab of which anything is here: directories or namespaces."""
    found = {lab for name in netns.names("fqdnlab-") if (lab := lab_of_netns(name))}
    for top in (RUN, RUN / ".lab"):
        if top.is_dir():
            found |= {p.name for p in top.iterdir() if p.is_dir() and p.name != ".lab"}
    return found


def end_lab(lab: str, spare: int = 0) -> None:
    """End the lab's processes and remove its namespaces, bpffs and directories; a client leaves it.

    Parameters
    ----------
    lab : str
    spare : int
        A pid not to be ended: the node service that calls this.
    """
    paths = LabPaths(lab)
    try:
        state = StateFile.read(paths)
    except StateError:
        state = None  # its processes in the lab's namespaces are found below
    known = _processes(state) if state is not None else []
    end_together([process for process in known if process.pid != spare], patiently(_GRACE))
    mine = namespaces_of(lab)
    inodes = {found for name in mine if (found := netns.identity(name)) is not None}
    while everyone := processes_in(inodes):  # commands in endpoints, and what they started
        for process in everyone:
            process.end(0)
    for name in mine:
        netns.remove(name)
    joined.leave(paths)
    remove_tree(paths)


def _processes(state: LabState) -> list[Process]:
    """The living processes of that state; the node service first, as it would notice the rest."""
    known = [state.node]
    for slot in state.slots.values():
        known.append(Identity(slot.pid, slot.start))
        known += [Identity(pid, start) for pid, start, _ in slot.draining]
    return [process for one in known if (process := Process.adopt(one)) is not None]
