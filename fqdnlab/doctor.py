"""``fqdnlab doctor``: what this machine has and lacks, and what to do about it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from fqdnlab.doctor_checks import Finding, diagnose, failed, gather
from fqdnlab.doctor_workshop import diagnose_workshop, gather_workshop

__all__ = ["doctor", "table"]

_SIGNS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[bold red]fail[/]"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of {check, level, found, remedy}.")
@click.option("--workshop", is_flag=True, help="What labs in virtual machines need, offline.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def doctor(as_json: bool, workshop: bool, output: str) -> None:
    """Check kernel, BTF, bpffs, privilege, libbpf and tools; give a remedy for each finding.

    Changes nothing.  Exits 0 unless something is found that no lab can run with.
    """
    findings = diagnose_workshop(gather_workshop()) if workshop else diagnose(gather())
    if as_json or output == "json":
        click.echo(json.dumps([asdict(f) for f in findings], indent=2))
    else:
        Console(highlight=False).print(table(findings))
    if failed(findings):
        sys.exit(1)


def table(findings: Sequence[Finding]) -> Table:
    """The findings as a table for people, with the remedy under what it mends."""
    made = Table(box=None, pad_edge=False)
    for heading in ("", "check", "found"):
        made.add_column(heading)
    for finding in findings:
        remedy = f"\n[bold]{finding.remedy}[/]" if finding.remedy else ""
        made.add_row(_SIGNS[finding.level], finding.check, finding.found + remedy)
    return made


if __name__ == "__main__":
    doctor()
