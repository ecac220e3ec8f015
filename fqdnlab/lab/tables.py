"""What a lab knows, as DataFrames.  Units stand in `UNITS`, column by column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from fqdnlab.model.flows import COLUMNS, QUERY_COLUMNS
from fqdnlab.model.metrics_text import read_metrics
from fqdnlab.pb import control_pb2 as pb

__all__ = [
    "FAULT_COLUMNS",
    "MAPPING_COLUMNS",
    "METRIC_COLUMNS",
    "POLICY_COLUMNS",
    "UNITS",
    "faults",
    "flows",
    "identities",
    "mappings",
    "maps",
    "metrics",
    "policies",
    "queries",
]

MAPPING_COLUMNS = (
    "endpoint",
    "name",
    "ip",
    "ttl",
    "lookup_time",
    "expiration_time",
    "state",
    "source",
    "identity",
    "shared_with",
)
FAULT_COLUMNS = ("time", "process", "action", "pid", "generation", "note")
METRIC_COLUMNS = ("process", "name", "labels", "value")
POLICY_COLUMNS = ("namespace", "name", "kind", "enforced", "why", "lint", "endpoints", "file")

#: Column → unit or meaning, for those that have one.
UNITS = {
    "time": "wall clock, UTC",
    "lookup_time": "wall clock, UTC",
    "expiration_time": "wall clock, UTC",
    "ttl": "seconds of lab time",
    "latency_ms": "milliseconds",
    "length": "octets, from the IP header",
    "identity": "number in the ipcache",
    "id": "number in the ipcache",
    "addresses": "how many have it",
    "generation": "how many times the process was started",
    "value": "as attrs['metrics'][family]['unit'] says",
}


def _frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(columns))
    frame.attrs["units"] = {c: UNITS[c] for c in columns if c in UNITS}
    return frame


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def flows(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a packet flow or DNS record (columns: `fqdnlab.model.flows.COLUMNS`)."""
    return _frame(rows, COLUMNS)


def queries(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a question that the proxy saw (`fqdnlab.model.flows.QUERY_COLUMNS`)."""
    return _frame(rows, QUERY_COLUMNS)


def mappings(records: Iterable[pb.MappingRecord]) -> pd.DataFrame:
    """One row for each (endpoint, name, address) (`MAPPING_COLUMNS`)."""
    return _frame(
        (
            {
                "endpoint": m.endpoint,
                "name": m.fqdn,
                "ip": m.ip,
                "ttl": m.ttl,
                "lookup_time": _when(m.lookup_time),
                "expiration_time": _when(m.expiration_time),
                "state": m.state,
                "source": m.source,
                "identity": m.identity,
                "shared_with": list(m.shared_with),
            }
            for m in records
        ),
        MAPPING_COLUMNS,
    )


def identities(records: Iterable[pb.IdentityRecord]) -> pd.DataFrame:
    """One row an identity: ``id``, ``labels``, ``addresses``."""
    rows = ({"id": i.id, "labels": list(i.labels), "addresses": i.addresses} for i in records)
    return _frame(rows, ("id", "labels", "addresses"))


def maps(records: Iterable[pb.MapEntry]) -> pd.DataFrame:
    """One row an entry of a kernel map: ``map``, ``key``, ``value``."""
    rows = ({"map": e.map, "key": e.key, "value": e.value} for e in records)
    return _frame(rows, ("map", "key", "value"))


def faults(records: Iterable[pb.FaultRecord]) -> pd.DataFrame:
    """One row for each fault that was delivered (`FAULT_COLUMNS`)."""
    return _frame(
        (
            {
                "time": _when(f.time),
                "process": f.process,
                "action": f.action,
                "pid": f.pid,
                "generation": f.generation,
                "note": f.note,
            }
            for f in records
        ),
        FAULT_COLUMNS,
    )


def metrics(reply: pb.MetricsReply) -> pd.DataFrame:
    """One row a sample (`METRIC_COLUMNS`)."""
    rows: list[dict[str, Any]] = []
    about: dict[str, dict[str, str]] = {}
    for one in reply.process:
        found, said = read_metrics(one.text)
        about.update(said)
        rows += [
            {"process": one.process, "name": m.name, "labels": m.labels, "value": m.value}
            for m in found
        ]
    frame = _frame(rows, METRIC_COLUMNS)
    frame.attrs["metrics"], frame.attrs["silent"] = about, list(reply.silent)
    return frame


def policies(statuses: Iterable[pb.PolicyStatus]) -> pd.DataFrame:
    """One row a policy (`POLICY_COLUMNS`)."""
    return _frame(
        (
            {
                "namespace": p.namespace,
                "name": p.name,
                "kind": p.kind,
                "enforced": p.enforced,
                "why": "; ".join(f"{f.path}: {f.reason}" for f in p.fields),
                "lint": "; ".join(f"{f.path}: {f.reason}" for f in p.lint),
                "endpoints": list(p.endpoints),
                "file": p.file,
            }
            for p in statuses
        ),
        POLICY_COLUMNS,
    )
