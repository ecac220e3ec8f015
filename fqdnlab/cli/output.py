"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from fqdnlab.lab import Lab
from fqdnlab.lab.backends import BACKENDS, Backend, backend
from fqdnlab.paths import RUN

__all__ = [
    "attach",
    "backend_option",
    "chosen_backend",
    "lab_names",
    "lab_option",
    "node_option",
    "output_option",
    "show",
]

F = TypeVar("F", bound=Callable[..., Any])
_BACKEND = "fqdnlab.backend"


def output_option(function: F) -> F:
    """``-o table|json``."""
    decorate = click.option(
        "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True
    )
    return decorate(function)


def backend_option(function: F) -> F:
    """``--backend NAME`` (or FQDNLAB_BACKEND in the environment); see `chosen_backend`."""

    def keep(context: click.Context, _: click.Parameter, value: str | None) -> None:
        context.meta[_BACKEND] = value

    decorate = click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        expose_value=False,
        callback=keep,
        help="Where labs are; default: FQDNLAB_BACKEND, or netns.",
    )
    return decorate(function)


def chosen_backend() -> Backend:
    """The backend that the running command was given."""
    return backend(click.get_current_context().meta.get(_BACKEND))


def attach(lab_name: str) -> Lab:
    """The living lab of that name, at the backend that the running command was given."""
    return Lab.attach(lab_name, chosen_backend())


def lab_option(function: F) -> F:
    """``--lab NAME`` (or FQDNLAB_LAB in the environment), and `backend_option`."""
    decorate = click.option(
        "--lab",
        "lab_name",
        default="lab",
        envvar="FQDNLAB_LAB",
        show_default=True,
        metavar="NAME",
        shell_complete=lab_names,
    )
    return decorate(backend_option(function))


def node_option(function: F) -> F:
    """``--node NAME``: which, in a lab with several."""
    decorate = click.option("--node", metavar="NAME", help="Of a lab with several nodes.")
    return decorate(function)


def lab_names(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """For completion: living labs whose names begin with `begun`, as far as one may see them."""
    try:
        return sorted(p.parent.name for p in RUN.glob(f"{begun}*/node.sock"))
    except OSError:
        return []


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], output: str) -> None:
    """Print rows: a table for people, or a JSON list."""
    rows = list(rows)
    if output == "json":
        click.echo(json.dumps([dict(r) for r in rows], indent=2, default=_plain))
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(c)) for c in columns))
    Console(highlight=False).print(table)


def _text(value: Any) -> str:
    if value is None or value != value:  # a NaN
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple, set)):
        return ", ".join(str(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    if hasattr(value, "strftime"):
        return str(value.strftime("%H:%M:%S.%f"))[:-3]
    return str(value)


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    return str(value)
