"""What is printed and written: a table a section, its targets, one JSON file."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Figure, Judgement, Sample, Section, figures, judge

__all__ = ["Outcome", "facts", "print_outcome", "print_summary", "write"]


@dataclass(frozen=True)
class Outcome:
    """A section that was played."""

    section: Section
    samples: list[Sample]
    seconds: float

    def judgements(self) -> list[Judgement]:
        """Its targets, judged."""
        return [judge(t, self.samples, self.section.absent) for t in self.section.targets]


def facts(runs: int, quick: bool) -> dict[str, Any]:
    """The machine, and how it was measured."""
    cpus = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpu": cpus[0] if cpus else "unknown",
        "cpus": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "runs": runs,
        "quick": quick,
    }


def number(value: float) -> str:
    """Three figures that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _range(low: float, high: float) -> str:
    return f"{number(low)} … {number(high)}"


def print_outcome(console: Console, outcome: Outcome) -> None:
    """The table of figures (a row a path and metric), and that of targets."""
    table = Table(title=f"{outcome.section.title} ({outcome.seconds:.0f} s)", title_justify="left")
    for column in ("metric", "path", "unit"):
        table.add_column(column)
    for column in ("median", "range"):
        table.add_column(column, justify="right")
    found = figures(outcome.samples)
    for metric in dict.fromkeys(f.metric for f in found):
        for f in (f for f in found if f.metric == metric):
            table.add_row(metric, f.path, f.unit, number(f.median), _range(f.low, f.high))
        table.add_section()
    console.print(table)
    for path, why in outcome.section.absent.items():
        console.print(f"absent: {path}: {why}")
    judgements = outcome.judgements()
    if judgements:
        console.print(_targets(judgements))


_STYLES = {"met": "[blue]met[/blue]", "missed": "[bold red]missed[/bold red]", "absent": "absent"}


def _targets(judgements: Sequence[Judgement]) -> Table:
    table = Table()
    table.add_column("target")
    for column in ("wanted", "measured", "range"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for j in judgements:
        measured = (number(j.value), _range(min(j.values), max(j.values))) if j.measured else ()
        row = measured or ("–", j.note)
        table.add_row(j.target.name, j.target.wanted, *row, _STYLES[j.verdict])
    return table


def print_summary(console: Console, outcomes: Sequence[Outcome]) -> None:
    """How many targets were met, and which were not."""
    judgements = [j for o in outcomes for j in o.judgements()]
    counts = {v: sum(j.verdict == v for j in judgements) for v in _STYLES}
    console.print(", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    for j in judgements:
        if j.verdict == "missed":
            console.print(f"missed: {j.target.name}: {number(j.value)}, wanted {j.target.wanted}")


def write(path: Path, machine: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Every sample, the medians, the targets, as one JSON object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine, "sections": [_section(o) for o in outcomes]}
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def _section(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.section.name,
        "title": outcome.section.title,
        "seconds": round(outcome.seconds, 1),
        "absent": dict(outcome.section.absent),
        "figures": [_figure(f) for f in figures(outcome.samples)],
        "targets": [_judgement(j) for j in outcome.judgements()],
        "samples": [asdict(s) for s in outcome.samples],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "path": figure.path,
        "metric": figure.metric,
        "unit": figure.unit,
        "median": figure.median,
        "low": figure.low,
        "high": figure.high,
    }


def _judgement(j: Judgement) -> dict[str, Any]:
    return {
        **asdict(j.target),
        "measured": j.value if j.measured else None,
        "runs": list(j.values),
        "verdict": j.verdict,
        "note": j.note,
    }
