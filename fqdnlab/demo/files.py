"""What the demo leaves: the report and the flows."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import fqdnlab
from fqdnlab.demo.claims import Outcome
from fqdnlab.demo.policies import UNSUPPORTED, WEB_EGRESS
from fqdnlab.demo.report import render
from fqdnlab.demo.story import SETTINGS
from fqdnlab.errors import UnavailableError
from fqdnlab.lab import Lab
from fqdnlab.plots import timeline

__all__ = ["write_flows", "write_report"]


def write_report(
    out: Path,
    lab: Lab,
    outcomes: Sequence[Outcome],
    changes: Sequence[Mapping[str, Any]],
    mappings: pd.DataFrame,
    begin: float,
    end: float,
) -> None:
    """Write ``report.html`` into `out`: what the lab saw from `begin` to `end`.

    Parameters
    ----------
    mappings : DataFrame
        As `fqdnlab.plots.timeline` takes it.
    begin, end : float
        Unix seconds.
    """
    flows, queries, faults = lab.flows(), lab.queries(), lab.faults()
    packets = flows[flows["kind"] == "packet"] if not flows.empty else flows
    figure = timeline(packets, queries, faults, changes, mappings, t0=begin, end=end)
    dropped = int((packets["verdict"] == "DROPPED").sum())
    facts = [
        ("fqdnlab", fqdnlab.__version__),
        ("kernel", _kernel(lab)),
        ("enforcer", _attachment(lab)),
        ("lab settings", json.dumps(SETTINGS)),
        ("packet flows", f"{len(packets):,}, of them {dropped:,} dropped"),
        ("DNS questions", f"{len(queries):,} through the proxy"),
    ]
    policies = [("Policy of web and shop", WEB_EGRESS), ("Accepted, not enforced", UNSUPPORTED)]
    when = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(begin))
    fresh = out / "report.html.new"
    fresh.write_text(render(outcomes, figure, policies, facts, when), encoding="utf-8")
    fresh.replace(out / "report.html")


def _kernel(lab: Lab) -> str:
    """Of the node, which may be another machine."""
    (endpoint, *_) = lab.endpoints()
    return endpoint.run(["uname", "-r"]).stdout.strip() or "unknown"


def _attachment(lab: Lab) -> str:
    try:
        return f"{lab.agent_status().attach}, BPF maps and links pinned"
    except UnavailableError:  # a story that ended while the agent was dead
        return "BPF maps and links pinned; the agent is dead"


def write_flows(out: Path, lab: Lab) -> None:
    """Write ``flows.jsonl`` into `out`: every flow as Hubble's JSON, a line each."""
    fresh = out / "flows.jsonl.new"
    with open(fresh, "w", encoding="utf-8") as file:
        for line in lab.flow_lines():
            file.write(line + "\n")
    fresh.replace(out / "flows.jsonl")
