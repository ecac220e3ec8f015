"""Looking: flows, the cache of names and addresses, what the agent remembers."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import click
import pandas as pd

from fqdnlab.cli.flow_request import flow_filters, flow_request
from fqdnlab.cli.output import attach, lab_option, node_option, output_option, show
from fqdnlab.errors import UnavailableError
from fqdnlab.model import hubble_json
from fqdnlab.model.flows import rows
from fqdnlab.pb import observer_pb2

__all__ = ["COMMANDS"]

_SAME_ANSWER = timedelta(milliseconds=1)
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
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@flow_filters
@output_option
@lab_option
def flows(follow: bool, output: str, lab_name: str, **wanted: Any) -> None:
    """Packets and DNS records with their verdicts (JSON: Hubble's, a line each).

    Filters of one kind given twice are alternatives; of different kinds, all must hold.
    """
    request = flow_request(follow, wanted)
    lines = attach(lab_name).flow_lines(request)
    if output == "json" or follow:
        for line in lines:
            click.echo(line if output == "json" else _short(line))
        return
    responses = (hubble_json.from_line(line, observer_pb2.GetFlowsResponse()) for line in lines)
    show(rows(r.flow for r in responses if r.HasField("flow")), _FLOW_COLUMNS, output)


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
    """Every (endpoint, name, address), with its state (JSON: as `cilium-dbg fqdn cache list`)."""
    lab = attach(lab_name)
    frame = lab.mappings()
    if "note" in frame.attrs:
        raise UnavailableError(frame.attrs["note"])
    if output == "json":
        ids = {e.name: e.id for e in lab.endpoints()}
        click.echo(json.dumps(_as_cilium(_records(frame), ids), indent=2))
        return
    columns = ("endpoint", "name", "ip", "ttl", "state", "expiration_time", "shared_with", "node")
    show(_records(frame), [c for c in columns if c in frame], output)


def _as_cilium(mappings: list[dict[str, Any]], ids: dict[str, int]) -> list[dict[str, Any]]:
    """One object for each answer that an endpoint got, with its addresses."""
    found: list[dict[str, Any]] = []
    last: dict[tuple[Any, ...], tuple[datetime, dict[str, Any]]] = {}
    for one in sorted(mappings, key=lambda m: m["lookup_time"]):
        key = (one["endpoint"], one["name"], one["ttl"], one["source"])
        when, entry = last.get(key, (None, {}))
        # Wall time is made anew for each mapping: of one answer, it differs by microseconds.
        if when is None or one["lookup_time"] - when > _SAME_ANSWER:
            entry = {
                "endpoint-id": ids.get(one["endpoint"], 0),
                "expiration-time": _moment(one["expiration_time"]),
                "fqdn": str(one["name"]).rstrip(".") + ".",
                "ips": [],
                "lookup-time": _moment(one["lookup_time"]),
                "source": one["source"],
                "ttl": one["ttl"],
            }
            found.append(entry)
            last[key] = (one["lookup_time"], entry)
        entry["ips"].append(one["ip"])
    return found


def _moment(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


@click.command()
@node_option
@lab_option
def dump(node: str | None, lab_name: str) -> None:
    """The agent's last events and operations, as JSON: for a bug report, or to replay."""
    lab = attach(lab_name)
    click.echo(json.dumps((lab.node(node) if node else lab).dump(), indent=2))


COMMANDS = (flows, fqdn, dump)
