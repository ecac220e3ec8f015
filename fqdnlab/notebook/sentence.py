"""What is going on, in a sentence or two, and what an endpoint feels of it.  Pure.

Marks in the text, for whoever shows it: ``**…**`` is to be seen at a glance, ``{ago:T}`` is the
time that has passed since T (Unix seconds), so that a text stays the same while nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fqdnlab.notebook.machine_card import away
from fqdnlab.notebook.seen import Proc, Seen
from fqdnlab.plots.intervals import Outage

__all__ = ["Said", "say"]

_BACK_SECONDS = 8.0


@dataclass(frozen=True)
class Said:
    """Words about a lab.

    Attributes
    ----------
    text : str
        What changed the state, with marks: read aloud when it changes.
    more : str
        Numbers that change all the time, with marks: never read aloud by themselves.
    level : {"ok", "bad", "gone"}
    """

    text: str
    more: str
    level: str


def say(seen: Seen) -> Said:
    """Put what was seen into words."""
    if seen.down:
        return Said(
            f"The lab {seen.lab} is down: nothing of it is left. What is shown is how it was; run "
            "the cell that makes it, and it goes on here.",
            "",
            "gone",
        )
    gone = away(seen)
    if "vm" in gone:
        return Said(
            f"The node's machine stands still since **{{ago:{gone['vm'].start:.1f}}}** ago, with "
            "all that runs on it: what is shown is how things were. Resume it, and it goes on.",
            "",
            "gone",
        )
    if seen.trouble:
        return Said(
            "The node service does not answer: what is shown is how things were, and what was "
            "enforced stays enforced. Run the cell that makes the lab: it brings a new one. "
            f"({seen.trouble})",
            "",
            "gone",
        )
    told = [
        words
        for words in (_link(gone), _agent(seen), _proxy(seen), _observer(seen), _world(seen))
        if words is not None
    ]
    if told:
        return Said(" ".join(told), _rates(seen), "bad")
    back = _back(seen)
    return Said(back or _well(seen), _rates(seen), "ok")


def _n(count: int, one: str, many: str = "") -> str:
    return f"**{count:,}** {one if count == 1 else many or one + 's'}"


def _away(seen: Seen, process: Proc, name: str) -> str | None:
    """How a process came to be away, if it is."""
    ago = f"**{{ago:{process.since:.1f}}}**"
    if process.state == "stopped":
        return f"{name} has been hung for **{{ago:{seen.hung_since(process.name):.1f}}}**."
    if process.state != "dead":
        return None
    if "SIGKILL" in process.last_exit:
        return f"{name} was killed {ago} ago."
    ended = f" ({process.last_exit})" if process.last_exit else ""
    return f"{name} ended {ago} ago{ended}."


def _link(gone: Mapping[str, Outage]) -> str | None:
    if "link" not in gone:
        return None
    return (
        f"The link between the node and the internet has been cut for "
        f"**{{ago:{gone['link'].start:.1f}}}**. Questions time out, and so do connections that "
        "are allowed; each packet is judged as before."
    )


def _agent(seen: Seen) -> str | None:
    process = seen.process("agent")
    how = _away(seen, process, "The agent")
    if how is None:
        return None
    resolves = seen.process("proxy").state == "running"
    words = [how]
    if resolves and process.state == "stopped" and seen.hold:
        held = f"**{seen.hold * 1000:.0f} ms**"
        words.append(f"Names still resolve; an answer with a new address is held {held} at most.")
    elif resolves:
        words.append("Names still resolve.")
    words.append(
        f"{_n(seen.numbers.addresses, 'address', 'addresses')} "
        f"{'stays' if seen.numbers.addresses == 1 else 'stay'} enforced as before"
    )
    waiting = len(seen.waiting)
    if not waiting:
        words[-1] += "; an address that is new waits for the agent."
    elif waiting == 1:
        name, address = seen.waiting[0]
        words[-1] += (
            f"; **1** that was resolved since, {address} of {name}, waits for the agent: "
            "connections to it are dropped."
        )
    else:
        words[-1] += (
            f"; **{waiting:,}** that were resolved since wait for the agent: "
            "connections to them are dropped."
        )
    return " ".join(words)


def _proxy(seen: Seen) -> str | None:
    how = _away(seen, seen.process("proxy"), "The DNS proxy")
    if how is None:
        return None
    return (
        f"{how} Endpoints under a DNS policy resolve nothing; connections to addresses that they "
        "have go on. Others do not notice."
    )


def _observer(seen: Seen) -> str | None:
    how = _away(seen, seen.process("observer"), "The observer")
    return how and f"{how} Every packet is judged as before, but nobody sees it."


def _world(seen: Seen) -> str | None:
    how = _away(seen, seen.process("world"), "The world")
    return how and f"{how} No DNS server and no web server answers."


def _back(seen: Seen) -> str | None:
    """What has just come back, for a few seconds."""
    for name, word in (("agent", "The agent"), ("proxy", "The DNS proxy")):
        process = seen.process(name)
        if process.draining:
            return (
                f"Generation **{process.generation}** of the DNS proxy serves; the one before it "
                "answers what it had taken, and ends. No question is lost."
            )
        recent = 0 <= seen.time - process.since < _BACK_SECONDS
        if process.state == "running" and process.restarts and recent:
            return f"{word} is back ({_number(process)}): what waited for it is done."
    return None


def _number(process: Proc) -> str:
    return f"generation **{process.generation}**, pid **{process.pid}**"


def _well(seen: Seen) -> str:
    words = ["Everything runs."]
    if not seen.endpoints:
        words.append("There is no endpoint yet.")
    elif not seen.selected:
        words.append(
            f"{_n(seen.endpoints, 'endpoint')}, under no policy: everything is allowed, and no "
            "question of theirs goes through the proxy."
        )
    else:
        words.append(
            f"**{seen.selected:,}** of {_n(seen.endpoints, 'endpoint')} "
            f"{'is' if seen.selected == 1 else 'are'} under policy; "
            f"{_n(seen.numbers.addresses, 'address', 'addresses')} "
            f"{'is' if seen.numbers.addresses == 1 else 'are'} known by name."
        )
    if seen.unenforced:
        words.append(f"{_n(seen.unenforced, 'policy', 'policies')} accepted but not enforced.")
    return " ".join(words)


def _rates(seen: Seen) -> str:
    if seen.process("observer").state != "running":
        return ""
    rates = seen.rates
    if not (rates.allowed or rates.dropped or rates.asked):
        return ""
    return (
        f"**{rates.allowed:,.0f}**/s allowed, **{rates.dropped:,.0f}**/s dropped, "
        f"**{rates.asked:,.0f}** look-ups/s."
    )
