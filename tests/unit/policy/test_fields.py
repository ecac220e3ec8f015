"""What single rules are taken, and what is said of the others."""

from __future__ import annotations

import pytest

from tests.unit.policy.kit import NEXT, check, document, in_egress

DNS_RULE = "{toPorts: [{ports: [{port: '53'}], rules: {dns: [{matchPattern: '*'}]}}]}"


@pytest.mark.parametrize(
    "rule",
    [
        "{}",
        "{toFQDNs: [{matchName: api.example.com}, {matchPattern: '**.x.io'}]}",
        "{toEndpoints: [{}]}",
        "{toEndpoints: []}",
        "{toCIDR: [10.1.2.3/8, '2001:db8::/32', '::ffff:1.2.3.4/112']}",
        "{toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.0.0.0/8]}]}",
        "{toCIDRSet: [{cidrGroupRef: a.b}]}",
        "{toEntities: [world, cluster-mesh, none]}",
        "{toServices: [{k8sService: {serviceName: a}}]}",
        "{toGroups: [{}]}",
        "{toRequires: []}",
        "{toEndpoints: [{}], toCIDR: []}",
        "{toPorts: []}",
        "{toPorts: [{}]}",
        "{toPorts: [{ports: []}]}",
        "{toPorts: [{rules: {dns: []}}]}",
        "{toPorts: [{ports: [{port: '0'}, {port: HTTP-alt}, {port: '010'}, {port: '1_0'}]}]}",
        "{toPorts: [{ports: [{port: '80', endPort: 79, protocol: ANY}]}]}",
        "{toPorts: [{ports: [{port: '80', endPort: 90.0, protocol: SCTP}]}]}",
        "{toPorts: [{ports: [{port: '0', protocol: GRE}]}]}",
        "{toPorts: [{ports: [{port: '53', endPort: 53}], rules: {dns: [{matchName: a}]}}]}",
        "{toPorts: [{ports: [{port: dns, endPort: 99}], rules: {dns: [{matchName: a}]}}]}",
        "{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{path: '/.*'}]}}]}",
        "{toPorts: [{ports: [{port: '443'}], serverNames: ['*.a.b']}]}",
        "{icmps: [{fields: [{type: 8}, {type: EchoRequest}, {family: IPv6, type: 128}]}, {}]}",
        "{icmps: [{fields: [{type: 300}, {type: -1}, {type: '255'}]}]}",
        "{icmps: [{fields: [{type: 8}]}], toPorts: []}",
        "{authentication: {mode: required}}",
        DNS_RULE,
    ],
)
def test_accepted_rules(rule: str) -> None:
    assert check(document(f"egress: [{rule}]")).faults == ()


@pytest.mark.parametrize(
    ("rule", "path", "words"),
    [
        ("{toFQDN: []}", "toFQDN", "unknown field"),
        ("{ToFQDNs: []}", "ToFQDNs", "unknown field"),
        ("[]", "", "a mapping is expected, not list"),
        ("{toFQDNs: {}}", "toFQDNs", "a list is expected, not mapping"),
        ("{toFQDNs: ~}", "toFQDNs", "a list is expected, not null ([] is an empty one)"),
        ("{toFQDNs: [{}]}", "toFQDNs[0]", "exactly one of matchName, matchPattern"),
        ("{toFQDNs: [{matchName: a, matchPattern: b}]}", "toFQDNs[0]", "not matchName and matchP"),
        ("{toFQDNs: [{matchName: '*.a'}]}", "toFQDNs[0].matchName", "a DNS name"),
        ("{toFQDNs: [{matchName: 'a b'}]}", "toFQDNs[0].matchName", "a DNS name"),
        ("{toFQDNs: [{matchName: a..b}]}", "toFQDNs[0].matchName", "no empty label"),
        ("{toFQDNs: [{matchName: .}]}", "toFQDNs[0].matchName", "a DNS name"),
        ("{toFQDNs: [{matchName: 1}]}", "toFQDNs[0].matchName", "put it in quotes"),
        (f"{{toFQDNs: [{{matchName: {'a' * 256}}}]}}", "toFQDNs[0].matchName", "at most 255"),
        ("{toFQDNs: [{matchPattern: 'a.*$'}]}", "toFQDNs[0].matchPattern", "with or without stars"),
        ("{toFQDNs: [{matchPattern: '*..a'}]}", "toFQDNs[0].matchPattern", "no empty label"),
        ("{toFQDNs: [{matchName: a}], toCIDR: ['::/0']}", "", "not toCIDR and toFQDNs"),
        ("{toEndpoints: [{}], toEntities: [all]}", "", "not toEndpoints and toEntities"),
        ("{toCIDR: [10.0.0.1]}", "toCIDR[0]", "a network"),
        ("{toCIDR: [10.0.0.0/33]}", "toCIDR[0]", "a network"),
        ("{toCIDR: [10.0.0.0/08]}", "toCIDR[0]", "a network"),
        ("{toCIDR: [10.0.0.0/255.0.0.0]}", "toCIDR[0]", "a network"),
        ("{toCIDR: ['fe80::1%eth0/64']}", "toCIDR[0]", "a network"),
        ("{toCIDR: [010.0.0.0/8]}", "toCIDR[0]", "a network"),
        ("{toCIDRSet: [{}]}", "toCIDRSet[0]", "exactly one of cidr, cidrGroupRef"),
        ("{toCIDRSet: [{cidr: 1.0.0.0/8, except: [2.0.0.0/8]}]}", "toCIDRSet[0].except[0]", "part"),
        ("{toCIDRSet: [{cidr: 1.0.0.0/8, except: ['::/0']}]}", "toCIDRSet[0].except[0]", "part of"),
        ("{toEntities: [World]}", "toEntities[0]", "one of all, world, cluster"),
        ("{toEntities: [world-ipv4]}", "toEntities[0]", "one of"),
        ("{toNodes: [{}]}", "toNodes", "enable-node-selector-labels"),
        ("{toRequires: [a]}", "toRequires", "at most 0 items"),
        ("{toEndpoints: [{matchLabels: {app: 1}}]}", "toEndpoints[0].matchLabels.app", "label's"),
        ("{toEndpoints: [{matchLabels: {app: -a}}]}", "toEndpoints[0].matchLabels.app", "label's"),
        ("{toEndpoints: [{matchLabels: {-a: b}}]}", "toEndpoints[0].matchLabels.-a", "1 to 63"),
        ("{toEndpoints: [{matchLabels: {'a:b:c': d}}]}", "toEndpoints[0].matchLabels.a:b:c", "':'"),
        ("{toEndpoints: [{matchLabels: {'_:c': d}}]}", "toEndpoints[0].matchLabels._:c", "source"),
        ("{toEndpoints: [{matchLabels: {A/b: d}}]}", "toEndpoints[0].matchLabels.A/b", "'/'"),
        (
            "{toEndpoints: [{matchExpressions: [{key: a, operator: In}]}]}",
            "toEndpoints[0].matchExpressions[0].values",
            "In expects values",
        ),
        (
            "{toEndpoints: [{matchExpressions: [{key: a, operator: Exists, values: [b]}]}]}",
            "toEndpoints[0].matchExpressions[0].values",
            "Exists takes no values",
        ),
        (
            "{toEndpoints: [{matchExpressions: [{key: a, operator: Equals}]}]}",
            "toEndpoints[0].matchExpressions[0].operator",
            "one of In, NotIn",
        ),
        (
            "{toEndpoints: [{matchExpressions: [{operator: Exists}]}]}",
            "toEndpoints[0].matchExpressions[0].key",
            "required",
        ),
        ("{toPorts: [{ports: [{port: 80}]}]}", "toPorts[0].ports[0].port", "put it in quotes"),
        ("{toPorts: [{ports: [{}]}]}", "toPorts[0].ports[0].port", "a port is expected"),
        ("{toPorts: [{ports: [{port: '65536'}]}]}", "toPorts[0].ports[0].port", "0 to 65535"),
        ("{toPorts: [{ports: [{port: '08'}]}]}", "toPorts[0].ports[0].port", "0 to 65535"),
        ("{toPorts: [{ports: [{port: a--b}]}]}", "toPorts[0].ports[0].port", "0 to 65535"),
        ("{toPorts: [{ports: [{port: '-1'}]}]}", "toPorts[0].ports[0].port", "0 to 65535"),
        (
            "{toPorts: [{ports: [{port: '80', endPort: 65536}]}]}",
            "toPorts[0].ports[0].endPort",
            "0 to 65535",
        ),
        (
            "{toPorts: [{ports: [{port: '80', protocol: tcp}]}]}",
            "toPorts[0].ports[0].protocol",
            "one of TCP",
        ),
        (
            "{toPorts: [{ports: [{port: '80', protocol: AH}]}]}",
            "toPorts[0].ports[0].port",
            "AH has",
        ),
        (
            "{toPorts: [{rules: {dns: [{matchName: a}]}}]}",
            "toPorts[0].rules.dns",
            "ports are expected",
        ),
        ("{toPorts: [{ports: [{port: '53'}], rules: {}}]}", "toPorts[0].rules", "exactly one of"),
        (
            "{toPorts: [{rules: {dns: [], http: []}}]}",
            "toPorts[0].rules",
            "exactly one of http, dns",
        ),
        ("{toPorts: [{rules: {dns: [], kafka: []}}]}", "toPorts[0].rules.kafka", "gone"),
        (
            "{toPorts: [{ports: [{port: '0'}], rules: {dns: [{matchName: a}]}}]}",
            "toPorts[0].ports[0].port",
            "other than 0",
        ),
        (
            "{toPorts: [{ports: [{port: '53', endPort: 54}], rules: {dns: [{matchName: a}]}}]}",
            "toPorts[0].ports[0].endPort",
            "no range",
        ),
        (
            "{toPorts: [{ports: [{port: '80'}], rules: {http: [{}]}}]}",
            "toPorts[0].ports[0].protocol",
            "TCP is expected",
        ),
        (
            "{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{path: '('}]}}]}",
            "toPorts[0].rules.http[0].path",
            "an expression",
        ),
        ("{icmps: [{fields: [{}]}]}", "icmps[0].fields[0].type", "required"),
        ("{icmps: [{fields: [{type: '256'}]}]}", "icmps[0].fields[0].type", "0 to 255"),
        ("{icmps: [{fields: [{type: PacketTooBig}]}]}", "icmps[0].fields[0].type", "IPv4 has no"),
        ("{icmps: [{fields: [{type: 8}]}], toPorts: [{}]}", "icmps", "without toPorts"),
        ("{authentication: {}}", "authentication.mode", "required"),
    ],
)
def test_refused_rules(rule: str, path: str, words: str) -> None:
    """One fault, at its place."""
    found = in_egress(rule)
    assert list(found) == [path]
    assert words in found[path][1]
    assert found[path][0] == NEXT


def test_more_ports_than_forty() -> None:
    ports = ", ".join("{port: '80'}" for _ in range(41))
    assert "at most 40" in in_egress(f"{{toPorts: [{{ports: [{ports}]}}]}}")["toPorts[0].ports"][1]
