"""``fqdnlab explain``: of a lab, or of a real cluster's exports: no root, no lab for those."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from fqdnlab.cli.output import attach, backend_option
from fqdnlab.errors import UsageError
from fqdnlab.explain import Explanation, Facts, explain_row, forecast
from fqdnlab.explain.exports import facts_of_exports, read_flow_lines, with_flows
from fqdnlab.model.status import PROFILES

__all__ = ["COMMANDS"]

_FILE = click.Path(path_type=Path)
_PROTOCOLS = ("TCP", "UDP", "SCTP", "ICMPv4", "ICMPv6")


@click.command()
@click.argument("what", nargs=-1, metavar="[LAB] [ENDPOINT NAME_OR_ADDRESS PORT | UUID]")
@click.option("--protocol", type=click.Choice(_PROTOCOLS, case_sensitive=False), default="TCP")
@click.option("--policies", type=_FILE, help="Folder (or file) of policies, YAML or JSON.")
@click.option("--endpoints", type=_FILE, help="Of `cilium-dbg endpoint list -o json`.")
@click.option("--fqdn-cache", type=_FILE, help="Of `cilium-dbg fqdn cache list -o json`.")
@click.option("--flow", type=_FILE, help="Of `hubble observe -o jsonpb`: each packet of it.")
@click.option("--profile", type=click.Choice(PROFILES), default="cilium", show_default=True)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@backend_option
def explain(
    what: tuple[str, ...],
    protocol: str,
    policies: Path | None,
    endpoints: Path | None,
    fqdn_cache: Path | None,
    flow: Path | None,
    profile: str,
    output: str,
) -> None:
    """Say why a packet passes or not, step by step, and what would change that.

    Of a lab: before a packet is sent (LAB ENDPOINT NAME_OR_ADDRESS PORT; for ICMP the port is the
    type), or of a flow that was seen (LAB UUID).

    Of a real cluster, from its exports: --policies and --endpoints, with --fqdn-cache where there
    is one, and --flow or ENDPOINT NAME_OR_ADDRESS PORT.
    """
    if policies or endpoints or fqdn_cache or flow:
        if policies is None or endpoints is None:
            raise click.UsageError("exports need --policies and --endpoints")
        facts = facts_of_exports(
            _documents(policies),
            _text(endpoints),
            _text(fqdn_cache) if fqdn_cache else None,
            profile,
        )
        found = [*_exported(facts, flow, what, protocol)]
    else:
        found = [_of_lab(what, protocol)]
    if output == "json":
        click.echo(json.dumps([e.to_dict() for e in found], indent=2))
    else:
        click.echo("\n\n".join(str(e) for e in found))


def _of_lab(what: tuple[str, ...], protocol: str) -> Explanation:
    if len(what) == 2:
        lab = attach(what[0])
        return lab.explain(what[1])
    if len(what) != 4:
        raise click.UsageError("expected LAB ENDPOINT NAME_OR_ADDRESS PORT, or LAB UUID")
    lab, endpoint, target, port = attach(what[0]), *what[1:]
    return lab.explain(endpoint, target, _port(port), protocol)


def _exported(
    facts: Facts, flow: Path | None, what: tuple[str, ...], protocol: str
) -> Iterator[Explanation]:
    if flow is not None:
        facts, rows = with_flows(facts, read_flow_lines(_text(flow)))
        if not rows and not what:
            raise UsageError(f"{flow}: no flow in it", "expected hubble observe -o jsonpb")
        yield from _each(facts, [] if what else rows)
    if len(what) == 3:
        yield forecast(facts, what[0], what[1], _port(what[2]), protocol)
    elif what or flow is None:
        raise click.UsageError("expected --flow FILE, or ENDPOINT NAME_OR_ADDRESS PORT")


def _each(facts: Facts, rows: list[dict[str, Any]]) -> Iterator[Explanation]:
    """Of those whose endpoint is known; the others are named, and an error if they are all."""
    faults = []
    for row in rows:
        try:
            yield explain_row(facts, row)
        except UsageError as error:
            faults.append(error)
            click.echo(f"left out, {row['source_address']} → {row['address']}: {error}", err=True)
    if rows and len(faults) == len(rows):
        raise faults[0]


def _port(text: str) -> int:
    if not text.isdecimal():
        raise click.UsageError(f"{text!r} is no port")
    return int(text)


def _documents(path: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of a file, or of each policy file below a folder."""
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml", ".json"))
        if not found:
            raise UsageError(f"{path}: no .yaml, .yml or .json in it", "kubectl get cnp -A -o yaml")
    else:
        found = [path]
    for one in found:
        yield (one.relative_to(path).as_posix() if path.is_dir() else one.name), _text(one)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error


COMMANDS = (explain,)
