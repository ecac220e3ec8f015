"""Way 3.8: a kernel event as the flow that Hubble would make of it.

Behaviour: pkg/hubble/parser/threefour of Cilium 1.20.2.
"""

from __future__ import annotations

from fqdnlab.datapath.abi import (
    DIR_EGRESS,
    EVENT_DROP,
    VERDICT_REDIRECT,
    FlowEvent,
    ip_text,
)
from fqdnlab.model.reasons import ZOMBIE_NEW_FLOW, reason_text
from fqdnlab.observer.context import Context, pack_extension
from fqdnlab.observer.history import Kind
from fqdnlab.observer.rules import Rule
from fqdnlab.pb import flow_pb2

__all__ = ["TYPE_DROP", "TYPE_POLICY_VERDICT", "packet_flow"]

TYPE_DROP, TYPE_POLICY_VERDICT = 1, 5  # Cilium's monitor message types
_TCP, _UDP, _SCTP, _ICMP, _ICMP6 = 6, 17, 132, 1, 58
_FLAG_BITS = {
    "FIN": 0x01,
    "SYN": 0x02,
    "RST": 0x04,
    "PSH": 0x08,
    "ACK": 0x10,
    "URG": 0x20,
    "ECE": 0x40,
    "CWR": 0x80,
}
_SUMMARY_ORDER = ("SYN", "ACK", "RST", "FIN", "PSH", "URG", "ECE", "CWR")
_ICMP_WORDS = {
    (_ICMP, 0): "EchoReply",
    (_ICMP, 3): "DestinationUnreachable",
    (_ICMP, 8): "EchoRequest",
    (_ICMP, 11): "TimeExceeded",
    (_ICMP6, 1): "DestinationUnreachable",
    (_ICMP6, 2): "PacketTooBig",
    (_ICMP6, 3): "TimeExceeded",
    (_ICMP6, 128): "EchoRequest",
    (_ICMP6, 129): "EchoReply",
}


def packet_flow(flow: flow_pb2.Flow, raw: bytes, kind: Kind, number: int, context: Context) -> None:
    """Fill `flow`, of slot `number`, whose octets are a ``struct flow_event``.

    Raises
    ------
    struct.error
        If there are too few octets.
    """
    event = FlowEvent.unpack(raw)
    flow.uuid = context.uuid(number)
    flow.node_name = context.node_name
    context.clock.put(event.time, flow.time)
    flow.Type = flow_pb2.L3_L4
    source, destination = ip_text(event.saddr), ip_text(event.daddr)
    flow.IP.source, flow.IP.destination = source, destination
    flow.IP.ipVersion = flow_pb2.IPv6 if event.family == 6 else flow_pb2.IPv4
    flow.Summary = _layer4(flow, event)
    _ends(flow, event, context)
    rule = context.rule(event.rule, event.time)
    if kind is Kind.DROP:
        _as_drop(flow, event)
    else:
        _as_verdict(flow, event, rule, context)
    _extension(flow, event, rule, context)


def _layer4(flow: flow_pb2.Flow, event: FlowEvent) -> str:
    """Fill the transport; return the summary."""
    if event.proto == _TCP:
        tcp = flow.l4.TCP
        tcp.source_port, tcp.destination_port = event.sport, event.dport
        tcp.flags.SetInParent()
        for name, bit in _FLAG_BITS.items():
            if event.tcp_flags & bit:
                setattr(tcp.flags, name, True)
        names = [n for n in _SUMMARY_ORDER if event.tcp_flags & _FLAG_BITS[n]]
        return f"TCP Flags: {', '.join(names)}"
    if event.proto in (_UDP, _SCTP):
        name = "UDP" if event.proto == _UDP else "SCTP"
        ports = flow.l4.UDP if event.proto == _UDP else flow.l4.SCTP
        ports.source_port, ports.destination_port = event.sport, event.dport
        return name
    if event.proto in (_ICMP, _ICMP6):
        icmp = flow.l4.ICMPv4 if event.proto == _ICMP else flow.l4.ICMPv6
        icmp.type, icmp.code = event.icmp_type, event.icmp_code
        icmp.SetInParent()  # type 0, code 0 (echo reply) is one too
        word = _ICMP_WORDS.get((event.proto, event.icmp_type))
        name = "ICMPv4" if event.proto == _ICMP else "ICMPv6"
        return f"{name} {word}" if word else f"{name} {event.icmp_type}({event.icmp_code})"
    return "IPv6" if event.family == 6 else "IPv4"


def _ends(flow: flow_pb2.Flow, event: FlowEvent, context: Context) -> None:
    """Who is the lab's endpoint, who the other end, and what names it has for the endpoint."""
    local = context.endpoint(event.ep_id, event.time)
    at = event.time
    if event.dir == DIR_EGRESS:
        flow.traffic_direction = flow_pb2.EGRESS
        context.fill_local(flow.source, local)
        context.fill_remote(flow.destination, flow.IP.destination, event.identity, at)
        flow.destination_names.extend(context.names.names(event.ep_id, flow.IP.destination, at))
    else:
        flow.traffic_direction = flow_pb2.INGRESS
        context.fill_local(flow.destination, local)
        context.fill_remote(flow.source, flow.IP.source, event.identity, at)
        flow.source_names.extend(context.names.names(event.ep_id, flow.IP.source, at))


def _as_drop(flow: flow_pb2.Flow, event: FlowEvent) -> None:
    """Hubble does not say of a drop whether it is a reply."""
    flow.verdict = flow_pb2.DROPPED
    flow.event_type.type = TYPE_DROP
    flow.event_type.sub_type = event.reason
    _set_reason(flow, event.reason)


def _set_reason(flow: flow_pb2.Flow, reason: int) -> None:
    flow.drop_reason_desc = reason  # type: ignore[assignment]  # an open enum: any number fits


def _as_verdict(flow: flow_pb2.Flow, event: FlowEvent, rule: Rule | None, context: Context) -> None:
    flow.event_type.type = TYPE_POLICY_VERDICT
    flow.policy_match_type = event.match
    if event.type == EVENT_DROP:
        flow.verdict = flow_pb2.DROPPED
        _set_reason(flow, event.reason)
    else:
        redirected = event.verdict == VERDICT_REDIRECT
        flow.verdict = flow_pb2.REDIRECTED if redirected else flow_pb2.FORWARDED
        flow.is_reply.value = bool(event.is_reply)
        flow.proxy_port = event.proxy_port
    if rule is None:
        return  # no rule decided: default deny, or nothing selects the endpoint
    policy = flow_pb2.Policy(
        name=rule.policy,
        namespace=rule.namespace,
        labels=rule.labels,
        kind=rule.kind,
        revision=context.rules.find(event.time, lambda r: r.revision or None) or 0,
    )
    egress = event.dir == DIR_EGRESS
    if event.type == EVENT_DROP:
        (flow.egress_denied_by if egress else flow.ingress_denied_by).append(policy)
    else:
        (flow.egress_allowed_by if egress else flow.ingress_allowed_by).append(policy)


def _extension(flow: flow_pb2.Flow, event: FlowEvent, rule: Rule | None, context: Context) -> None:
    local = flow.source if event.dir == DIR_EGRESS else flow.destination
    remote = flow.IP.destination if event.dir == DIR_EGRESS else flow.IP.source
    state = context.mapping_state(event.ep_id, remote, event.identity, event.time)
    if event.type == EVENT_DROP and event.reason == ZOMBIE_NEW_FLOW:
        state = "zombie"
    pack_extension(
        flow,
        {
            "endpoint_id": event.ep_id,
            "endpoint": local.pod_name,
            "rule": rule.title if rule else "",
            "rule_index": event.rule,
            "drop_text": reason_text(event.reason) if event.type == EVENT_DROP else "",
            "mapping_state": state,
            "boottime_ns": str(event.time),  # as protojson writes 64 bits
            "length": event.length,
        },
    )
