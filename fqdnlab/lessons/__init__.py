"""What the notebooks share: checks of their exercises, and a few helpers.

``check("01.1", answer, lab)`` says what is wrong.  One module a lesson (``ex01`` …); the exercises
themselves stand in notebooks/, the solutions in notebooks/solutions/.
"""

from __future__ import annotations

from fqdnlab.lessons.check import check
from fqdnlab.lessons.helpers import (
    busy_agent,
    first_packets,
    labs_left,
    matches,
    paced,
    wait_until,
)
from fqdnlab.lessons.outcome import Outcome

__all__ = [
    "Outcome",
    "busy_agent",
    "check",
    "first_packets",
    "labs_left",
    "matches",
    "paced",
    "wait_until",
]
