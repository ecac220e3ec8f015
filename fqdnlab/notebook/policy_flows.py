"""Which of the flows that were seen lately would be judged otherwise.  Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fqdnlab.explain import Facts
from fqdnlab.explain.case import PROTOCOLS
from fqdnlab.explain.decide import Mind
from fqdnlab.model.flow_rates import is_outcome
from fqdnlab.model.policy import Policy
from fqdnlab.notebook.policy_forecast import Outcome, applied_over, look_up_outcome, packet_outcome
from fqdnlab.notebook.policy_ports import Port

__all__ = ["FlowChange", "Retold", "places", "retold"]


class FlowChange(NamedTuple):
    """Flows that are alike, and what would become of the next such.

    Attributes
    ----------
    endpoint, target, address, port : str
        `address` and `port` are empty for a look-up.
    times : int
    before, after : Outcome
    """

    endpoint: str
    target: str
    address: str
    port: str
    times: int
    before: Outcome
    after: Outcome


class Retold(NamedTuple):
    """What became of the flows.

    Attributes
    ----------
    flows, seconds : int, float
        How many were judged anew, and in what time they came.
    changes : tuple of FlowChange
        The most frequent first.
    """

    flows: int
    seconds: float
    changes: tuple[FlowChange, ...]

    def would(self, passes: bool) -> int:
        """How many would pass (be dropped) that are dropped (pass) now."""
        return sum(c.times for c in self.changes if c.after.passes == passes != c.before.passes)


Key = tuple[str, str, str, str, int]


def retold(facts: Facts, proposed: Iterable[Policy], rows: Iterable[Mapping[str, Any]]) -> Retold:
    """Judge flows by the policies of `facts`, and with `proposed` applied.

    Parameters
    ----------
    facts : Facts
    proposed : iterable of Policy
    rows : iterable of dict
        As of `fqdnlab.model.flows`.
    """
    counted: Counter[Key] = Counter()
    oldest = facts.time
    for row in rows:
        if (key := _key(row)) is not None:
            counted[key] += 1
            oldest = min(oldest, row["time"].timestamp())
    minds = Mind(facts), Mind(facts, applied_over(facts, proposed))
    who = {w.name: w for w in facts.endpoints}
    found = []
    for (endpoint, name, address, protocol, port), count in counted.most_common():
        if endpoint not in who:
            continue  # it is gone
        if protocol:
            judged = [
                packet_outcome(m.judge(who[endpoint], address, PROTOCOLS[protocol], port))
                for m in minds
            ]
        else:
            judged = [look_up_outcome(m.ask(who[endpoint], facts.server, name)) for m in minds]
        if judged[0].passes != judged[1].passes:
            text = f"{port}/{protocol}" if protocol else ""
            found.append(FlowChange(endpoint, name or address, address, text, count, *judged))
    return Retold(counted.total(), facts.time - oldest, tuple(found))


def places(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, Port]]:
    """(address, port) of each packet that an endpoint sent: what else a forecast should judge."""
    keys = (key for row in rows if (key := _key(row)) is not None)
    return [(address, Port(protocol, port)) for _, _, address, protocol, port in keys if protocol]


def _key(row: Mapping[str, Any]) -> Key | None:
    """What flows are counted by; None: the row is of no flow of an endpoint, or of its reply."""
    if row["kind"] == "dns":
        query = str(row["query"]).lower().rstrip(".")
        return (str(row["endpoint"]), query, "", "", 0) if is_outcome(row) and query else None
    judged = row["verdict"] in ("FORWARDED", "DROPPED") and not row["is_reply"]
    if not judged or row["direction"] == "INGRESS" or row["protocol"] not in PROTOCOLS:
        return None
    if not row["endpoint"] or not _is_address(row["address"]) or row["port"] is None:
        return None
    name = str(row["name"]).rstrip(".")
    return str(row["endpoint"]), name, str(row["address"]), str(row["protocol"]), int(row["port"])


def _is_address(text: Any) -> bool:
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True
