"""What the cards of the processes say and offer.  Pure.

Marks as in `fqdnlab.notebook.sentence`: ``**…**`` and ``{ago:T}``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from fqdnlab.notebook.seen import Proc, Seen

__all__ = ["Button", "Card", "Speed", "cards", "speed"]

_SPEEDS = (1.0, 10.0, 60.0, 600.0)


@dataclass(frozen=True)
class Button:
    """A button: what it does (`do`; `hint` says how), to whom is the card's; its place stays."""

    do: str
    label: str
    enabled: bool = True
    primary: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Card:
    """A process, or the kernel.

    Attributes
    ----------
    name, title : str
    level : {"ok", "bad", "odd"}
    word : str
        Its state in a word.
    lines : tuple of str
        With marks.
    buttons : tuple of Button
    """

    name: str
    title: str
    level: str
    word: str
    lines: tuple[str, ...]
    buttons: tuple[Button, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True)
class Speed:
    """The speed of lab time: what it is, what is offered, and why it cannot be changed now."""

    scale: float
    offered: tuple[float, ...]
    obstacle: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def speed(seen: Seen) -> Speed:
    """What the panel offers; a speed that somebody else has set is among it."""
    offered = tuple(sorted({*_SPEEDS, seen.time_scale}))
    state = seen.process("agent").state
    if state == "running":
        return Speed(seen.time_scale, offered)
    return Speed(
        seen.time_scale, offered, f"Lab time is the agent's, which is {state}: restart it."
    )


def cards(seen: Seen) -> tuple[Card, ...]:
    """The agent's, the proxy's, the kernel's and the observer's card."""
    made = _cards(seen)
    return tuple(map(_of_the_past, made)) if seen.down else made


def _of_the_past(card: Card) -> Card:
    """Nothing is left of what it tells of, and nothing can be done to it."""
    buttons = tuple(replace(b, enabled=False, primary=False) for b in card.buttons)
    return replace(card, level="odd", word="gone", buttons=buttons)


def _cards(seen: Seen) -> tuple[Card, ...]:
    agent, proxy, observer = (seen.process(n) for n in ("agent", "proxy", "observer"))
    numbers = seen.numbers
    waiting = len(seen.waiting)
    return (
        Card(
            "agent",
            "Agent",
            _level(agent),
            _word(agent, "at work"),
            (
                *_life(seen, agent),
                f"policy revision **{numbers.revision}** · zombies **{numbers.zombies}**",
            ),
            _buttons(agent, "in place: its state is kept"),
        ),
        Card(
            "proxy",
            "DNS proxy",
            _level(proxy),
            _word(proxy, "serving"),
            (
                *_life(seen, proxy),
                f"**{seen.rates.asked:,.0f}** look-ups/s · waiting for agent **{waiting:,}**"
                + _draining(proxy),
            ),
            _buttons(proxy, "with surge: the new one serves before the old one goes"),
        ),
        Card(
            "kernel",
            "Kernel enforcer",
            "ok",
            "enforcing",
            (
                f"pinned, needs no process · **{numbers.attach or '–'}**",
                f"**{numbers.addresses:,}** addresses · "
                f"**{numbers.policy_entries:,}** policy entries",
            ),
            (Button("maps", "Show maps"),),
        ),
        Card(
            "observer",
            "Observer",
            _level(observer),
            _word(observer, "recording"),
            (
                *_life(seen, observer),
                f"**{seen.flows:,}** flows seen here · lost **{seen.lost:,}**",
            ),
            _buttons(observer, "in place: what it holds of flows begins anew"),
        ),
    )


def _level(process: Proc) -> str:
    return {"running": "ok", "dead": "bad", "stopped": "bad"}.get(process.state, "odd")


def _word(process: Proc, well: str) -> str:
    if process.state == "running":
        return well
    if process.state == "stopped":
        return "hung (SIGSTOP)"
    if process.state == "dead":
        return "killed (SIGKILL)" if "SIGKILL" in process.last_exit else process.last_exit or "dead"
    return process.state


def _life(seen: Seen, process: Proc) -> tuple[str, str]:
    dead, hung = process.state == "dead", process.state == "stopped"
    since = f"{{ago:{seen.hung_since(process.name) if hung else process.since:.1f}}}"
    how = "down" if dead else "hung" if hung else "up"
    pid = f"{'last pid' if dead else 'pid'} **{process.pid}**"
    starts = f"generation **{process.generation}** · restarts **{process.restarts}**"
    return f"{pid} · {how} **{since}**", starts


def _draining(process: Proc) -> str:
    if not process.draining:
        return ""
    return " · draining " + ", ".join(f"**{generation}**" for generation, _ in process.draining)


def _buttons(process: Proc, how: str) -> tuple[Button, ...]:
    alive = process.state in ("running", "stopped")
    hung = process.state == "stopped"
    known = process.state != "unknown"
    return (
        Button("kill", "Kill", alive),
        Button("continue", "Continue", True, True) if hung else Button("stop", "Hang", alive),
        Button("restart", "Restart", known, process.state == "dead"),
        Button("upgrade", "Upgrade", process.state == "running", hint=how),
    )
