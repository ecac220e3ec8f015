"""How each lesson's mechanism is disabled: run in the notebook's kernel before its first cell."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SABOTAGE", "Disabled"]


class Disabled(NamedTuple):
    """A mechanism that is off.

    Attributes
    ----------
    what : str
        In words.
    startup : str
        Python for the notebook's kernel.
    shows : str
        What nbval's report must have: the failure of the mechanism, not of something else.
    """

    what: str
    startup: str
    shows: str


#: No policy ever reaches the agent.
_NO_POLICY = """
import fqdnlab.lab.lab as module
from fqdnlab.lab.applied import Applied
module.Lab.apply = lambda self, *_, **__: Applied((), 1, "", ())
"""

SABOTAGE = {
    "01": Disabled(
        "policies are not applied", _NO_POLICY, "the second policy lets it pass, the first does not"
    ),
}
