"""Faults: ``fqdnlab agent kill``, ``proxy upgrade``, ``observer restart`` …"""

from __future__ import annotations

import click

from fqdnlab.cli.output import attach, lab_option, node_option

__all__ = ["COMMANDS"]

_ACTIONS = {
    "kill": "End it with SIGKILL; it stays dead until it is restarted.",
    "stop": "Hang it (SIGSTOP).",
    "continue": "Let it go on (SIGCONT).",
    "restart": "End it, if it lives, and start it.",
    "upgrade": "The proxy with surge: a new one serves before the old one goes; others in place.",
}


def _group(name: str) -> click.Group:
    group = click.Group(name, help=f"The {name}'s process: {', '.join(_ACTIONS)}.")
    for action in _ACTIONS:
        group.add_command(_command(name, action))
    return group


def _command(name: str, action: str) -> click.Command:
    @click.command(action, help=_ACTIONS[action])
    @node_option
    @lab_option
    def command(node: str | None, lab_name: str) -> None:
        lab = attach(lab_name)
        process = getattr(lab.node(node) if node else lab, name)
        getattr(process, {"continue": "cont"}.get(action, action))()
        state = process.state()
        pid = f", pid {state.pid}" if state.pid else ""
        last = f", {state.last_exit}" if state.last_exit else ""
        click.echo(f"{name}: {state.state}{pid}, generation {state.generation}{last}")

    return command


COMMANDS = tuple(_group(name) for name in ("agent", "proxy", "observer"))
