"""Checks of the notebooks' exercises: ``check("01.1", answer, lab)`` says what is wrong.

One module a lesson (``ex01`` …); the exercises themselves stand in notebooks/, the solutions in
notebooks/solutions/.
"""

from __future__ import annotations

from fqdnlab.lessons.check import check
from fqdnlab.lessons.outcome import Outcome

__all__ = ["Outcome", "check"]
