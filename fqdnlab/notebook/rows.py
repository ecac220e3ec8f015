"""From a row of `fqdnlab.model.flows` to what the table shows.  Pure.

The words come from Hubble's verdict and from fqdnlab/model/flow_words.py; here they are put beside
a glyph and a reason in plain English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fqdnlab.model.names import fqdn_matcher
from fqdnlab.model.policy import FQDNSelector

__all__ = ["COLUMNS", "view"]

#: Of what `view` returns, in order.
COLUMNS = (
    "n",
    "time",
    "endpoint",
    "name",
    "detail",
    "kind",
    "word",
    "why",
    "short",
    "rule",
    "uuid",
    "port",
)

#: kind: a allowed, d dropped or refused, w resolved and not (yet, any more) open, q on its way.
_WHY = {
    "DENIED": "default deny",
    "EXPIRED": "expired: no new flows",
    "WAITS": "waits for the agent",
    "REFUSED": "no DNS rule",
    "NODATA": "no address",
    "NXDOMAIN": "no such name",
    "FAILED": "upstream failed",
    "TO-PROXY": "to the DNS proxy",
}


def view(number: int, row: Mapping[str, Any]) -> list[Any]:
    """The values of `COLUMNS`; ``time`` in Unix milliseconds."""
    dns = row["kind"] == "dns"
    return [
        number,
        round(row["time"].timestamp() * 1000, 3),
        row["endpoint"],
        row["name"],
        _dns_detail(row) if dns else _packet_detail(row),
        _kind(row),
        _word(row),
        _why(row),
        _short_rule(row["rule"], row["name"]),
        row["rule"],
        row["uuid"],
        _port(row),
    ]


def _port(row: Mapping[str, Any]) -> str:
    """The port of a packet; '' for a ping, a record of DNS, and what has none."""
    has = row["kind"] == "packet" and not row["protocol"].startswith("ICMP")
    return str(row["port"]) if has and row["port"] is not None else ""


_PLACE = re.compile(r"(?:in|e)gress(?:Deny)?\[\d+\]")
_SELECTOR = re.compile(r"match(Name|Pattern) ([^\s,]+)")


@lru_cache(maxsize=4096)  # few of them, asked for with every row
def _short_rule(rule: str, name: str) -> str:
    """The selector of a rule that has the name, else where it stands: ``egress[1]``."""
    selectors = _SELECTOR.findall(rule)
    if len(selectors) == 1:
        return str(selectors[0][1]).strip('"')
    for kind, text in selectors:
        if _selects(kind, text.strip('"'), name):
            return str(text).strip('"')
    where = _PLACE.search(rule)
    return where[0] if where else rule.split(" ", 1)[-1]


def _selects(kind: str, text: str, name: str) -> bool:
    selector = FQDNSelector(text) if kind == "Name" else FQDNSelector("", text)
    return bool(name) and fqdn_matcher(selector)(name)


def _kind(row: Mapping[str, Any]) -> str:
    if row["result"] == "WAITS" and row["kind"] == "dns":
        return "w"
    if row["verdict"] in ("DROPPED", "ERROR"):
        return "d"
    if row["verdict"] == "REDIRECTED":
        return "q"
    return "a" if row["result"] in ("ALLOWED", "RESOLVED") else "q"


def _word(row: Mapping[str, Any]) -> str:
    if row["kind"] == "packet":
        return str(row["verdict"])
    return "RESOLVED" if row["result"] == "WAITS" else str(row["result"])


def _why(row: Mapping[str, Any]) -> str:
    result = row["result"]
    if row["reason"] == "POLICY_DENY":
        return "a rule denies it"
    if result == "INVALID" or (row["verdict"] == "DROPPED" and result not in _WHY):
        return str(row["reason_text"])
    if result in _WHY:
        return _WHY[result]
    if row["early"]:
        return f"early: {row['early_reason']}"
    if row["is_reply"] and row["kind"] == "packet":
        return "reply"
    return f"TTL {row['ttl']} s" if row["ttl"] is not None and row["kind"] == "dns" else ""


def _packet_detail(row: Mapping[str, Any]) -> str:
    address, port, protocol = row["address"], row["port"], row["protocol"]
    if protocol.startswith("ICMP"):
        return f"{address} {protocol} type {port}"
    host = f"[{address}]" if ":" in address else address
    end = f"{host}:{port}" if port is not None else address
    return end if protocol == "TCP" else f"{end} {protocol}"


def _dns_detail(row: Mapping[str, Any]) -> str:
    ips = row["ips"]
    asked = f"DNS {row['qtype']}"
    if not ips:
        return asked
    return f"{asked} → {ips[0]}" + (f" +{len(ips) - 1}" if len(ips) > 1 else "")
