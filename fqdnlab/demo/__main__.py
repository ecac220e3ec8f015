"""``python -m fqdnlab.demo``: play the story, print the table, write the report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import fqdnlab
from fqdnlab.demo.claims import Outcome
from fqdnlab.demo.policies import UNSUPPORTED, WEB_EGRESS
from fqdnlab.demo.report import render
from fqdnlab.demo.story import SETTINGS, Story
from fqdnlab.errors import FqdnlabError
from fqdnlab.lab import Lab, machine_service
from fqdnlab.plots import timeline

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Play the demo; return 0 if every claim holds, 1 if one fails, 4 if it could not start."""
    parser = argparse.ArgumentParser(prog="fqdnlab demo", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("build/demo"), help="where the report goes"
    )
    parser.add_argument("--name", default="demo", help="name of the lab")
    parser.add_argument("--rate", type=float, default=1000.0, help="queries/s of claim 9")
    args = parser.parse_args(argv)
    console = Console(highlight=False)
    try:
        with machine_service():
            return _run(console, args.out, args.name, args.rate)
    except FqdnlabError as error:
        console.print(f"[bold]The demo could not start:[/bold] {error}")
        return 4
    except KeyboardInterrupt:
        console.print("interrupted; the lab was taken down")
        return 130


def _run(console: Console, out: Path, name: str, rate: float) -> int:
    start = time.time()
    with Lab(name, **SETTINGS) as lab:
        console.print(f"lab {name} is up after {time.time() - start:.1f} s")
        story = Story(lab, tell=lambda text: console.print(text, soft_wrap=True), rate=rate)
        begin = time.time()
        outcomes = story.play()
        console.print(_table(outcomes))
        _write(out, lab, story, outcomes, begin)
    took = time.time() - start
    console.print(
        f"report: {out / 'report.html'} · flows: {out / 'flows.jsonl'} · {took:.0f} s in all"
    )
    return 0 if all(o.holds for o in outcomes) else 1


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(show_lines=True)
    table.add_column("", justify="right")
    for column in ("claim", "expected", "observed"):
        table.add_column(column, ratio=1)
    table.add_column("verdict", no_wrap=True)
    for o in outcomes:
        verdict = "[blue]▲ holds[/blue]" if o.holds else "[bold red]✕ FAILS[/bold red]"
        table.add_row(str(o.claim.number), o.claim.text, o.claim.expected, o.observed, verdict)
    return table


def _write(out: Path, lab: Lab, story: Story, outcomes: Sequence[Outcome], begin: float) -> None:
    out.mkdir(parents=True, exist_ok=True)
    flows = lab.flows()
    packets = flows[flows["kind"] == "packet"] if not flows.empty else flows
    figure = timeline(
        packets, lab.queries(), lab.faults(), story.changes, t0=begin, end=time.time()
    )
    facts = [
        ("fqdnlab", fqdnlab.__version__),
        ("kernel", platform.release()),
        ("enforcer", f"{lab.agent_status().attach}, BPF maps and links pinned"),
        ("lab settings", json.dumps(SETTINGS)),
        ("packet flows", f"{len(packets)}, {int((packets['verdict'] == 'DROPPED').sum())} dropped"),
        ("DNS records", str(len(lab.queries()))),
    ]
    policies = [("Policy of web", WEB_EGRESS), ("Accepted, not enforced", UNSUPPORTED)]
    when = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(begin))
    _replace(out / "report.html", render(outcomes, figure, policies, facts, when))
    with open(out / "flows.jsonl", "w", encoding="utf-8") as file:
        for line in lab.flow_lines():
            file.write(line + "\n")
    _give_to_caller(out)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _give_to_caller(out: Path) -> None:
    """Under sudo, what is written belongs to who called."""
    uid, gid = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if os.geteuid() or not uid or not gid:
        return
    for path in (out.parent, out, *out.iterdir()):
        os.chown(path, int(uid), int(gid))


if __name__ == "__main__":
    sys.exit(main())
