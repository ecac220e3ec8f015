"""``python -m bench``: play the sections, print the figures, write them.

The exit status is 0 where everything was measured, met or missed alike; 1 where something could
not be measured; 4 where nothing could be started.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.figures import BenchError
from bench.report import Outcome, facts, print_outcome, print_summary, write
from bench.sections import SECTIONS, load
from fqdnlab.errors import FqdnlabError
from fqdnlab.lab import machine_service

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=SECTIONS, default=[*SECTIONS])
    parser.add_argument("--runs", type=int, default=0, help="interleaved runs (5; quick: 2)")
    parser.add_argument("--quick", action="store_true", help="short runs, rough figures")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    args = parser.parse_args(argv)
    console = Console(highlight=False, width=max(100, Console().width))
    if os.geteuid():
        console.print("make bench makes namespaces and BPF programs: run it as root (sudo)")
        return 4
    runs = args.runs or (2 if args.quick else 5)
    try:
        with machine_service():
            return _play(console, args.only, runs, args.quick, args.out)
    except FqdnlabError as error:
        console.print(f"[bold]The benchmark could not start:[/bold] {error}")
        return 4
    except KeyboardInterrupt:
        console.print("interrupted; what was made was taken down")
        return 130


def _play(console: Console, names: Sequence[str], runs: int, quick: bool, out: Path) -> int:
    machine = facts(runs, quick)
    outcomes: list[Outcome] = []
    failures: list[str] = []

    def tell(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    for name in names:
        section = load(name)
        begin = time.monotonic()
        try:
            samples = section.run(runs, quick, tell)
            outcome = Outcome(section, samples, time.monotonic() - begin)
            print_outcome(console, outcome)
            outcomes.append(outcome)
        except (BenchError, FqdnlabError, AssertionError, OSError, ValueError) as error:
            console.print(traceback.format_exc(), markup=False)
            failures.append(f"{name}: {error}")
    write(out / "bench.json", machine, outcomes)
    print_summary(console, outcomes)
    for failure in failures:
        console.print(f"not measured: {failure}", markup=False)
    console.print(f"written: {out / 'bench.json'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
