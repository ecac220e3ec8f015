"""Messages of widgets are heard while a cell runs.

JupyterLab sends them to a subshell of the kernel, which has a thread of its own.  But ipykernel 7
sends the messages of a comm to the shell that published on it last, and what our reader's threads
publish counts as the main shell's: there a message waits until the cell ends.  So a widget's comm
is told to leave messages where the browser sent them.
"""

from __future__ import annotations

from typing import Any

__all__ = ["heard_while_busy"]


def heard_while_busy(widget: Any) -> None:
    """Let a widget, and those in it, be heard while a cell runs."""
    comm: Any = getattr(widget, "comm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = _where_it_was_sent
    for child in getattr(widget, "children", ()):
        heard_while_busy(child)


def _where_it_was_sent(data: object, sent_to: Any) -> Any:
    return sent_to
