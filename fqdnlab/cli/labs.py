"""Labs as a whole: up, down, status, clean, demo, serve."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from fqdnlab.cli.output import (
    attach,
    backend_option,
    chosen_backend,
    lab_names,
    lab_option,
    output_option,
    show,
)
from fqdnlab.errors import UnavailableError
from fqdnlab.lab import Lab
from fqdnlab.lab.node import Node
from fqdnlab.model.settings import LabSettings
from fqdnlab.pb import control_pb2 as pb

__all__ = ["COMMANDS"]

_PROCESS_COLUMNS = ("process", "state", "pid", "generation", "restarts", "last_exit")
_ENDPOINT_COLUMNS = ("endpoint", "namespace", "labels", "ip4", "ip6", "policies", "link_up")


def _settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` pairs, each value of the type that its default has."""
    defaults = LabSettings()
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        default = getattr(defaults, name, None)
        if not equals or default is None:
            raise click.BadParameter(f"{pair!r} is no setting=value; see `fqdnlab up --help`")
        try:
            if isinstance(default, bool):
                given[name] = {"true": True, "false": False}[text.lower()]
            else:
                given[name] = type(default)(text)
        except (KeyError, ValueError) as error:
            kind = type(default).__name__
            raise click.BadParameter(f"{name} takes a {kind}, not {text!r}") from error
    return given


@click.command(epilog="Settings and defaults: " + LabSettings().to_json())
@click.argument("name", default="lab")
@click.option("-s", "--set", "pairs", multiple=True, metavar="SETTING=VALUE")
@backend_option
def up(name: str, pairs: tuple[str, ...]) -> None:
    """Make the lab NAME, or find it living."""
    lab = Lab(name, chosen_backend(), **_settings(pairs))
    verb = "made" if lab.made else "is up already"
    click.echo(f"lab {name} {verb}; {'; '.join(_metrics(n) for n in lab.nodes.values())}")
    lab.close()


def _metrics(node: Node) -> str:
    """Where they are: on the node's own loopback."""
    return f"metrics at http://127.0.0.1:{node.status().metrics_port}/metrics{_on(node)}"


def _on(node: Node) -> str:
    return "" if node.name == "node" else f" on {node.name}"


@click.command()
@click.argument("name", default="lab", shell_complete=lab_names)
@backend_option
def down(name: str) -> None:
    """Take the lab NAME down; nothing of it is left."""
    chosen_backend().down(name)
    click.echo(f"lab {name} is down")


@click.command()
@click.argument("name", required=False, shell_complete=lab_names)
@output_option
@backend_option
def status(name: str | None, output: str) -> None:
    """All labs of the machine, or the processes and endpoints of the lab NAME."""
    if name is None:
        rows = [
            {
                "lab": one["name"],
                "uid": one["uid"],
                "node service": "alive" if one["alive"] else "dead: `fqdnlab clean`",
                "since": datetime.fromtimestamp(one["since"], UTC).isoformat(timespec="seconds"),
            }
            for one in chosen_backend().list()
        ]
        show(rows, ("lab", "uid", "node service", "since"), output)
        return
    nodes = attach(name).nodes.values()
    if output == "json":
        show([_told(n.name, n.status(), _policies_of(n)) for n in nodes], (), output)
        return
    for node in nodes:
        if len(nodes) > 1:
            click.echo(click.style(f"node {node.name}: ", bold=True), nl=False)
        _show_status(node.name, node.status(), _policies_of(node))


def _told(node: str, found: pb.NodeStatus, held: dict[str, list[str]] | None) -> dict[str, Any]:
    """A node's processes and endpoints; `held`: endpoint → policies, None: not known."""
    processes = [
        {
            "process": p.name,
            "state": p.state,
            "pid": p.pid,
            "generation": p.generation,
            "restarts": p.restarts,
            "last_exit": p.last_exit,
        }
        for p in found.process
    ]
    endpoints = [
        {
            "endpoint": e.name,
            "namespace": e.namespace,
            "labels": dict(e.labels),
            "ip4": e.ip4,
            "ip6": e.ip6,
            "policies": None if held is None else held.get(e.name, []),
            "link_up": e.link_up,
        }
        for e in found.endpoint
    ]
    return {
        "node": node,
        "processes": processes,
        "endpoints": endpoints,
        "metrics": found.metrics_port,
    }


def _show_status(node: str, found: pb.NodeStatus, held: dict[str, list[str]] | None) -> None:
    told = _told(node, found, held)
    click.echo(found.sentence)
    show(told["processes"], _PROCESS_COLUMNS, "table")
    click.echo()
    show(told["endpoints"], _ENDPOINT_COLUMNS, "table")
    if held is None:
        click.echo("policies: not known while the agent is dead; the kernel goes on with them")
    click.echo(f"\nmetrics: http://127.0.0.1:{found.metrics_port}/metrics")


def _policies_of(node: Node) -> dict[str, list[str]] | None:
    """Endpoint → the policies in force for it; None if the agent is dead."""
    try:
        statuses = node.policy_statuses()
    except UnavailableError:
        return None
    found: dict[str, list[str]] = {}
    for one in statuses:
        for name in one.endpoints if one.enforced else ():
            found.setdefault(name.rpartition("/")[2], []).append(one.name)
    return found


@click.command()
@backend_option
def clean() -> None:
    """Remove what is left of labs whose node service was killed; living labs stay."""
    removed = chosen_backend().clean()
    click.echo("removed: " + ", ".join(removed) if removed else "nothing was left behind")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> int:
    """Play the story of FQDN filtering and check its nine claims."""
    from fqdnlab.demo.__main__ import main  # plotly is slow to import: only where it is used

    return main(list(arguments))


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def notebook(arguments: tuple[str, ...]) -> int:
    """Start JupyterLab on notebooks/, or a folder; print its address."""
    from fqdnlab.notebook.jupyter import main

    return main(list(arguments))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> int:
    """Run the machine's root service, which makes labs for its users."""
    from fqdnlab.machine.service import main

    return main(list(arguments))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("endpoint")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--timeout", default=60.0, show_default=True, help="Seconds.")
@lab_option
def run(endpoint: str, command: tuple[str, ...], timeout: float, lab_name: str) -> int:
    """Run COMMAND in ENDPOINT; its output and its exit status are ours."""
    lab = attach(lab_name)
    found = {e.name: e for e in lab.endpoints()}.get(endpoint)
    if found is None:
        raise click.UsageError(f"lab {lab_name} has no endpoint {endpoint!r}")
    result = found.run(command, timeout)
    click.echo(result.stdout, nl=False)
    click.echo(result.stderr, nl=False, err=True)
    return result.exit if result.exit >= 0 else 128 - result.exit


COMMANDS = (up, down, status, clean, demo, notebook, serve, run)
