"""Ways 2.11 and 3.8: a DNS record of the proxy as the flows that Hubble would make of it.

One record is one transaction: an answered question makes a REQUEST and a RESPONSE flow over the
same octets; a refused one a dropped REQUEST; a failed one a REQUEST and an ERROR.
Behaviour: pkg/hubble/parser/seven of Cilium 1.20.2.
"""

from __future__ import annotations

from fqdnlab.datapath.abi import ip_text
from fqdnlab.model.dnsrecord import DnsRecord, Early, Outcome
from fqdnlab.observer.context import Context, pack_extension
from fqdnlab.observer.dnswire import NO_TTL, RCODES, Message, read_message, type_name
from fqdnlab.observer.history import Kind, Slot
from fqdnlab.pb import flow_pb2

__all__ = ["EARLY", "dns_flow"]

_TYPE_L7 = 129  # Cilium's monitor message type
_SERVFAIL = 2  # what a client gets of a failure

#: Words of FlowExtension.early_reason.
EARLY: dict[int, str] = {
    Early.AGENT_DEAD: "agent-dead",
    Early.HOLD_DEADLINE: "hold-deadline",
    Early.HOLD_OFF: "hold-off",
    Early.REFUSED: "refused",
}
#: What becomes of the mapping of an answer that was early for that reason.
_STATES = {"agent-dead": "waits", "hold-deadline": "waits", "refused": "none"}


def _verdict(kind: Kind, outcome: int) -> str:
    if outcome == Outcome.DENIED:
        return "DROPPED"
    if outcome == Outcome.FAILED and kind is Kind.DNS_RESPONSE:
        return "ERROR"
    return "FORWARDED"


def dns_flow(flow: flow_pb2.Flow, slot: Slot, number: int, context: Context) -> None:
    """Fill `flow`, of slot `number`, whose octets are a `DnsRecord`.

    Raises
    ------
    struct.error
        If there are too few octets.
    """
    record = DnsRecord.unpack(slot.raw)
    message = read_message(record.message)
    flow.uuid = context.uuid(number)
    flow.node_name = context.node_name
    context.clock.put(slot.time, flow.time)
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
        state = _STATES.get(early, "enforced")
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
