"""Tables from flows: one row a packet, one row a DNS record.

Verdicts stay Hubble's.  What a person wants to read beside them (REFUSED, RESOLVED ...) is
`result` (fqdnlab/model/flow_words.py).

Pure: ``flow.Flow`` messages in, dictionaries out; a DataFrame is made of them elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from google.protobuf import struct_pb2

from fqdnlab.model.flow_words import dns_result, packet_result
from fqdnlab.model.reasons import REASONS, reason_text

__all__ = [
    "COLUMNS",
    "QUERY_COLUMNS",
    "Table",
    "extension",
    "queries",
    "rows",
]

#: Columns of `rows`, in order.
COLUMNS = (
    "time",
    "kind",
    "endpoint",
    "direction",
    "name",
    "address",
    "port",
    "protocol",
    "verdict",
    "result",
    "reason",
    "reason_text",
    "rule",
    "policy",
    "mapping_state",
    "query",
    "qtype",
    "rcode",
    "ips",
    "ttl",
    "early",
    "early_reason",
    "is_reply",
    "source_address",
    "source_port",
    "tcp_flags",
    "length",
    "latency_ms",
    "transport",
    "generation",
    "transaction",
    "identity",
    "names",
    "node",
    "uuid",
)

#: Columns of `queries`, in order.
QUERY_COLUMNS = (
    "time",
    "endpoint",
    "query",
    "qtype",
    "verdict",
    "result",
    "rcode",
    "ips",
    "cnames",
    "ttl",
    "mapping_state",
    "early",
    "early_reason",
    "server",
    "transport",
    "latency_ms",
    "generation",
    "transaction",
    "uuid",
)

_VERDICTS = (
    "VERDICT_UNKNOWN",
    "FORWARDED",
    "DROPPED",
    "ERROR",
    "AUDIT",
    "REDIRECTED",
    "TRACED",
    "TRANSLATED",
)
_DIRECTIONS = ("", "INGRESS", "EGRESS")
_TYPE_DROP, _TYPE_VERDICT, _TYPE_L7 = 1, 5, 129
_REQUEST, _RESPONSE = 1, 2
_NO_TTL = 0xFFFFFFFF
_OPEN_PACKETS = 1024  # of which another flow may still come: it comes at once


def extension(flow: Any) -> dict[str, Any]:
    """What fqdnlab alone knows of a flow: fields of ``fqdnlab.v1.FlowExtension``; {} if nothing."""
    if not flow.HasField("extensions"):
        return {}
    struct = struct_pb2.Struct()
    if not flow.extensions.Unpack(struct):
        return {}
    return dict(struct.items())


class Table:
    """Rows of flows as they come: for a client that keeps what it has read.

    One row for each packet and each DNS record; the two flows of a policy drop are one row.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._queries: list[dict[str, Any]] = []
        self._packets: dict[tuple[Any, ...], dict[str, Any]] = {}

    def add(self, flows: Iterable[Any]) -> None:
        """Add flows (``flow.Flow``) as the observer sends them."""
        for flow in flows:
            known = extension(flow)
            if flow.HasField("l7"):
                self._add_dns(flow, known)
                continue
            key = _packet_key(flow)
            row = self._packets.get(key)
            if row is None:
                if len(self._packets) > _OPEN_PACKETS:
                    self._packets.clear()
                self._packets[key] = row = _packet_row(flow, known)
                self._rows.append(row)
            else:
                _join(row, flow, known)

    def _add_dns(self, flow: Any, known: dict[str, Any]) -> None:
        row = _dns_row(flow, known)
        self._rows.append(row)
        if row["result"] != "ASKED":
            more = {**row, "cnames": list(flow.l7.dns.cnames), "server": row["address"]}
            self._queries.append({column: more[column] for column in QUERY_COLUMNS})

    def rows(self) -> list[dict[str, Any]]:
        """All rows in order of time; see the function `rows`."""
        self._rows.sort(key=_row_time)
        return list(self._rows)

    def queries(self) -> list[dict[str, Any]]:
        """Rows of DNS outcomes in order of time; see the function `queries`."""
        self._queries.sort(key=_row_time)
        return list(self._queries)

    def drain(self) -> list[dict[str, Any]]:
        """The rows since the last drain, as they came; they are kept no longer."""
        rows, self._rows, self._queries = self._rows, [], []
        return rows


def rows(flows: Iterable[Any]) -> list[dict[str, Any]]:
    """One row for each packet and each DNS record, in order of time.

    Parameters
    ----------
    flows : iterable of flow.Flow
        As the observer sends them; the two flows of a policy drop become one row.

    Returns
    -------
    list of dict
        Keys: `COLUMNS`.  ``time`` is a datetime (UTC); ``kind`` is ``packet`` or ``dns``; ``name``
        and ``address`` are the remote end's; what a kind does not have is None or ''.
    """
    table = Table()
    table.add(flows)
    return table.rows()


def queries(flows: Iterable[Any]) -> list[dict[str, Any]]:
    """One row for each DNS answer, refusal or failure, in order of time.

    A question that was forwarded has no row of its own; its answer does.

    Returns
    -------
    list of dict
        Keys: `QUERY_COLUMNS`.
    """
    table = Table()
    table.add(flow for flow in flows if flow.HasField("l7"))
    return table.queries()


def _row_time(row: dict[str, Any]) -> Any:
    return row["time"]


def _verdict(flow: Any) -> str:
    return _VERDICTS[flow.verdict] if 0 <= flow.verdict < len(_VERDICTS) else str(flow.verdict)


def _time(flow: Any) -> datetime:
    seconds, nanos = flow.time.seconds, flow.time.nanos
    whole = datetime.fromtimestamp(seconds, tz=UTC)
    return whole.replace(microsecond=nanos // 1000)


def _ports(flow: Any) -> tuple[str, int | None, int | None]:
    """(protocol, source port, destination port); for ICMP the type is the port."""
    name = flow.l4.WhichOneof("protocol")
    if name is None:
        return "", None, None
    layer = getattr(flow.l4, name)
    if name in ("ICMPv4", "ICMPv6"):
        return name, None, layer.type
    return name, layer.source_port, layer.destination_port


def _packet_key(flow: Any) -> tuple[Any, ...]:
    """The same for the flows of one packet."""
    protocol, source, destination = _ports(flow)
    return (
        flow.time.seconds,
        flow.time.nanos,
        flow.IP.source,
        flow.IP.destination,
        protocol,
        source,
        destination,
        flow.verdict,
        flow.drop_reason_desc,
    )


def _blank() -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    for column in ("port", "source_port", "rcode", "ttl", "latency_ms", "is_reply"):
        row[column] = None
    row["ips"] = []
    row["names"] = []
    row["early"] = False
    for column in ("length", "generation", "transaction", "identity"):
        row[column] = 0
    return row


def _common(flow: Any, known: dict[str, Any]) -> dict[str, Any]:
    row = _blank()
    row["time"] = _time(flow)
    row["direction"] = _DIRECTIONS[flow.traffic_direction] if flow.traffic_direction < 3 else ""
    row["verdict"] = _verdict(flow)
    row["node"] = flow.node_name
    row["uuid"] = flow.uuid
    row["mapping_state"] = known.get("mapping_state", "")
    row["is_reply"] = flow.is_reply.value if flow.HasField("is_reply") else None
    row["protocol"], row["source_port"], row["port"] = _ports(flow)
    row["source_address"] = flow.IP.source
    return row


def _packet_row(flow: Any, known: dict[str, Any]) -> dict[str, Any]:
    row = _common(flow, known)
    inward = row["direction"] == "INGRESS"
    local, remote = (flow.destination, flow.source) if inward else (flow.source, flow.destination)
    names = list(flow.source_names if inward else flow.destination_names)
    reason = flow.drop_reason_desc
    row.update(
        kind="packet",
        endpoint=known.get("endpoint") or local.pod_name,
        name=names[0] if names else "",
        names=names,
        address=flow.IP.source if inward else flow.IP.destination,
        identity=remote.identity,
        reason=_reason_name(reason),
        reason_text=known.get("drop_text") or reason_text(reason),
        length=int(known.get("length", 0)),
        tcp_flags=_flags(flow),
    )
    row["result"] = packet_result(row["verdict"], reason, row["mapping_state"])
    _join(row, flow, known)
    return row


def _join(row: dict[str, Any], flow: Any, known: dict[str, Any]) -> None:
    """Add what this flow of the packet has and the other may not."""
    row["rule"] = row["rule"] or known.get("rule", "")
    deciding = (
        list(flow.egress_allowed_by)
        or list(flow.egress_denied_by)
        or list(flow.ingress_allowed_by)
        or list(flow.ingress_denied_by)
    )
    if deciding and not row["policy"]:
        policy = deciding[0]
        row["policy"] = f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name


def _dns_row(flow: Any, known: dict[str, Any]) -> dict[str, Any]:
    dns = flow.l7.dns
    row = _common(flow, known)
    request = flow.l7.type == _REQUEST
    local = flow.source if request else flow.destination
    ips = list(dns.ips)
    state = row["mapping_state"]
    row.update(
        kind="dns",
        endpoint=known.get("endpoint") or local.pod_name,
        name=dns.query.rstrip("."),
        address=flow.IP.destination if request else flow.IP.source,
        port=row["port"] if request else row["source_port"],
        query=dns.query,
        qtype=",".join(dns.qtypes),
        rcode=None if request else dns.rcode,
        ips=ips,
        ttl=None if request or dns.ttl == _NO_TTL else dns.ttl,
        early=bool(known.get("early", False)),
        early_reason=known.get("early_reason", ""),
        rule=known.get("rule", ""),
        latency_ms=flow.l7.latency_ns / 1e6 if flow.l7.latency_ns else None,
        transport=known.get("transport") or row["protocol"].lower(),
        generation=int(known.get("generation", 0)),
        transaction=int(known.get("transaction", 0)),
        length=int(known.get("length", 0)),
    )
    row["result"] = dns_result(row["verdict"], request, dns.rcode, len(ips), state)
    return row


def _reason_name(reason: int) -> str:
    if not reason:
        return ""
    return REASONS[reason][0] if reason in REASONS else str(reason)


def _flags(flow: Any) -> str:
    if not flow.l4.TCP.HasField("flags"):
        return ""
    return ",".join(d.name for d, on in flow.l4.TCP.flags.ListFields() if on)
