"""The card of a node's machine, where it is one that can fail: what it says and offers.  Pure."""

from __future__ import annotations

from fqdnlab.notebook.cards import Button, Card
from fqdnlab.notebook.seen import Seen
from fqdnlab.plots.intervals import Outage, outages

__all__ = ["away", "machine_card"]


def away(seen: Seen) -> dict[str, Outage]:
    """What is away now of ``vm`` (the machine) and ``link`` (to the internet), by that name."""
    rows = [{"time": f.time, "process": f.process, "action": f.action} for f in seen.machine_faults]
    end = float("inf")
    return {one.process: one for one in outages(rows, end) if one.stop == end}


def machine_card(seen: Seen) -> Card:
    """Suspend, resume, reset; cut and mend its link."""
    gone = away(seen)
    still, cut = gone.get("vm"), gone.get("link")
    word = "suspended" if still else "link cut" if cut else "running"
    lines = ["holds agent, proxy, observer, endpoints and the kernel that enforces"]
    for what, one in (("stands still for", still), ("link to the internet cut for", cut)):
        if one is not None:
            lines.append(f"{what} **{{ago:{one.start:.1f}}}**")
    return Card(
        "machine",
        "Machine",
        "bad" if gone else "ok",
        word,
        tuple(lines),
        (
            Button("resume", "Resume", True, True)
            if still
            else Button("suspend", "Suspend", hint="it stands still, its memory on disk"),
            Button("mend_link", "Mend link", not still, True)
            if cut
            else Button("cut_link", "Cut link", not still, hint="to the internet"),
            Button("reset", "Reset", not still, hint="as by its button: what runs on it dies"),
        ),
    )
