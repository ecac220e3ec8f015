"""Hubble's filters against a slow, obvious model, and what is refused."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.model.filters import FilterError, compile_filters
from fqdnlab.model.label_selector import parse_selector
from fqdnlab.pb import flow_pb2

ADDRESSES = ["10.10.0.1", "198.51.100.7", "198.51.100.200", "203.0.113.5", "2001:db8::7"]
PREFIXES = ["198.51.100.0/24", "2001:db8::/32", "0.0.0.0/0", "10.10.0.1/32"]
NAMES = ["api.example.com", "a.cdn.example.com", "example.org", "x-y.org"]
PATTERNS = ["api.example.com", "*.example.com", "*", "API.Example.com.", "x-*.org", "*example*"]
LABELS = ["k8s:app=web", "k8s:app=db", "reserved:world-ipv4", "fqdn:api.example.com.", "any:tier=a"]
SELECTORS = ["app=web", "k8s:app=web", "app!=web", "app", "!app", "app in (web, db)", "tier=a,app"]


def ends() -> st.SearchStrategy[flow_pb2.Endpoint]:
    return st.builds(
        lambda **given: flow_pb2.Endpoint(**given),
        identity=st.sampled_from([0, 9, 257]),
        namespace=st.sampled_from(["", "default", "prod"]),
        pod_name=st.sampled_from(["", "web", "web-2", "db"]),
        labels=st.lists(st.sampled_from(LABELS), max_size=3, unique=True),
    )


@st.composite
def flows(draw: st.DrawFn) -> flow_pb2.Flow:
    flow = flow_pb2.Flow(
        verdict=draw(st.sampled_from([1, 2, 5])),
        node_name=draw(st.sampled_from(["fqdnlab/one", "fqdnlab/two", "bare", ""])),
        drop_reason_desc=draw(st.sampled_from([0, 133, 181, 240])),
        traffic_direction=draw(st.sampled_from([1, 2])),
        uuid=draw(st.sampled_from(["u1", "u2"])),
        source_names=draw(st.lists(st.sampled_from(NAMES), max_size=2)),
        destination_names=draw(st.lists(st.sampled_from(NAMES), max_size=2)),
    )
    if draw(st.booleans()):
        flow.IP.source, flow.IP.destination = (draw(st.sampled_from(ADDRESSES)) for _ in "12")
        flow.IP.ipVersion = 2 if ":" in flow.IP.destination else 1
    layer = draw(st.sampled_from(["", "TCP", "UDP", "SCTP", "ICMPv4", "ICMPv6"]))
    if layer in ("TCP", "UDP", "SCTP"):
        ports = getattr(flow.l4, layer)
        ports.source_port, ports.destination_port = (draw(st.sampled_from([53, 443])) for _ in "12")
        if layer == "TCP" and draw(st.booleans()):
            ports.flags.SYN, ports.flags.ACK = draw(st.booleans()), draw(st.booleans())
            ports.flags.SetInParent()
    elif layer:
        getattr(flow.l4, layer).SetInParent()
    if draw(st.booleans()):
        flow.l7.dns.query = draw(st.sampled_from([f"{n}." for n in NAMES]))
    if draw(st.booleans()):
        flow.is_reply.value = draw(st.booleans())
        flow.is_reply.SetInParent()
    if draw(st.booleans()):
        flow.event_type.type = draw(st.sampled_from([1, 5, 129]))
        flow.event_type.sub_type = draw(st.sampled_from([0, 133]))
    flow.source.CopyFrom(draw(ends()))
    flow.destination.CopyFrom(draw(ends()))
    return flow


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "source_ip": st.sampled_from(ADDRESSES + PREFIXES),
    "destination_ip": st.sampled_from(ADDRESSES + PREFIXES),
    "source_pod": st.sampled_from(["web", "default/web", "prod/", "/db", "prod/w"]),
    "destination_pod": st.sampled_from(["web", "default/"]),
    "verdict": st.sampled_from([1, 2, 5]),
    "event_type": st.builds(
        lambda **given: flow_pb2.EventTypeFilter(**given),
        type=st.sampled_from([0, 1, 5, 129]),
        match_sub_type=st.booleans(),
        sub_type=st.sampled_from([0, 133]),
    ),
    "source_fqdn": st.sampled_from(PATTERNS),
    "destination_fqdn": st.sampled_from(PATTERNS),
    "source_label": st.sampled_from(SELECTORS),
    "destination_label": st.sampled_from(SELECTORS),
    "protocol": st.sampled_from(["tcp", "UDP", "icmp", "icmpv6", "sctp", "dns", "http"]),
    "source_port": st.sampled_from(["53", "443"]),
    "destination_port": st.sampled_from(["53", "443"]),
    "reply": st.booleans(),
    "dns_query": st.sampled_from(["^api", "example", r"\.org\.$"]),
    "source_identity": st.sampled_from([0, 9, 257]),
    "destination_identity": st.sampled_from([9, 257]),
    "tcp_flags": st.builds(
        lambda **given: flow_pb2.TCPFlags(**given), SYN=st.booleans(), ACK=st.booleans()
    ),
    "node_name": st.sampled_from(["one", "fqdnlab/", "fqdnlab/t*", "default/bare", "bare"]),
    "ip_version": st.sampled_from([1, 2]),
    "uuid": st.sampled_from(["u1", "u2"]),
    "traffic_direction": st.sampled_from([1, 2]),
    "drop_reason_desc": st.sampled_from([133, 181]),
}


@st.composite
def filters(draw: st.DrawFn) -> flow_pb2.FlowFilter:
    made = flow_pb2.FlowFilter()
    for field in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=3, unique=True)):
        values = draw(st.lists(VALUES[field], min_size=1, max_size=2))
        getattr(made, field).extend(values)
    return made


def side(field: str, flow: flow_pb2.Flow) -> flow_pb2.Endpoint:
    return flow.source if field.startswith("source") else flow.destination


def glob(pattern: str, name: str) -> bool:
    """Whether `name` is `pattern`, where a star is any run of letters, digits, hyphens and dots."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        run = 0
        while run < len(name) and (name[run].isalnum() or name[run] in "-."):
            run += 1
        return any(glob(pattern[1:], name[i:]) for i in range(run + 1))
    return bool(name) and pattern[0] == name[0] and glob(pattern[1:], name[1:])


def value_matches(field: str, value: Any, flow: flow_pb2.Flow) -> bool:
    """One value of one field, asked the long way."""
    layer = flow.l4.WhichOneof("protocol") or ""
    if field.endswith("_ip"):
        text = flow.IP.source if field == "source_ip" else flow.IP.destination
        return bool(text) and ipaddress.ip_address(text) in ipaddress.ip_network(value)
    if field.endswith("_pod"):
        namespace, slash, prefix = value.partition("/")
        if not slash:
            namespace, prefix = "default", value
        end = side(field, flow)
        if not end.namespace and not end.pod_name:
            return False
        return end.pod_name.startswith(prefix) and namespace in ("", end.namespace)
    if field.endswith("_fqdn"):
        names = flow.source_names if field == "source_fqdn" else flow.destination_names
        return any(glob(value.lower().removesuffix("."), n) for n in names)
    if field.endswith("_label"):
        return selector_matches(value, list(side(field, flow).labels))
    if field.endswith("_identity"):
        return bool(side(field, flow).identity == value)
    if field.endswith("_port"):
        if layer not in ("TCP", "UDP", "SCTP"):
            return False
        return bool(str(getattr(getattr(flow.l4, layer), field)) == value)
    if field == "protocol":
        wanted = {"icmp": {"ICMPv4", "ICMPv6"}, "icmpv6": {"ICMPv6"}}
        word = value.lower()
        return layer in wanted.get(word, {word.upper()}) or (
            word == "dns" and flow.l7.HasField("dns")
        )
    if field == "reply":
        known = flow.HasField("is_reply") or flow.verdict == 2
        return known and flow.is_reply.value == value
    if field == "dns_query":
        import re

        return flow.l7.HasField("dns") and bool(re.search(value, flow.l7.dns.query))
    if field == "event_type":
        if not flow.HasField("event_type"):
            return False
        if value.type and value.type != flow.event_type.type:
            return False
        return not value.match_sub_type or value.sub_type == flow.event_type.sub_type
    if field == "tcp_flags":
        if layer != "TCP" or not flow.l4.TCP.HasField("flags"):
            return False
        flags = flow.l4.TCP.flags
        return (not value.SYN or flags.SYN) and (not value.ACK or flags.ACK)
    if field == "node_name":
        cluster, slash, node = value.rpartition("/")
        name = (
            flow.node_name
            if "/" in flow.node_name or not flow.node_name
            else f"default/{flow.node_name}"
        )
        if not name:
            return False
        return glob(cluster or "*", name.split("/")[0]) and glob(node or "*", name.split("/")[1])
    if field == "ip_version":
        return bool(flow.IP.ipVersion == value)
    if field == "drop_reason_desc":
        return flow.verdict == 2 and flow.drop_reason_desc == value
    return bool(getattr(flow, field) == value)


def selector_matches(text: str, labels: list[str]) -> bool:
    pairs = [(x.partition("=")[0], x.partition("=")[2]) for x in labels]
    apps = {v for k, v in pairs if k.endswith(":app")}
    tiers = {v for k, v in pairs if k.endswith(":tier")}
    return {
        "app=web": "web" in apps,
        "k8s:app=web": ("k8s:app", "web") in pairs,
        "app!=web": "web" not in apps,
        "app": bool(apps),
        "!app": not apps,
        "app in (web, db)": bool(apps & {"web", "db"}),
        "tier=a,app": "a" in tiers and bool(apps),
    }[text]


def model(whitelist: list[Any], blacklist: list[Any], flow: flow_pb2.Flow) -> bool:
    def matches(one: Any) -> bool:
        return all(
            any(value_matches(field.name, v, flow) for v in values)
            for field, values in one.ListFields()
        )

    wanted = not whitelist or any(matches(f) for f in whitelist)
    return wanted and not any(matches(f) for f in blacklist)


@given(st.lists(filters(), max_size=2), st.lists(filters(), max_size=2), flows())
def test_against_the_model(
    whitelist: list[flow_pb2.FlowFilter], blacklist: list[flow_pb2.FlowFilter], flow: flow_pb2.Flow
) -> None:
    assert compile_filters(whitelist, blacklist)(flow) == model(whitelist, blacklist, flow)


@given(st.sampled_from(sorted(VALUES)), st.data(), flows())
def test_each_field_alone(field: str, data: st.DataObject, flow: flow_pb2.Flow) -> None:
    """As above, one field at a time, so that each is met often."""
    value = data.draw(VALUES[field])
    one = flow_pb2.FlowFilter()
    getattr(one, field).append(value)
    assert compile_filters([one])(flow) == value_matches(field, value, flow)


def test_an_empty_filter_matches_everything() -> None:
    assert compile_filters([flow_pb2.FlowFilter()])(flow_pb2.Flow())
    assert not compile_filters([], [flow_pb2.FlowFilter()])(flow_pb2.Flow())


@pytest.mark.parametrize(
    "given_filter",
    [
        {"source_ip": ["10.0.0"]},
        {"destination_ip": ["10.0.0.0/33"]},
        {"destination_port": ["65536"]},
        {"source_port": ["https"]},
        {"protocol": ["quic"]},
        {"source_fqdn": [""]},
        {"destination_fqdn": ["a b"]},
        {"destination_fqdn": ["example.com.."]},
        {"node_name": ["a/b/c"]},
        {"node_name": [""]},
        {"source_pod": [""]},
        {"dns_query": ["("]},
        {"source_label": ["app in web"]},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(given_filter: dict[str, list[str]]) -> None:
    with pytest.raises(FilterError):
        compile_filters([flow_pb2.FlowFilter(**given_filter)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", [], True),
        ("app = web", ["k8s:app=web"], True),
        ("app==web", ["container:app=web"], True),
        ("k8s:app=web", ["container:app=web"], False),
        ("app notin (a,b)", ["k8s:app=c"], True),
        ("app notin (a,b)", [], True),
        ("app notin (a,b),app", [], False),
        ("reserved:world-ipv4", ["reserved:world-ipv4"], True),
        ("io.kubernetes.pod.namespace=prod", ["k8s:io.kubernetes.pod.namespace=prod"], True),
        ("app=", ["k8s:app"], True),
    ],
)
def test_selectors(text: str, labels: list[str], expected: bool) -> None:
    assert parse_selector(text)(labels) is expected
