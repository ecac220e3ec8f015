"""Why a packet passes or does not, step by step, and the one change that would decide otherwise.

::

    services, recording, exports ─► Facts ─► forecast / explain_row ─► Explanation
                                      │         │
                                      │         ├─ decide   policies and mappings (model.mapstate)
                                      │         ├─ kernel   the entries of the maps, as they are
                                      └─────────┴─ remedy   decide again, with one thing changed

Pure: nothing here reads a file or asks a service, so that a recording is explained as it was live.
"""

from __future__ import annotations

from fqdnlab.explain.explanation import Explanation, Remedy, Step
from fqdnlab.explain.facts import DecidingRule, Facts, Known, Workload
from fqdnlab.explain.flow import explain_row
from fqdnlab.explain.packet import forecast

__all__ = [
    "DecidingRule",
    "Explanation",
    "Facts",
    "Known",
    "Remedy",
    "Step",
    "Workload",
    "explain_again",
    "explain_row",
    "forecast",
]


def explain_again(facts: Facts, what: Explanation) -> Explanation:
    """The same question, from facts of another moment.

    Parameters
    ----------
    facts : Facts
    what : Explanation
    """
    row = what.asked.get("row")
    return forecast(facts, **what.asked) if row is None else explain_row(facts, row)
