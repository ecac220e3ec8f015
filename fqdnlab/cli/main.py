"""The command line as a whole: groups, errors, exit statuses."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import get_completion_class
from rich.console import Console
from rich.markup import escape

import fqdnlab
from fqdnlab.cli import endpoints, explain, labs, policies, processes, vagrant, views
from fqdnlab.doctor import doctor
from fqdnlab.errors import (
    ConflictError,
    FqdnlabError,
    PolicyError,
    SetupError,
    StateError,
    UnavailableError,
)

__all__ = ["cli", "main"]

_STATUS: tuple[tuple[type[FqdnlabError], int], ...] = (
    (SetupError, 4),
    (UnavailableError, 3),
    (ConflictError, 5),
    (StateError, 5),
    (PolicyError, 1),
)


#: Remedies are said as Python; here, as commands.
_CALL = re.compile(r'\blab\.(?:nodes\["([\w-]+)"\]\.)?(agent|proxy|observer)\.(\w+)\(\)')

_EXITS = """
\b
Exit status:
  0    as asked
  1    what was checked does not hold; an invalid policy
  2    usage: an unknown option, lab, endpoint
  3    a process is dead or late (it says which)
  4    the machine lacks something: the root service, a tool, the kernel
  5    a lab with other settings; a broken state
  130  Ctrl-C
`fqdnlab run` ends as its command does.
"""


class _Commands(click.Group):
    """Ends quietly on Ctrl-C, and when nobody reads what is printed any more."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # what is still to be flushed at exit goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from error
        except KeyboardInterrupt as error:
            raise click.exceptions.Exit(130) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXITS)
@click.version_option(fqdnlab.__version__, prog_name="fqdnlab")
def cli() -> None:
    """FQDN-based network policy, for real: labs, policies, faults, and every verdict explained.

    Make a lab with `fqdnlab up`; look at it with `flows -f`; break it with `agent kill`.
    """


for command in (
    *labs.COMMANDS,
    *endpoints.COMMANDS,
    *processes.COMMANDS,
    *views.COMMANDS,
    *explain.COMMANDS,
    *vagrant.COMMANDS,
    policies.policy,
    doctor,
):
    cli.add_command(command)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete fqdnlab's commands: source it."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "fqdnlab", "_FQDNLAB_COMPLETE").source())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    try:
        result = cli.main(list(arguments) if arguments is not None else None, standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except FqdnlabError as error:
        _tell(error)
        return next((status for kind, status in _STATUS if isinstance(error, kind)), 2)
    return result if isinstance(result, int) else 0


def _tell(error: FqdnlabError) -> None:
    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error:[/] {escape(_as_command(error.message))}", soft_wrap=True)
    if isinstance(error, PolicyError):
        for path, line, message in error.places:
            console.print(f"  line {line}: {escape(path)}: {escape(message)}", soft_wrap=True)
    if error.remedy:
        console.print(f"[bold]remedy:[/] {escape(_as_command(error.remedy))}", soft_wrap=True)


def _as_command(text: str) -> str:
    def command(found: re.Match[str]) -> str:
        node, process, action = found.groups()
        return f"fqdnlab {process} {action}" + (f" --node {node}" if node else "")

    return _CALL.sub(command, text)
