"""Faults: ``fqdnlab agent kill``, ``proxy upgrade``, ``observer restart`` …"""

from __future__ import annotations

import click

from fqdnlab.cli.output import lab_option
from fqdnlab.lab import Lab

__all__ = ["COMMANDS"]

_ACTIONS = {
    "kill": "End it with SIGKILL; it stays dead until it is restarted.",
    "stop": "Hang it (SIGSTOP).",
    "continue": "Let it go on (SIGCONT).",
    "restart": "End it, if it lives, and start it.",
    "upgrade": "With surge: a new one serves before the old one goes.",
}


def _group(name: str) -> click.Group:
    group = click.Group(name, help=f"The {name}'s process: {', '.join(_actions(name))}.")
    for action in _actions(name):
        group.add_command(_command(name, action))
    return group


def _actions(name: str) -> list[str]:
    return [a for a in _ACTIONS if a != "upgrade" or name == "proxy"]


def _command(name: str, action: str) -> click.Command:
    @click.command(action, help=_ACTIONS[action])
    @lab_option
    def command(lab_name: str) -> None:
        process = getattr(Lab.attach(lab_name), name)
        getattr(process, {"continue": "cont"}.get(action, action))()
        state = process.state()
        pid = f", pid {state.pid}" if state.pid else ""
        last = f", {state.last_exit}" if state.last_exit else ""
        click.echo(f"{name}: {state.state}{pid}, generation {state.generation}{last}")

    return command


COMMANDS = tuple(_group(name) for name in ("agent", "proxy", "observer"))
