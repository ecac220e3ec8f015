"""Endpoints and the world."""

from __future__ import annotations

from typing import Any

import click

from fqdnlab.cli.output import lab_option, output_option, show
from fqdnlab.lab import Endpoint, Lab

__all__ = ["COMMANDS"]


def _row(e: Endpoint) -> dict[str, Any]:
    return {
        "name": e.name,
        "namespace": e.namespace,
        "labels": e.labels,
        "ip4": e.ip4,
        "ip6": e.ip6,
    }


@click.group()
def endpoint() -> None:
    """Endpoints (workloads): add, list, delete."""


@endpoint.command("add")
@click.argument("name")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE")
@click.option("-n", "--namespace", default="default", show_default=True)
@output_option
@lab_option
def add(name: str, labels: tuple[str, ...], namespace: str, output: str, lab_name: str) -> None:
    """Make the endpoint NAME."""
    pairs = dict(label.partition("=")[::2] for label in labels)
    made = Lab.attach(lab_name).endpoint(name, pairs, namespace)
    if output == "json":
        show([_row(made)], (), output)
    else:
        click.echo(f"endpoint {made.name}: {made.ip4} {made.ip6}")


@endpoint.command("list")
@output_option
@lab_option
def list_(output: str, lab_name: str) -> None:
    """All endpoints of a lab."""
    rows = [_row(e) for e in Lab.attach(lab_name).endpoints()]
    show(rows, ("name", "namespace", "labels", "ip4", "ip6"), output)


@endpoint.command("delete")
@click.argument("name")
@lab_option
def delete(name: str, lab_name: str) -> None:
    """Remove the endpoint NAME."""
    Lab.attach(lab_name).delete_endpoint(name)


@click.group()
def world() -> None:
    """The simulated internet: names and their addresses."""


@world.command("set")
@click.argument("name")
@click.argument("addresses", nargs=-1, required=True)
@click.option("--ttl", default=60, show_default=True, help="Seconds.")
@lab_option
def set_(name: str, addresses: tuple[str, ...], ttl: int, lab_name: str) -> None:
    """Let NAME have ADDRESSES (IPv4, IPv6), and no others."""
    Lab.attach(lab_name).world.set(name, list(addresses), ttl=ttl)


COMMANDS = (endpoint, world)
