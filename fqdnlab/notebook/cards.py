"""What the cards of the processes say and offer.  Pure.

Marks as in `fqdnlab.notebook.sentence`: ``**…**`` and ``{ago:T}``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fqdnlab.notebook.seen import Proc, Seen

__all__ = ["Button", "Card", "cards"]


@dataclass(frozen=True)
class Button:
    """A button: what it does (`do`), to whom is the card's; its place never changes."""

    do: str
    label: str
    enabled: bool = True
    primary: bool = False


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


def cards(seen: Seen) -> tuple[Card, ...]:
    """The agent's, the proxy's, the kernel's and the observer's card."""
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
                _life(agent),
                f"policy revision **{numbers.revision}** · zombies **{numbers.zombies}**",
            ),
            _buttons(agent, "Restart"),
        ),
        Card(
            "proxy",
            "DNS proxy",
            _level(proxy),
            _word(proxy, "serving"),
            (
                _life(proxy),
                f"**{seen.rates.asked:,.0f}** look-ups/s · waiting for agent **{waiting:,}**"
                + _draining(proxy),
            ),
            (
                *_buttons(proxy, "Restart"),
                Button("upgrade", "Upgrade", proxy.state == "running"),
            ),
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
            (_life(observer), f"**{seen.flows:,}** flows seen here · lost **{seen.lost:,}**"),
            _buttons(observer, "Restart"),
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


def _life(process: Proc) -> str:
    dead = process.state == "dead"
    since = f"{{ago:{process.since:.1f}}}"
    how = "down" if dead else "hung" if process.state == "stopped" else "up"
    pid = f"{'last pid' if dead else 'pid'} **{process.pid}**"
    return f"{pid} · generation **{process.generation}** · {how} **{since}**"


def _draining(process: Proc) -> str:
    if not process.draining:
        return ""
    return " · draining " + ", ".join(f"**{generation}**" for generation, _ in process.draining)


def _buttons(process: Proc, restart: str) -> tuple[Button, ...]:
    alive = process.state in ("running", "stopped")
    hung = process.state == "stopped"
    known = process.state != "unknown"
    return (
        Button("kill", "Kill", alive),
        Button("continue", "Continue", True, True) if hung else Button("stop", "Hang", alive),
        Button("restart", restart, known, process.state == "dead"),
    )
