"""``python -m fqdnlab.demo``: play the story, print the table, write the report."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fqdnlab.demo.claims import Outcome
from fqdnlab.demo.console import table
from fqdnlab.demo.files import write_flows, write_report
from fqdnlab.demo.scenery import Scenery
from fqdnlab.demo.story import ADDRESSES, SETTINGS, TRACKER, Hooks, Story
from fqdnlab.errors import FqdnlabError
from fqdnlab.lab import Lab
from fqdnlab.lab.backends import Backend, backend

__all__ = ["main", "perform"]


def main(argv: Sequence[str] | None = None) -> int:
    """Play the demo; return 0 if every claim holds, 1 if one fails, 4 if it could not start."""
    parser = argparse.ArgumentParser(prog="fqdnlab demo", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("build/demo"), help="where the report goes"
    )
    parser.add_argument("--name", default="demo", help="name of the lab")
    parser.add_argument("--rate", type=float, default=1000.0, help="queries/s of claim 9")
    parser.add_argument("--backend", help="where the lab is: netns or vagrant")
    args = parser.parse_args(argv)
    console = Console(highlight=False)
    try:
        chosen = backend(args.backend)
        with chosen.service():
            outcomes = perform(console, args.out, args.name, args.rate, backend=chosen)
    except FqdnlabError as error:
        console.print(f"[bold]The demo could not start:[/bold] {error}", soft_wrap=True)
        return 4
    except KeyboardInterrupt:
        console.print("interrupted; the lab was taken down")
        return 130
    return 0 if all(o.holds for o in outcomes) else 1


def perform(
    console: Console,
    out: Path,
    name: str = "demo",
    rate: float = 1000.0,
    hooks: Hooks | None = None,
    last: int = 8,
    backend: Backend | None = None,
) -> list[Outcome]:
    """Play the story in a lab of its own; print the table and write the files into `out`.

    Parameters
    ----------
    console : rich.console.Console
    out : Path
        Made if it is not there; gets ``report.html`` and ``flows.jsonl``.
    name, rate, hooks, last, backend
        As of `Lab` and `Story`.
    """
    start = time.time()
    with Lab(name, backend, **SETTINGS) as lab:
        console.print(f"lab {name} is up after {time.time() - start:.1f} s")
        story = Story(lab, hooks, lambda text: console.print(text, soft_wrap=True), rate)
        begin = time.time()
        with Scenery(lab, TRACKER, ADDRESSES) as scenery:
            outcomes = story.play(last)
            end = time.time()
        console.print()
        console.print(table(outcomes, console))
        out.mkdir(parents=True, exist_ok=True)
        write_report(out, lab, outcomes, story.changes, scenery.mappings(), begin, end)
        write_flows(out, lab)
        _give_to_caller(out)
    took = time.time() - start
    console.print(
        f"report: {out / 'report.html'} · flows: {out / 'flows.jsonl'} · {took:.0f} s in all",
        soft_wrap=True,
    )
    return outcomes


def _give_to_caller(out: Path) -> None:
    """Under sudo, what is written belongs to who called."""
    uid, gid = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if os.geteuid() or not uid or not gid:
        return
    for path in (out.parent, out, *out.iterdir()):
        os.chown(path, int(uid), int(gid), follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main())
