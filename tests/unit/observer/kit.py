"""Contexts, events and flows for the unit tests of the observer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fqdnlab.datapath import abi
from fqdnlab.observer.context import Clock, Context
from fqdnlab.observer.decode import Decoder
from fqdnlab.observer.history import Kind, Slot
from fqdnlab.observer.names import NameHistory
from fqdnlab.observer.rules import RulesFile
from fqdnlab.pb import flow_pb2
from tests.observer_data import API, EP, EP4, FQDN_IDENTITY, RULE, RULES

SECOND = 1_000_000_000
NOW = 5_000 * SECOND  # of CLOCK_BOOTTIME
OFFSET = 1_700_000_000 * SECOND  # wall time - CLOCK_BOOTTIME


def write_rules(path: Path, rules: dict[str, Any], at: int) -> None:
    """As the agent does it, dated `at` (ns of CLOCK_BOOTTIME)."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(rules), encoding="utf-8")
    os.utime(fresh, ns=(at + OFFSET, at + OFFSET))
    fresh.replace(path)


def decoder(path: Path, names: NameHistory | None = None, identity: int = 9) -> Decoder:
    clock = Clock(OFFSET)
    file = path / "rules.json"
    if not file.exists():
        write_rules(file, RULES, SECOND)
    rules = RulesFile(file, clock.to_boottime)
    rules.refresh()
    context = Context(
        rules,
        NameHistory() if names is None else names,
        clock,
        "fqdnlab/unit",
        77,
        lambda _: identity,
    )
    return Decoder(context)


def event(**given: Any) -> bytes:
    """Octets of a ``struct flow_event``: an allowed SYN to the API unless told otherwise."""
    fields: dict[str, Any] = {
        "time": NOW,
        "saddr": abi.ip16(EP4),
        "daddr": abi.ip16(API),
        "ep_id": EP,
        "identity": FQDN_IDENTITY,
        "rule": RULE,
        "length": 60,
        "sport": 50000,
        "dport": 443,
        "proxy_port": 0,
        "type": abi.EVENT_NEW_FLOW,
        "verdict": abi.VERDICT_ALLOW,
        "reason": 0,
        "family": 4,
        "proto": 6,
        "dir": abi.DIR_EGRESS,
        "tcp_flags": 2,
        "icmp_type": 0,
        "icmp_code": 0,
        "is_reply": 0,
        "match": 2,
    }
    return abi.FLOW_EVENT.pack(*(fields | given).values())


def dropped(reason: int, **given: Any) -> bytes:
    base = {"type": abi.EVENT_DROP, "verdict": abi.VERDICT_DENY, "reason": reason, "rule": 0}
    return event(**(base | given))


def flow_of(made: Decoder, kind: Kind, raw: bytes, number: int = 0) -> flow_pb2.Flow:
    flow = flow_pb2.Flow()
    made.fill(flow, number, Slot(int.from_bytes(raw[:8], "little"), kind, raw))
    return flow
