"""All or nothing: what a change may change of the state, kept until it is done.  Pure."""

from __future__ import annotations

from typing import Any

from fqdnlab.agent.state import AgentState

__all__ = ["Before"]

_COPIED = ("policies", "endpoints", "identities", "rules", "policy_ids")


class Before:
    """The state as it is, numbers and all, but for what endpoints learned."""

    def __init__(self, state: AgentState) -> None:
        self._kept: dict[str, Any] = {name: getattr(state, name).copy() for name in _COPIED}
        self._kept |= {"revision": state.revision, "held": state.held}

    def back(self, state: AgentState) -> None:
        """Make `state` that again; its `rebuild` says what this means for the kernel."""
        for name, value in self._kept.items():
            setattr(state, name, value)
