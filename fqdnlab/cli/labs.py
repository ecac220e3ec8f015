"""Labs as a whole: up, down, status, clean, demo, serve."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from fqdnlab.cli.output import lab_names, lab_option, output_option, show
from fqdnlab.errors import UnavailableError
from fqdnlab.lab import Lab
from fqdnlab.lab.machine import MachineClient
from fqdnlab.model.settings import LabSettings

__all__ = ["COMMANDS"]


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
def up(name: str, pairs: tuple[str, ...]) -> None:
    """Make the lab NAME, or find it living."""
    lab = Lab(name, **_settings(pairs))
    status = lab.status()
    verb = "made" if lab.made else "is up already"
    click.echo(f"lab {name} {verb}; metrics at http://127.0.0.1:{status.metrics_port}/metrics")
    lab.close()


@click.command()
@click.argument("name", default="lab", shell_complete=lab_names)
def down(name: str) -> None:
    """Take the lab NAME down; nothing of it is left."""
    MachineClient().down(name)
    click.echo(f"lab {name} is down")


@click.command()
@click.argument("name", required=False, shell_complete=lab_names)
@output_option
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
            for one in MachineClient().list()
        ]
        show(rows, ("lab", "uid", "node service", "since"), output)
        return
    lab = Lab.attach(name)
    found = lab.status()
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
    enforced = _policies_of(lab)
    endpoints = [
        {
            "endpoint": e.name,
            "namespace": e.namespace,
            "labels": dict(e.labels),
            "ip4": e.ip4,
            "ip6": e.ip6,
            "policies": enforced.get(e.name) if enforced is not None else None,
            "link_up": e.link_up,
        }
        for e in found.endpoint
    ]
    if output == "json":
        show(
            [{"processes": processes, "endpoints": endpoints, "metrics": found.metrics_port}],
            (),
            output,
        )
        return
    if found.sentence:
        click.echo(found.sentence)
    show(processes, ("process", "state", "pid", "generation", "restarts", "last_exit"), output)
    click.echo()
    show(
        endpoints, ("endpoint", "namespace", "labels", "ip4", "ip6", "policies", "link_up"), output
    )
    if enforced is None:
        click.echo("policies: not known while the agent is dead; the kernel goes on with them")
    click.echo(f"\nmetrics: http://127.0.0.1:{found.metrics_port}/metrics")


def _policies_of(lab: Lab) -> dict[str, list[str]] | None:
    """Endpoint → the policies in force for it; None if the agent is dead."""
    try:
        statuses = lab.policy_statuses()
    except UnavailableError:
        return None
    found: dict[str, list[str]] = {e.name: [] for e in lab.endpoints()}
    for one in statuses:
        for name in one.endpoints if one.enforced else ():
            found.setdefault(name.rpartition("/")[2], []).append(one.name)
    return found


@click.command()
def clean() -> None:
    """Remove what is left of labs whose node service was killed; living labs stay."""
    removed = MachineClient().clean()
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
    lab = Lab.attach(lab_name)
    found = {e.name: e for e in lab.endpoints()}.get(endpoint)
    if found is None:
        raise click.UsageError(f"lab {lab_name} has no endpoint {endpoint!r}")
    result = found.run(command, timeout)
    click.echo(result.stdout, nl=False)
    click.echo(result.stderr, nl=False, err=True)
    return result.exit if result.exit >= 0 else 128 - result.exit


COMMANDS = (up, down, status, clean, demo, notebook, serve, run)
