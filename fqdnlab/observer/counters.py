"""Counters by a few octets of each slot; they become Prometheus families when somebody asks.

Names and labels: Hubble's (pkg/hubble/metrics) and Cilium's; what only fqdnlab has is
``fqdnlab_observer_*``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from fqdnlab.metrics import Family
from fqdnlab.model.dnsrecord import Outcome
from fqdnlab.model.reasons import POLICY_REASONS, REASONS, reason_text
from fqdnlab.observer.dnswire import RCODES, MessageKind, type_name

__all__ = ["Counters", "KernelCounters", "families"]

# struct flow_event: type, verdict, reason, family, proto, dir, tcp_flags, icmp...
_HEAD = slice(62, 69)
_PROTOCOLS = {1: "ICMPv4", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
_REDIRECT = 2
_DROP = 2
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_SERVFAIL = 2
_DIRECTIONS = ("EGRESS", "INGRESS")


class KernelCounters(Protocol):
    """What the enforcer itself counts: `fqdnlab.datapath.maps.Maps`."""

    def drops(self) -> dict[int, tuple[int, int]]: ...

    def rules(self, indices: Iterable[int]) -> dict[int, tuple[int, int]]: ...


class Counters:
    """Counts of what went into the history; written by the intake's thread only."""

    def __init__(self) -> None:
        self._packets: dict[bytes, int] = {}
        self._dns: dict[tuple[int, MessageKind], int] = {}
        self.events_lost = 0
        self.records_lost = 0
        self.malformed = 0

    def count_packet(self, raw: bytes) -> None:
        """Count a ``struct flow_event``."""
        head = raw[_HEAD]
        self._packets[head] = self._packets.get(head, 0) + 1

    def count_dns(self, outcome: int, kind: MessageKind) -> None:
        """Count a DNS record."""
        key = (outcome, kind)
        self._dns[key] = self._dns.get(key, 0) + 1

    def packets(self) -> dict[bytes, int]:
        """Events by the octets that tell them apart."""
        return dict(self._packets)

    def dns(self) -> dict[tuple[int, MessageKind], int]:
        """Records by outcome and kind of message."""
        return dict(self._dns)


Series = Counter[tuple[tuple[str, str], ...]]


def families(
    counters: Counters, kernel: KernelCounters, rule_indices: Iterable[int]
) -> list[Family]:
    """Everything the observer tells Prometheus.

    Parameters
    ----------
    counters : Counters
    kernel : KernelCounters
    rule_indices : iterable of int
        Rules whose counters make up the forwarded packets; those of the past too, or the sum falls.
    """
    flows: Series = Counter()
    drops: Series = Counter()
    flags: Series = Counter()
    inbound: Counter[int] = Counter()  # drops towards an endpoint, by reason
    _packet_series(counters.packets(), flows, drops, flags, inbound)
    queries: Series = Counter()
    responses: Series = Counter()
    types: Series = Counter()
    _dns_series(counters.dns(), flows, drops, queries, responses, types)
    kernel_drops = kernel.drops()
    forwarded = _forwarded(kernel, kernel_drops, rule_indices)
    lost: Series = Counter(
        {
            (("source", "perf_event_ring_buffer"),): counters.events_lost,
            (("source", "observer_events_queue"),): counters.records_lost,
        }
    )
    return [
        _family("hubble_flows_processed_total", "Total number of flows processed", flows),
        _family("hubble_drop_total", "Number of drops", drops),
        _family("hubble_tcp_flags_total", "TCP flag occurrences", flags),
        _family("hubble_dns_queries_total", "Number of DNS queries observed", queries),
        _family("hubble_dns_responses_total", "Number of DNS responses observed", responses),
        _family("hubble_dns_response_types_total", "Number of DNS response types observed", types),
        _family("hubble_lost_events_total", "Number of lost events", lost),
        _family(
            "cilium_drop_count_total",
            "Total dropped packets, by the kernel's own count",
            _kernel_drops(kernel_drops, inbound),
        ),
        _family(
            "cilium_forward_count_total",
            "Total packets that policy let pass, by the kernel's own count",
            Counter({(("direction", "EGRESS"),): forwarded}),
        ),
        _family(
            "fqdnlab_observer_malformed_total",
            "Events and records that could not be read",
            Counter({(): counters.malformed}),
        ),
    ]


def _family(name: str, text: str, series: Mapping[tuple[tuple[str, str], ...], int]) -> Family:
    return Family(name, "counter", text, [(dict(k), v) for k, v in sorted(series.items())])


def _packet_series(
    packets: dict[bytes, int],
    flows: Series,
    drops: Series,
    flags: Series,
    inbound: Counter[int],
) -> None:
    for head, count in packets.items():
        event, verdict, reason, family, proto, direction, tcp = head
        protocol = _PROTOCOLS.get(proto, "Unknown L4")
        dropped = event == _DROP
        word = "DROPPED" if dropped else "REDIRECTED" if verdict == _REDIRECT else "FORWARDED"
        kinds = _flow_types(dropped, reason)
        for kind in kinds:
            _add(flows, count, protocol=protocol, type=kind, subtype="", verdict=word)
        if dropped:
            name = REASONS[reason][0] if reason in REASONS else str(reason)
            _add(drops, count * len(kinds), reason=name, protocol=protocol)
            if direction:
                inbound[reason] += count
        elif proto == 6:
            version = "IPv6" if family == 6 else "IPv4"
            for flag in _flags(tcp):
                _add(flags, count, flag=flag, family=version)


def _flow_types(dropped: bool, reason: int) -> tuple[str, ...]:
    """The flows of an event, as Hubble's metric names their types."""
    if not dropped:
        return ("PolicyVerdict",)
    return ("PolicyVerdict", "Drop") if reason in POLICY_REASONS else ("Drop",)


def _flags(octet: int) -> list[str]:
    found = ["FIN"] if octet & _FIN else []
    if octet & _SYN:
        found.append("SYN-ACK" if octet & _ACK else "SYN")
    if octet & _RST:
        found.append("RST")
    return found


def _dns_series(
    records: dict[tuple[int, MessageKind], int],
    flows: Series,
    drops: Series,
    queries: Series,
    responses: Series,
    types: Series,
) -> None:
    """A record is a question and, unless it was refused, what came of it."""
    for (outcome, kind), count in records.items():
        qtype = type_name(kind.qtype)
        refused = outcome == Outcome.DENIED
        word = "DROPPED" if refused else "FORWARDED"
        _add(flows, count, protocol="DNS", type="L7", subtype="DNS", verdict=word)
        code = "Policy denied" if refused else ""
        _add(queries, count, rcode=code, qtypes=qtype, ips_returned="0")
        if refused:
            _add(drops, count, reason="DROP_REASON_UNKNOWN", protocol="DNS")
            continue
        answered = outcome == Outcome.ANSWERED
        word = "FORWARDED" if answered else "ERROR"
        _add(flows, count, protocol="DNS", type="L7", subtype="DNS", verdict=word)
        code = RCODES.get(kind.rcode, "") if answered else RCODES[_SERVFAIL]
        ips = str(kind.addresses) if answered else "0"
        _add(responses, count, rcode=code, qtypes=qtype, ips_returned=ips)
        for number in kind.types if answered else ():
            _add(types, count, type=type_name(number), qtypes=qtype)


def _add(series: Series, count: int, **labels: str) -> None:
    series[tuple(labels.items())] += count


def _kernel_drops(drops: Mapping[int, tuple[int, int]], inbound: Counter[int]) -> Series:
    """The kernel counts by reason; the direction is told by the events."""
    found: Series = Counter()
    for reason, (packets, _) in drops.items():
        towards = min(inbound[reason], packets)
        for direction, count in zip(_DIRECTIONS, (packets - towards, towards), strict=True):
            if count:
                _add(found, count, reason=reason_text(reason), direction=direction)
    return found


def _forwarded(
    kernel: KernelCounters, drops: Mapping[int, tuple[int, int]], indices: Iterable[int]
) -> int:
    """Packets that rules let pass: what rules count, less those that they dropped."""
    by_rules = sum(packets for packets, _ in kernel.rules({0, *indices}).values())
    denied = sum(drops.get(reason, (0, 0))[0] for reason in _COUNTED_DROPS)
    return max(0, by_rules - denied)


#: Drops that the enforcer also counts at the rule that decided (deny, or a redirect that failed).
_COUNTED_DROPS = (181, 240, 245)
