"""The machines of virtual labs: ``fqdnlab vagrant up``, ``status``, ``bundle`` …"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fqdnlab.cli.output import output_option, show
from fqdnlab.errors import SetupError
from fqdnlab.vagrant.box import ensure_box
from fqdnlab.vagrant.machines import Machines
from fqdnlab.vagrant.payload import ensure_payload
from fqdnlab.vagrant.programs import run
from fqdnlab.vagrant.site import Site, repository
from fqdnlab.vagrant.verbs import Vagrant

__all__ = ["COMMANDS"]

_BUNDLE_SECONDS = 3600.0


def _say(text: str) -> None:
    if text.strip():
        click.echo(text, err=True)


@click.group()
def vagrant() -> None:
    """The machines that `--backend vagrant` makes labs in; vagrant/README.md says more.

    Labs bring them up themselves; these commands are for before and after.
    """


@vagrant.command()
def up() -> None:
    """Make, start or wake the machines, and wait for their services."""
    machines = Machines(Site.from_environment(), _say)
    try:
        machines.up()
    finally:
        machines.close()
    click.echo(f"up: {', '.join(machines.site.machines)}")


@vagrant.command()
@output_option
def status(output: str) -> None:
    """Each machine and its state."""
    site = Site.from_environment()
    rows = [
        {"machine": name, "state": state, "address": site.address(name)}
        for name, state in Vagrant(site).status().items()
    ]
    show(rows, ("machine", "state", "address"), output)


@vagrant.command()
def halt() -> None:
    """Shut the machines down; labs in them are gone, snapshots stay."""
    Machines(Site.from_environment(), _say).halt()
    click.echo("halted")


@vagrant.command()
@click.confirmation_option(prompt="Remove the machines, their disks and snapshots?")
def destroy() -> None:
    """Remove the machines, with their disks and snapshots."""
    Machines(Site.from_environment(), _say).destroy()
    click.echo("destroyed")


@vagrant.command()
def payload() -> None:
    """Make what is put on the machines, if the sources have changed; print its path."""
    clone = repository()
    site = Site(clone / "vagrant") if clone else Site.from_environment()
    click.echo(ensure_payload(site, _say))


@vagrant.command()
def box() -> None:
    """Build the box from Debian packages, if its recipe has changed; print its path.  Root."""
    click.echo(ensure_box(_say))


@vagrant.command(context_settings={"ignore_unknown_options": True})
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def bundle(folder: Path, options: tuple[str, ...]) -> None:
    """Make FOLDER, from which `./lab install --offline` sets up a machine with no network.

    Options: --without-box, --without-vms, --with-browser.
    """
    clone = repository()
    if clone is None or not (clone / ".git").exists():
        raise SetupError(
            "a bundle is made in a git clone of fqdnlab", "git clone; ./lab bundle DIR"
        )
    command = [sys.executable, str(clone / "tools" / "bundle.py"), str(folder.absolute())]
    ended = run([*command, *options], _BUNDLE_SECONDS, on_line=_say)
    if ended.late or ended.status != 0:
        raise click.exceptions.Exit(ended.status if ended.status > 0 else 3)


COMMANDS = (vagrant,)
