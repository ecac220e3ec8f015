"""``fqdnlab policy``: apply, list, delete beside validate and match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fqdnlab.cli.output import attach, lab_option, output_option, show
from fqdnlab.cli_policy import policy

__all__ = ["policy"]


@policy.command("apply")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--timeout", default=5.0, show_default=True, help="Seconds for the proxy.")
@output_option
@lab_option
def apply(files: tuple[Path, ...], timeout: float, output: str, lab_name: str) -> None:
    """Apply the policies of FILES; done when the kernel and the proxy have them."""
    lab = attach(lab_name)
    rows: list[dict[str, Any]] = []
    for file in files:
        reply = lab.apply(file, timeout)
        rows += reply.rows()
        if output == "table":
            click.echo("\n".join(reply.lines()))
    if output == "json":
        show(rows, (), output)


@policy.command("list")
@output_option
@lab_option
def list_(output: str, lab_name: str) -> None:
    """All policies of a lab, enforced or not."""
    found = attach(lab_name).policies()
    rows = found.to_dict("records")
    wanted = ("namespace", "name", "kind", "enforced", "why", "endpoints", "node")
    columns = [c for c in wanted if c in found]
    show([{str(k): v for k, v in row.items()} for row in rows], columns, output)


@policy.command("delete")
@click.argument("name")
@click.option("-n", "--namespace", default="")
@lab_option
def delete(name: str, namespace: str, lab_name: str) -> None:
    """Withdraw the policy NAME."""
    attach(lab_name).delete_policy(name, namespace)
