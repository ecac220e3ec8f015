"""Looking: flows, and the cache of names and addresses."""

from __future__ import annotations

import json
from typing import Any

import click
import pandas as pd

from fqdnlab.cli.output import lab_option, output_option, show
from fqdnlab.lab import Lab
from fqdnlab.pb import observer_pb2

__all__ = ["COMMANDS"]

_FLOW_COLUMNS = (
    "time",
    "endpoint",
    "kind",
    "name",
    "address",
    "port",
    "protocol",
    "verdict",
    "reason_text",
    "rule",
)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--last", default=0, help="Only the last N.")
@output_option
@lab_option
def flows(follow: bool, last: int, output: str, lab_name: str) -> None:
    """Packets and DNS records with their verdicts (JSON: Hubble's, a line each)."""
    lab = Lab.attach(lab_name)
    if output == "json" or follow:
        request = observer_pb2.GetFlowsRequest(follow=follow, number=last)
        for line in lab.flow_lines(request):
            click.echo(line if output == "json" else _short(line))
        return
    frame = lab.flows()
    show(_records(frame.tail(last) if last else frame), _FLOW_COLUMNS, output)


def _short(line: str) -> str:
    """One flow in one line, for people."""
    flow = json.loads(line).get("flow", {})
    where = flow.get("destination_names") or [flow.get("IP", {}).get("destination", "")]
    reason = flow.get("drop_reason_desc", "")
    source = flow.get("source", {}).get("pod_name") or flow.get("IP", {}).get("source", "")
    return (
        f"{flow.get('time', '')[11:23]}  {flow.get('verdict', ''):<10} {source} → "
        f"{', '.join(where)}  {flow.get('Summary', '')}  {reason}"
    ).rstrip()


@click.group()
def fqdn() -> None:
    """Names and addresses."""


@fqdn.group()
def cache() -> None:
    """What endpoints have learned."""


@cache.command("list")
@output_option
@lab_option
def list_(output: str, lab_name: str) -> None:
    """Every (endpoint, name, address), with its state."""
    frame = Lab.attach(lab_name).mappings()
    if "note" in frame.attrs:
        click.echo(frame.attrs["note"], err=True)
    columns = ("endpoint", "name", "ip", "ttl", "state", "expiration_time", "shared_with")
    show(_records(frame), columns, output)


COMMANDS = (flows, fqdn)
