"""Ways 2.11 and 3.8: a DNS record of the proxy as the flows that Hubble would make of it.

One record is one transaction: an answered question makes a REQUEST and a RESPONSE flow over the
same octets; a refused one a dropped REQUEST; a failed one a REQUEST and an ERROR.
Behaviour: pkg/hubble/parser/seven of Cilium 1.20.2.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from fqdnlab.datapath.abi import ip_text
from fqdnlab.model.dnsrecord import HEADER, DnsRecord, Early, Outcome, split_datagram
from fqdnlab.observer.context import Context, pack_extension
from fqdnlab.observer.dnswire import NO_TTL, RCODES, Message, Messages, read_message, type_name
from fqdnlab.observer.history import Kind, Slot
from fqdnlab.observer.names import NameHistory
from fqdnlab.pb import flow_pb2

__all__ = ["EARLY", "DnsKind", "dns_flow", "dns_kind", "learn", "split_records"]

_TYPE_L7 = 129  # Cilium's monitor message type
_TIMES = struct.Struct("<QQ")
_OUTCOME, _EARLY = HEADER.size - 3, HEADER.size - 2
_ENDPOINT, _LOST = slice(48, 52), slice(60, 64)
_MESSAGE = HEADER.size
_SERVFAIL = 2  # what a client gets of a failure

#: Words of FlowExtension.early_reason.
EARLY: dict[int, str] = {
    Early.AGENT_DEAD: "agent-dead",
    Early.HOLD_DEADLINE: "hold-deadline",
    Early.HOLD_OFF: "hold-off",
}
_WAITS = frozenset({"agent-dead", "hold-deadline"})


def split_records(octets: bytes) -> tuple[list[Slot], int, int]:
    """Slots of a datagram, records that the proxy lost before it, malformed records."""
    slots: list[Slot] = []
    lost = 0
    records, whole = split_datagram(octets)
    for raw in records:
        time, latency = _TIMES.unpack_from(raw)
        lost += int.from_bytes(raw[_LOST], "little")
        if raw[_OUTCOME] == Outcome.DENIED:
            slots.append(Slot(time, Kind.DNS_REQUEST, raw))
        else:
            slots.append(Slot(max(0, time - latency), Kind.DNS_REQUEST, raw))
            slots.append(Slot(time, Kind.DNS_RESPONSE, raw))
    return slots, lost, 0 if whole else 1


class DnsKind(NamedTuple):
    """What metrics tell apart; a key for counting."""

    response: bool
    verdict: str
    rcode: int
    qtype: int
    addresses: int
    types: tuple[int, ...]


def dns_kind(kind: Kind, raw: bytes, messages: Messages) -> DnsKind:
    """The kind of a DNS slot."""
    message = messages.read(raw[_MESSAGE:])
    outcome = raw[_OUTCOME]
    verdict = _verdict(kind, outcome)
    if kind is Kind.DNS_REQUEST:
        return DnsKind(False, verdict, 0, message.qtype, 0, ())
    if outcome != Outcome.ANSWERED:
        return DnsKind(True, verdict, _SERVFAIL, message.qtype, 0, ())
    return DnsKind(
        True,
        verdict,
        message.rcode,
        message.qtype,
        len(message.addresses),
        tuple(message.types),
    )


def learn(slot: Slot, messages: Messages, names: NameHistory) -> None:
    """Remember what a released answer told its endpoint."""
    raw = slot.raw
    if slot.kind is not Kind.DNS_RESPONSE or raw[_OUTCOME] != Outcome.ANSWERED:
        return
    message = messages.read(raw[_MESSAGE:])
    if message.rcode or not message.query:
        return
    endpoint = int.from_bytes(raw[_ENDPOINT], "little")
    early = EARLY.get(raw[_EARLY], "")
    name = message.query.rstrip(".")
    for address, ttl in message.addresses:
        names.learn(endpoint, address, name, slot.time, ttl, early)


def _verdict(kind: Kind, outcome: int) -> str:
    if outcome == Outcome.DENIED:
        return "DROPPED"
    if outcome == Outcome.FAILED and kind is Kind.DNS_RESPONSE:
        return "ERROR"
    return "FORWARDED"


def dns_flow(slot: Slot, number: int, context: Context) -> flow_pb2.Flow:
    """The flow of slot `number`, whose octets are a `DnsRecord`.

    Raises
    ------
    struct.error
        If there are too few octets.
    """
    record = DnsRecord.unpack(slot.raw)
    message = read_message(record.message)
    flow = flow_pb2.Flow(uuid=context.uuid(number), node_name=context.node_name)
    flow.time.CopyFrom(context.clock.stamp(slot.time))
    flow.Type = flow_pb2.L7
    flow.event_type.type = _TYPE_L7
    flow.traffic_direction = flow_pb2.EGRESS
    flow.verdict = flow_pb2.Verdict.Value(  # type: ignore[assignment]  # the stubs say int
        _verdict(slot.kind, record.outcome)
    )
    response = slot.kind is Kind.DNS_RESPONSE
    flow.is_reply.value = response
    _ends(flow, record, response, context)
    _layer7(flow, record, message, response)
    _extension(flow, record, message, response, context)
    return flow


def _ends(flow: flow_pb2.Flow, record: DnsRecord, response: bool, context: Context) -> None:
    """From the endpoint to the server, a response back."""
    client, server = ip_text(record.client), ip_text(record.server)
    flow.IP.ipVersion = flow_pb2.IPv6 if ":" in server else flow_pb2.IPv4
    layer = flow.l4.TCP if record.transport == 6 else flow.l4.UDP
    local, remote = flow.source, flow.destination
    flow.IP.source, flow.IP.destination = client, server
    layer.source_port, layer.destination_port = record.client_port, record.server_port
    names = context.names.names(record.endpoint, server, record.time)
    if response:
        local, remote = remote, local
        flow.IP.source, flow.IP.destination = server, client
        layer.source_port, layer.destination_port = record.server_port, record.client_port
        flow.source_names.extend(names)
    else:
        flow.destination_names.extend(names)
    context.fill_local(local, context.endpoint(record.endpoint, record.time))
    context.fill_remote(remote, server, context.identity_of(server), record.time)


def _layer7(flow: flow_pb2.Flow, record: DnsRecord, message: Message, response: bool) -> None:
    dns = flow.l7.dns
    dns.query = message.query
    dns.observation_source = "proxy"
    qtype = type_name(message.qtype)
    dns.qtypes.append(qtype)
    if not response:
        flow.l7.type = flow_pb2.REQUEST
        flow.Summary = f"DNS Query {message.query} {qtype}"
        return
    flow.l7.type = flow_pb2.RESPONSE
    flow.l7.latency_ns = record.latency
    if record.outcome == Outcome.FAILED:
        dns.rcode, dns.ttl = _SERVFAIL, NO_TTL
        flow.Summary = f"DNS Answer none from upstream (Proxy {message.query} {qtype})"
        return
    dns.rcode = message.rcode
    dns.ttl = message.ttl
    dns.ips.extend(address for address, _ in message.addresses)
    dns.cnames.extend(message.cnames)
    dns.rrtypes.extend(type_name(t) for t in message.types)
    flow.Summary = _summary(message, qtype)


def _summary(message: Message, qtype: str) -> str:
    if message.rcode:
        answer = f"RCode: {RCODES.get(message.rcode, message.rcode)}"
    else:
        parts = []
        if message.addresses:
            parts.append('"' + ",".join(a for a, _ in message.addresses) + '"')
        if message.cnames:
            parts.append('CNAMEs: "' + ",".join(message.cnames) + '"')
        answer = " ".join(parts)
    return f"DNS Answer {answer} TTL: {message.ttl} (Proxy {message.query} {qtype})"


def _extension(
    flow: flow_pb2.Flow, record: DnsRecord, message: Message, response: bool, context: Context
) -> None:
    early = EARLY.get(record.early, "") if response else ""
    state = ""
    if response and message.addresses and record.outcome == Outcome.ANSWERED:
        state = "waits" if early in _WAITS else "enforced"
    rule = context.rule(record.rule, record.time)
    pack_extension(
        flow,
        {
            "endpoint_id": record.endpoint,
            "endpoint": context.endpoint(record.endpoint, record.time).name,
            "rule": rule.title if rule else "",
            "rule_index": record.rule,
            "drop_text": "Name denied by policy" if record.outcome == Outcome.DENIED else "",
            "early": bool(early),
            "early_reason": early,
            "mapping_state": state,
            "boottime_ns": str(record.time),
            "generation": record.generation,
            "transaction": message.id,
            "transport": "tcp" if record.transport == 6 else "udp",
            "length": len(record.message),
        },
    )
