"""Endpoints and the world."""

from __future__ import annotations

from typing import Any

import click

from fqdnlab.cli.output import attach, lab_option, node_option, output_option, show
from fqdnlab.lab import Endpoint

__all__ = ["COMMANDS"]


def _row(e: Endpoint) -> dict[str, Any]:
    return {
        "name": e.name,
        "namespace": e.namespace,
        "labels": e.labels,
        "ip4": e.ip4,
        "ip6": e.ip6,
        "node": e.node,
    }


@click.group()
def endpoint() -> None:
    """Endpoints (workloads): add, list, delete."""


@endpoint.command("add")
@click.argument("name")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE")
@click.option("-n", "--namespace", default="default", show_default=True)
@node_option
@click.option("--machine", default="", help="A whole machine is to be it: client.")
@output_option
@lab_option
def add(
    name: str,
    labels: tuple[str, ...],
    namespace: str,
    node: str | None,
    machine: str,
    output: str,
    lab_name: str,
) -> None:
    """Make the endpoint NAME."""
    pairs = dict(label.partition("=")[::2] for label in labels)
    made = attach(lab_name).endpoint(name, pairs, namespace, node, machine)
    if output == "json":
        show([_row(made)], (), output)
    else:
        click.echo(f"endpoint {made.name}: {made.ip4} {made.ip6}")


@endpoint.command("list")
@output_option
@lab_option
def list_(output: str, lab_name: str) -> None:
    """All endpoints of a lab."""
    lab = attach(lab_name)
    more = ("node",) if len(lab.nodes) > 1 else ()
    rows = [_row(e) for e in lab.endpoints()]
    show(rows, ("name", "namespace", "labels", "ip4", "ip6", *more), output)


@endpoint.command("delete")
@click.argument("name")
@lab_option
def delete(name: str, lab_name: str) -> None:
    """Remove the endpoint NAME."""
    attach(lab_name).delete_endpoint(name)


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
    attach(lab_name).world.set(name, list(addresses), ttl=ttl)


COMMANDS = (endpoint, world)
