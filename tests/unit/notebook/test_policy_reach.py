"""No change of a verdict is passed over: many names, many ports, each protocol, both families."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fqdnlab.explain import Facts, Known
from fqdnlab.explain.case import PROTOCOLS
from fqdnlab.explain.decide import Mind
from fqdnlab.explain.kernel import KernelMaps
from fqdnlab.model.mapstate import DENY
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.yaml_text import flow_text
from fqdnlab.notebook.policy_forecast import Change, Forecast, applied_over, forecast_of
from fqdnlab.notebook.policy_shown import effect_of
from tests.unit.explain.kit import WEB, facts, with_maps

MANY = {f"a{n:03}.example.com": [f"198.51.{n}.7", f"2001:db8::{n:x}"] for n in range(220)}
ZONES = {**MANY, "zz.example.com": ["203.0.113.7", "2001:db8:f::7"], "zz.cdn.test": ["192.0.2.7"]}
LATE = ("zz.example.com", "zz.cdn.test", "nobody.asked.test")
HEAD = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: {name}}}
spec:
  endpointSelector: {{matchLabels: {{app: web}}}}
  egress:
  - toEndpoints: [{{matchLabels: {{k8s-app: kube-dns, "k8s:io.kubernetes.pod.namespace": kube-system}}}}]
    toPorts: [{{ports: [{{port: "53", protocol: ANY}}], rules: {{dns: [{{matchPattern: "**"}}]}}}}]
"""  # noqa: E501


def policy(*rules: dict[str, Any], name: str = "web-egress") -> str:
    return HEAD.format(name=name) + "".join(f"  - {flow_text(rule)}\n" for rule in rules)


def port(number: object, protocol: str = "TCP") -> dict[str, Any]:
    return {"port": str(number), "protocol": protocol}


def to(names: list[str], *ports: dict[str, Any]) -> dict[str, Any]:
    return {"toFQDNs": [{"matchName": n} for n in names], "toPorts": [{"ports": list(ports)}]}


THIRTY = [port(8000 + n) for n in range(30)]
PING = {"toEntities": ["world"], "icmps": [{"fields": [{"family": "IPv4", "type": 8}]}]}
PING6 = {"toEndpoints": [{}], "icmps": [{"fields": [{"family": "IPv6", "type": 128}]}]}
SCTP = {"toEntities": ["world"], "toPorts": [{"ports": [port(0, "SCTP")]}]}
WIDE = {"toCIDR": ["192.0.2.0/24"], "toPorts": [{"ports": [{**port(1, "ANY"), "endPort": 65535}]}]}
SPLIT = [
    {"toCIDR": ["192.0.2.0/24"], "toPorts": [{"ports": [{**port(first), "endPort": last}]}]}
    for first, last in ((1000, 1400), (1600, 2000), (1000, 2000))
]
CASES = {
    "a name after many": ((), (to(["zz.example.com"], port(443)),), "zz.example.com", "443/TCP"),
    "a port of thirty": (
        (to(["zz.example.com"], *THIRTY),),
        (to(["zz.example.com"], *THIRTY[:-1], port(9999)),),
        "zz.example.com",
        "8029/TCP",
    ),
    "a ping to the world": ((), (PING,), "any other IPv4 address", "8/ICMPv4"),
    "a ping to an endpoint": ((), (PING6,), "endpoint web", "128/ICMPv6"),
    "SCTP alone": ((), (SCTP,), "any other address", "other/SCTP"),
    "IPv6 alone": ((), ({"toCIDR": ["::/0"]},), "any other IPv6 address", "all ports"),
    "a name that nobody knows": (
        (),
        (to(["nobody.asked.test"], port(443)),),
        "nobody.asked.test",
        "443/TCP",
    ),
    "a pattern that nothing matches": (
        (),
        ({"toFQDNs": [{"matchPattern": "*.asked.test"}]},),
        "*.asked.test",
        "all ports",
    ),
    "what a rule without ports has more": (
        (WIDE,),
        ({"toCIDR": ["192.0.2.0/24"]},),
        "others in 192.0.2.0/24",
        "other/ICMP",
    ),
    "the midst of a range": (SPLIT[2:], SPLIT[:2], "others in 192.0.2.0/24", "1401/TCP"),
    "the resolver by another port": (
        (),
        ({"toEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": "kube-system"}}]},),
        "the resolver",
        "other/UDP",
    ),
    "a network that smaller ones cover at its ends": (
        (),
        (
            {
                "toCIDRSet": [
                    {
                        "cidr": "10.64.0.0/10",
                        "except": ["10.64.0.0/24", "10.95.255.0/24", "10.96.0.0/24"],
                    }
                ]
            },
        ),
        "others in 10.64.0.0/10",
        "all ports",
    ),
}


def of(*rules: dict[str, Any], zones: dict[str, list[str]] = ZONES) -> Facts:
    return facts(policy(*rules), known=(), zones=zones)


def listed(found: Forecast, target: str, where: str) -> list[Change]:
    return [
        c
        for c in found.changes
        if c.what == "packet" and target in c.targets and {where, "all ports"} & {*c.ports}
    ]


@pytest.mark.parametrize("case", CASES)
def test_it_is_listed(case: str) -> None:
    old, new, target, where = CASES[case]
    found = forecast_of(of(*old), parse_policies(policy(*new)))
    assert listed(found, target, where), [c[1:5] for c in found.changes]
    said = effect_of(of(*old), parse_policies(policy(*new)), ())["says"]
    assert not any(text.startswith("No verdict") for text in said)


def test_of_what_it_is_true_is_said() -> None:
    (said,) = [
        text
        for text in effect_of(of(), parse_policies(policy(to(["a000.example.com"]))), ())["says"]
        if "verdict" in text
    ]
    assert said == "No verdict of the 200 names and 5 ports looked at would change."
    few = facts(policy(), known=(), zones={"zz.cdn.test": ["192.0.2.7"]})
    assert "No verdict would change." in effect_of(few, parse_policies(policy()), ())["says"]
    opened = effect_of(of(), parse_policies(policy(to(["zz.cdn.test"], port(1)))), ())
    assert "Told of the 200 names and 6 ports looked at: there are more." in opened["says"]


def test_a_port_by_every_protocol_is_said_as_policies_say_it() -> None:
    made = effect_of(of(), parse_policies(policy(to(["zz.cdn.test"], port(9, "ANY")))), ())
    assert [c["where"] for c in made["changes"]] == ["9/ANY"]


# ---------------------------------------------------------------- generated

NUMBER = st.sampled_from([1, 53, 80, 443, 444, 8000, 8029, 65535])
ITEM = st.builds(
    lambda n, more, protocol: {**port(n, protocol), **({"endPort": n + more} if more else {})},
    NUMBER.filter(lambda n: n < 60000),
    st.sampled_from([0, 0, 1, 500]),
    st.sampled_from(["TCP", "UDP", "SCTP", "ANY"]),
)
ICMP = st.fixed_dictionaries(
    {"family": st.sampled_from(["IPv4", "IPv6"]), "type": st.sampled_from([8, 13, 128])}
)
NARROW = [
    {"toFQDNs": [{"matchName": "zz.example.com"}]},
    {"toFQDNs": [{"matchName": "nobody.asked.test"}, {"matchPattern": "*.cdn.test"}]},
    {"toFQDNs": [{"matchPattern": "z*.example.com"}]},
    {"toCIDR": ["203.0.113.0/24", "2001:db8:f::/48"]},
    {"toCIDRSet": [{"cidr": "192.0.2.0/24", "except": ["192.0.2.0/28"]}]},
]
WIDE_TOO: list[dict[str, Any]] = [*NARROW, {"toCIDR": ["::/0"]}, {"toEntities": ["world"]}, {}]


def rules(peers: list[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rules with these peers: of every port, of some, or of ICMP."""
    peer = st.sampled_from(peers)
    items = st.lists(ITEM, min_size=1, max_size=3)
    fields = st.lists(ICMP, min_size=1, max_size=2)
    some = st.builds(lambda one, ports: {**one, "toPorts": [{"ports": ports}]}, peer, items)
    pings = st.builds(lambda one, types: {**one, "icmps": [{"fields": types}]}, peer, fields)
    return st.lists(st.one_of(peer.filter(bool), some, pings), max_size=3)


#: Where there are more names than are looked at, what a text names is looked at all the same.
LABS = st.one_of(
    st.tuples(st.just(ZONES), rules(NARROW), rules(NARROW)),
    st.tuples(st.just(dict(list(ZONES.items())[-9:])), rules(WIDE_TOO), rules(WIDE_TOO)),
)


def maps_of(now: Facts, policies: tuple[Policy, ...]) -> KernelMaps:
    """The kernel's maps as the agent fills them, once the endpoint has looked up what it may."""
    mind = Mind(now, policies)
    learned = [
        Known("web", f"{name}.", address)
        for name in LATE
        for address in ZONES.get(name, ())
        if mind.ask(WEB, now.server, name).outcome == "allowed"
    ]
    maps = with_maps(replace(now, policies=policies), learned).maps
    assert maps is not None
    return maps


def places_of(policies: tuple[Policy, ...]) -> set[tuple[str, int]]:
    """Every protocol and port at an end of what a policy names, and one that it does not name."""
    found = {(protocol, 8 if "ICMP" in protocol else 60_999) for protocol in PROTOCOLS}
    for one in policies:
        for rule in one.rules():
            found |= {(f"ICMPv{i.family}", i.type) for i in rule.icmps or ()}
            for item in (i for block in rule.ports or () for i in block.ports):
                protocols = ("TCP", "UDP", "SCTP") if item.protocol == "ANY" else (item.protocol,)
                ends = item.port, max(item.port, item.end_port)
                found |= {(p, n) for p in protocols for n in ends}
    return found


@settings(deadline=None, max_examples=40)
@given(LABS)
def test_no_change_of_the_kernels_maps_is_passed_over(lab: tuple[Any, Any, Any]) -> None:
    zones, old, new = lab
    now = of(*old, zones=zones)
    proposed = parse_policies(policy(*new))
    after = applied_over(now, proposed)
    found = forecast_of(now, proposed)
    before_maps, after_maps = maps_of(now, now.policies or ()), maps_of(now, after)
    for name in LATE:
        for address in ZONES.get(name, ()):
            for protocol, number in places_of((*(now.policies or ()), *after)):
                if protocol == ("ICMPv4" if ":" in address else "ICMPv6"):
                    continue
                verdicts = [
                    maps.judge(1, address, PROTOCOLS[protocol], number)
                    for maps in (before_maps, after_maps)
                ]
                was, will = (v is not None and v.verdict != DENY for v in verdicts)
                if was != will:
                    told = [
                        c
                        for text in (f"{number}/{protocol}", f"other/{protocol.partition('v')[0]}")
                        for c in listed(found, name, text)
                        if address in c.addresses and c.after.passes == will
                    ]
                    assert told, (name, address, protocol, number, was, will)
