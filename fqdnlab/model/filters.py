"""Hubble's flow filters: which flows a client asked for (way 3.9).

A whitelist passes a flow that one of its filters matches (all flows, if it is empty), a blacklist
takes those out that one of its filters matches.  The fields of one filter are ANDed, the values of
one field ORed.  Behaviour: pkg/hubble/filters of Cilium 1.20.2.

Pure: works on anything that has the fields of ``flow.Flow`` and ``flow.FlowFilter``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fqdnlab.model.label_selector import parse_selector

__all__ = ["FilterError", "compile_filters"]

Match = Callable[[Any], bool]

_DROPPED = 2  # flow.Verdict
_PORTED = ("TCP", "UDP", "SCTP")


class FilterError(ValueError):
    """A filter that cannot be: the message says which value, and what was expected."""


def compile_filters(whitelist: Iterable[Any], blacklist: Iterable[Any] = ()) -> Match:
    """One predicate from the filters of a request.

    Parameters
    ----------
    whitelist, blacklist : iterable of FlowFilter

    Returns
    -------
    callable
        Flow → whether the client wants it.

    Raises
    ------
    FilterError
        If a value is no address, port, protocol, pattern or selector.
    """
    wanted = [_one(f) for f in whitelist]
    unwanted = [_one(f) for f in blacklist]

    def match(flow: Any) -> bool:
        if wanted and not any(f(flow) for f in wanted):
            return False
        return not any(f(flow) for f in unwanted)

    return match


def _one(given: Any) -> Match:
    parts = [
        build(values) for field, build in _FIELDS.items() if (values := list(getattr(given, field)))
    ]
    return lambda flow: all(part(flow) for part in parts)


def _in(get: Callable[[Any], Any]) -> Callable[[Sequence[Any]], Match]:
    def build(values: Sequence[Any]) -> Match:
        allowed = frozenset(values)
        return lambda flow: get(flow) in allowed

    return build


def _address(get: Callable[[Any], str]) -> Callable[[Sequence[str]], Match]:
    def build(values: Sequence[str]) -> Match:
        exact: set[str] = set()
        networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for value in values:
            try:
                if "/" in value:
                    networks.append(ipaddress.ip_network(value, strict=False))
                else:
                    exact.add(str(ipaddress.ip_address(value)))
            except ValueError as error:
                raise FilterError(f"{value!r} is no IP address or prefix") from error

        def match(flow: Any) -> bool:
            text = get(flow)
            if not text:
                return False
            if text in exact:
                return True
            return bool(networks) and any(ipaddress.ip_address(text) in n for n in networks)

        return match

    return build


def _pod(get: Callable[[Any], Any]) -> Callable[[Sequence[str]], Match]:
    """``[NAMESPACE/]PREFIX`` of a pod's name; without a namespace it is ``default``."""

    def build(values: Sequence[str]) -> Match:
        wanted: list[tuple[str, str]] = []
        for value in values:
            if not value:
                raise FilterError("a pod's name must not be empty")
            parts = value.split("/")
            wanted.append((parts[0], parts[1]) if len(parts) > 1 else ("default", value))

        def match(flow: Any) -> bool:
            end = get(flow)
            if not end.namespace and not end.pod_name:
                return False
            return any(
                (not prefix or end.pod_name.startswith(prefix))
                and (not namespace or namespace == end.namespace)
                for namespace, prefix in wanted
            )

        return match

    return build


_NAME_PART = r"(?:[-0-9_a-z]+(?:\.[-0-9_a-z]+)*)"


def _name_pattern(pattern: str) -> str:
    """Regular expression of a name with ``*``."""
    text = pattern.strip().removesuffix(".").lower()
    if not text or text.endswith(".") or not re.fullmatch(r"[-._*0-9a-z]+", text):
        raise FilterError(f"{pattern!r} is no name pattern: letters, digits, '-', '_', '.' and '*'")
    return "".join(
        {".": r"\.", "*": r"[-.0-9a-z]*"}.get(character, character) for character in text
    )


def _names(get: Callable[[Any], Iterable[str]]) -> Callable[[Sequence[str]], Match]:
    def build(values: Sequence[str]) -> Match:
        wanted = re.compile(rf"(?:{'|'.join(_name_pattern(v) for v in values)})\Z")
        return lambda flow: any(wanted.match(name) for name in get(flow))

    return build


def _node_name(values: Sequence[str]) -> Match:
    alternatives: list[str] = []
    for value in values:
        parts = value.split("/")
        if not value or len(parts) > 2:
            raise FilterError(f"{value!r} is no node name: [CLUSTER/]NODE")
        cluster, node = parts if len(parts) == 2 else ("", parts[0])
        alternatives.append(
            (_name_pattern(cluster) if cluster else _NAME_PART)
            + "/"
            + (_name_pattern(node) if node else _NAME_PART)
        )
    wanted = re.compile(rf"(?:{'|'.join(alternatives)})\Z")

    def match(flow: Any) -> bool:
        name = flow.node_name
        if name and "/" not in name:
            name = f"default/{name}"
        return bool(name and wanted.match(name))

    return match


def _query(values: Sequence[str]) -> Match:
    try:
        wanted = [re.compile(v) for v in values]
    except re.error as error:
        raise FilterError(f"{values!r} holds a wrong regular expression: {error}") from error

    def match(flow: Any) -> bool:
        if not flow.l7.HasField("dns"):
            return False
        return any(w.search(flow.l7.dns.query) for w in wanted)

    return match


def _port(which: str) -> Callable[[Sequence[str]], Match]:
    def build(values: Sequence[str]) -> Match:
        wanted: set[int] = set()
        for value in values:
            if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) > 65535:
                raise FilterError(f"{value!r} is no port: 0 to 65535")
            wanted.add(int(value))

        def match(flow: Any) -> bool:
            protocol = flow.l4.WhichOneof("protocol")
            return protocol in _PORTED and getattr(getattr(flow.l4, protocol), which) in wanted

        return match

    return build


_PROTOCOLS: dict[str, tuple[str, ...]] = {
    "icmp": ("ICMPv4", "ICMPv6"),
    "icmpv4": ("ICMPv4",),
    "icmpv6": ("ICMPv6",),
    "tcp": ("TCP",),
    "udp": ("UDP",),
    "sctp": ("SCTP",),
    "vrrp": (),
    "igmp": (),
    "http": (),  # known, and never seen here
}


def _protocol(values: Sequence[str]) -> Match:
    layer4: set[str] = set()
    dns = False
    for value in values:
        word = value.lower()
        if word == "dns":
            dns = True
        elif word in _PROTOCOLS:
            layer4.update(_PROTOCOLS[word])
        else:
            raise FilterError(f"{value!r} is no protocol: {', '.join(_PROTOCOLS)}, dns")

    def match(flow: Any) -> bool:
        if flow.l4.WhichOneof("protocol") in layer4:
            return True
        return dns and flow.l7.HasField("dns")

    return match


def _event_type(values: Sequence[Any]) -> Match:
    def match(flow: Any) -> bool:
        if not flow.HasField("event_type"):
            return False
        seen = flow.event_type
        return any(
            (not w.type or w.type == seen.type)
            and (not w.match_sub_type or w.sub_type == seen.sub_type)
            for w in values
        )

    return match


def _reply(values: Sequence[bool]) -> Match:
    """A dropped flow of which it is not known counts as no reply, as it does in Hubble."""

    def match(flow: Any) -> bool:
        if not flow.HasField("is_reply") and flow.verdict != _DROPPED:
            return False
        return flow.is_reply.value in values

    return match


def _drop_reason(values: Sequence[int]) -> Match:
    return lambda flow: flow.verdict == _DROPPED and flow.drop_reason_desc in values


_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS")


def _tcp_flags(values: Sequence[Any]) -> Match:
    wanted = [[f for f in _FLAGS if getattr(value, f)] for value in values]

    def match(flow: Any) -> bool:
        if flow.l4.WhichOneof("protocol") != "TCP" or not flow.l4.TCP.HasField("flags"):
            return False
        flags = flow.l4.TCP.flags
        return any(all(getattr(flags, f) for f in needed) for needed in wanted)

    return match


def _identity(side: str) -> Callable[[Sequence[int]], Match]:
    def build(values: Sequence[int]) -> Match:
        allowed = frozenset(values)
        return lambda flow: flow.HasField(side) and getattr(flow, side).identity in allowed

    return build


def _labels(get: Callable[[Any], Iterable[str]]) -> Callable[[Sequence[str]], Match]:
    def build(values: Sequence[str]) -> Match:
        try:
            selectors = [parse_selector(v) for v in values]
        except ValueError as error:
            raise FilterError(str(error)) from error

        def match(flow: Any) -> bool:
            labels = list(get(flow))
            return any(s(labels) for s in selectors)

        return match

    return build


_FIELDS: dict[str, Callable[[Any], Match]] = {
    "uuid": _in(lambda f: f.uuid),
    "event_type": _event_type,
    "verdict": _in(lambda f: f.verdict),
    "drop_reason_desc": _drop_reason,
    "reply": _reply,
    "source_identity": _identity("source"),
    "destination_identity": _identity("destination"),
    "protocol": _protocol,
    "source_ip": _address(lambda f: str(f.IP.source)),
    "destination_ip": _address(lambda f: str(f.IP.destination)),
    "source_pod": _pod(lambda f: f.source),
    "destination_pod": _pod(lambda f: f.destination),
    "source_fqdn": _names(lambda f: f.source_names),
    "destination_fqdn": _names(lambda f: f.destination_names),
    "dns_query": _query,
    "source_label": _labels(lambda f: f.source.labels),
    "destination_label": _labels(lambda f: f.destination.labels),
    "source_port": _port("source_port"),
    "destination_port": _port("destination_port"),
    "tcp_flags": _tcp_flags,
    "node_name": _node_name,
    "ip_version": _in(lambda f: f.IP.ipVersion),
    "traffic_direction": _in(lambda f: f.traffic_direction),
}
