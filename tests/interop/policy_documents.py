"""Policy documents by chance: most of them right, many a little wrong, all told by a seed."""

from __future__ import annotations

import json
import random
from typing import Any

#: One value in so many is replaced by something that may be wrong.
ODDS = 60

NAMES = ["api.example.com", "a.b.c.example.org.", "x", "_sip._tcp.example.com", "API.Example.COM"]
BAD_NAMES = ["", "a..b", "a b", ".", "a.b..", "*.x", "é.example", "a" * 255, "a" * 256, ".a"]
PATTERNS = ["*", "*.example.com", "**.example.com", "a*.b", "**", "*.", "x*y.z*.io", "***.a"]
BAD_PATTERNS = ["", "*..a", "a.*b$", "(x)", "*.é", "a/b", "**..", "*" * 256, ".*"]
CIDRS = ["10.0.0.0/8", "10.1.2.3/8", "0.0.0.0/0", "2001:db8::/32", "::/0", "::ffff:10.0.0.0/104"]
BAD_CIDRS = ["10.0.0.1", "10.0.0.0/33", "10.0.0/8", "x/8", "", "10.0.0.0/-1", "10.0.0.0/08"]
PORTS = ["53", "443", "80", "0", "65535", "http", "dns-tcp", "010", "8080"]
BAD_PORTS = ["65536", "", "-1", "a--b", "toolongservicename", "08", "1.5", " 80", "80 ", "99999"]
ENTITIES = ["all", "world", "cluster", "host", "none", "kube-apiserver", "cluster-mesh"]
KEYS = ["app", "k8s:app", "any:app", "example.com/app", "io.kubernetes.pod.namespace", "a.b"]
BAD_KEYS = ["", "a:b:c", ":app", "k8s:", "-a", "a_", "A/b", "a/b/c", "$a", "a b", "x" * 64]
VALUES = ["web", "", "a.b-c"]
BAD_VALUES = ["-x", "a b", 1, "y" * 64]
JUNK: list[Any] = [None, 1, "x", [], {}, True, 1.5, [None], {"a": 1}]


class Maker:
    """Documents from one seed."""

    def __init__(self, seed: int, odds: int = ODDS) -> None:
        self.random = random.Random(seed)
        self.odds = odds

    def rare(self) -> bool:
        return self.random.randrange(self.odds) == 0

    def pick(self, right: list[Any], wrong: list[Any] | None = None) -> Any:
        return self.random.choice(wrong if wrong and self.rare() else right)

    def some(self, make: Any, least: int = 0, most: int = 3) -> Any:
        if self.rare():
            return self.random.choice(JUNK)
        return [make() for _ in range(self.random.randint(least, most))]

    def document(self) -> str:
        """One document as JSON, which is YAML."""
        kind = self.pick(
            ["CiliumNetworkPolicy"] * 4
            + ["CiliumClusterwideNetworkPolicy", "NetworkPolicy", "NetworkPolicy"],
            ["CiliumEndpoint", "Pod"],
        )
        version = "networking.k8s.io/v1" if kind == "NetworkPolicy" else "cilium.io/v2"
        document: dict[str, Any] = {
            "apiVersion": self.pick([version], ["v1", "cilium.io/v1"]),
            "kind": kind,
            "metadata": self.metadata(),
        }
        if kind == "NetworkPolicy":
            document["spec"] = self.kubernetes_spec()
        elif self.random.randrange(5) == 0:
            document["specs"] = self.some(self.spec)
        else:
            document["spec"] = self.spec()
        if self.rare():
            document[self.random.choice(["foo", "status", "description"])] = {}
        return json.dumps(document)

    def metadata(self) -> Any:
        if self.rare():
            return self.random.choice(JUNK)
        found: dict[str, Any] = {"name": self.pick(["web", "a-b"], ["", 1, None])}
        if self.random.randrange(3) == 0:
            found["namespace"] = self.pick(["default", "kube-system"], [5])
        if self.rare():
            found["labels"] = {"a": "b"}
        return found

    def spec(self) -> Any:
        found: dict[str, Any] = {}
        if not self.rare():
            found["endpointSelector"] = self.selector()
        if self.random.randrange(25) == 0:
            found["nodeSelector"] = self.selector()
        if self.random.randrange(10):
            found["egress"] = self.some(self.egress, 0 if self.rare() else 1)
        if self.random.randrange(6) == 0:
            found["egressDeny"] = self.some(lambda: self.rule("to", deny=True))
        if self.random.randrange(6) == 0:
            found["ingress"] = self.some(lambda: self.rule("from"))
        if self.random.randrange(12) == 0:
            found["ingressDeny"] = self.some(lambda: self.rule("from", deny=True))
        if self.random.randrange(6) == 0:
            found["enableDefaultDeny"] = self.pick(
                [{"egress": True}, {"egress": False}, {}], [{"egress": "no"}, [], {"x": True}]
            )
        if self.random.randrange(8) == 0:
            found["description"] = self.pick(["words", ""], [1])
        if self.rare():
            found["unknown"] = 1
        return found

    def selector(self) -> Any:
        if self.rare():
            return self.random.choice(JUNK)
        found: dict[str, Any] = {}
        if self.random.randrange(2):
            found["matchLabels"] = {
                self.pick(KEYS, BAD_KEYS): self.pick(
                    ["web", "", "a.b-c"], ["-x", "a b", 1, "y" * 64]
                )
                for _ in range(self.random.randint(0, 2))
            }
        if self.random.randrange(4) == 0:
            found["matchExpressions"] = self.some(self.expression, 0, 2)
        return found

    def expression(self) -> Any:
        operator = self.pick(["In", "NotIn", "Exists", "DoesNotExist"], ["in", "Equals", 1])
        found: dict[str, Any] = {"key": self.pick(KEYS, BAD_KEYS), "operator": operator}
        if operator in ("In", "NotIn") and not self.rare():
            found["values"] = self.some(lambda: self.pick(["a", "b"], ["-", 1]), 1)
        elif self.rare():
            found["values"] = ["a"]
        return found

    def egress(self) -> Any:
        rule = self.rule("to")
        if isinstance(rule, dict):
            if self.random.randrange(3) == 0 or len(rule) == 0:
                rule["toFQDNs"] = self.some(self.fqdn, 1)
                if not self.rare():
                    for key in ("toEndpoints", "toCIDR", "toCIDRSet", "toEntities", "toServices"):
                        rule.pop(key, None)
            if self.rare():
                rule["authentication"] = self.pick([{"mode": "disabled"}], [{}, {"mode": "x"}])
        return rule

    def rule(self, way: str, deny: bool = False) -> Any:
        if self.rare():
            return self.random.choice(JUNK)
        found: dict[str, Any] = {}
        makers = {
            "Endpoints": self.selector,
            "CIDR": lambda: self.pick(CIDRS, BAD_CIDRS),
            "CIDRSet": self.cidr_rule,
            "Entities": lambda: self.pick(ENTITIES, ["world-ipv4", "", "World"]),
            "Groups": lambda: {"aws": {"region": "x"}},
        }
        if way == "to":
            makers["Services"] = lambda: {"k8sService": {"serviceName": "a"}}
        for kind in self.random.sample(sorted(makers), 2 if self.rare() else 1):
            if self.random.randrange(4):
                found[way + kind] = self.some(makers[kind], 0 if self.rare() else 1)
        if self.random.randrange(2):
            found["toPorts"] = self.some(lambda: self.port_rule(way, deny), 0, 2)
        if self.random.randrange(10) == 0 and ("toPorts" not in found or self.rare()):
            found["icmps"] = self.some(lambda: {"fields": self.some(self.icmp)}, 0, 2)
        if self.rare():
            found[self.random.choice([f"{way}Nodes", f"{way}Requires", "toFQDNs", "x"])] = (
                self.random.choice([[], [{}], ["a"]])
            )
        return found

    def cidr_rule(self) -> Any:
        cidr, parts = self.random.choice(
            [
                ("10.0.0.0/8", ["10.1.0.0/16", "10.0.0.0/8"]),
                ("2001:db8::/32", ["2001:db8:1::/48"]),
                ("0.0.0.0/0", ["127.0.0.0/8"]),
            ]
        )
        found: dict[str, Any] = {"cidr": self.pick([cidr], BAD_CIDRS)}
        if self.random.randrange(3) == 0:
            found["except"] = self.some(lambda: self.pick(parts, ["11.0.0.0/8", "::/0", "x"]))
        if self.rare():
            found["cidrGroupRef"] = self.pick(["group"], ["A_B", ""])
        if self.rare():
            found.pop("cidr", None)
        return found

    def fqdn(self) -> Any:
        if self.rare():
            return self.random.choice([{}, None, {"matchName": "a", "matchPattern": "b"}, "x"])
        if self.random.randrange(2):
            return {"matchName": self.pick(NAMES, BAD_NAMES)}
        return {"matchPattern": self.pick(PATTERNS, BAD_PATTERNS)}

    def port_rule(self, way: str, deny: bool) -> Any:
        if self.rare():
            return self.random.choice(JUNK)
        found: dict[str, Any] = {}
        http = self.random.randrange(8) == 0
        if not self.rare():
            found["ports"] = self.some(lambda: self.port(http), 1)
        if self.random.randrange(3) == 0 and (not deny or self.rare()):
            found["rules"] = self.rules(way, http)
        if self.rare():
            found["listener"] = {"envoyConfig": {"name": "a"}, "name": "b"}
        if self.rare():
            found["serverNames"] = self.pick([["a.b"]], [[], ["a..b"], [""], ["x", "x"]])
        if self.rare():
            found["terminatingTLS"] = self.pick([{"secret": {"name": "a"}}], [{}])
        return found

    def port(self, tcp: bool) -> Any:
        if self.rare():
            return self.random.choice([{}, {"protocol": "TCP"}, {"port": 80}, None, {"x": 1}])
        found: dict[str, Any] = {"port": self.pick(PORTS, BAD_PORTS)}
        if tcp and not self.rare():
            found["protocol"] = "TCP"
            found["port"] = self.pick(["80", "8080", "http"], ["0"])
        elif self.random.randrange(2):
            found["protocol"] = self.pick(
                ["TCP", "UDP", "SCTP", "ANY"], ["tcp", "", "ICMP", "GRE", "VRRP"]
            )
        if self.random.randrange(8) == 0:
            found["endPort"] = self.pick([0, 53, 8080, 65535], [65536, -1, "80", 1.5])
        return found

    def rules(self, way: str, http: bool) -> Any:
        if self.rare():
            return self.random.choice([*JUNK, {"dns": [], "http": []}, {"kafka": []}])
        if http or (way == "from" and not self.rare()):
            return {"http": self.some(self.request)}
        return {"dns": self.some(self.fqdn)}

    def request(self) -> Any:
        return self.pick(
            [{"method": "GET", "path": "/a.*"}, {}, {"headers": ["X: y"]}],
            [
                {"path": "(", "method": "GET"},
                {"foo": 1},
                {"headerMatches": [{"name": ""}]},
                {"path": 1},
            ],
        )

    def icmp(self) -> Any:
        return self.pick(
            [{"type": 8}, {"type": "EchoRequest"}, {"family": "IPv6", "type": 128}, {"type": "0"}],
            [
                {"type": "256"},
                {"type": "PacketTooBig"},
                {},
                {"family": "x", "type": 1},
                {"type": 300},
            ],
        )

    def kubernetes_spec(self) -> Any:
        found: dict[str, Any] = {"podSelector": self.selector()}
        if self.random.randrange(2):
            found["policyTypes"] = self.some(lambda: self.pick(["Egress", "Ingress"], ["egress"]))
        for key, way in (("egress", "to"), ("ingress", "from")):
            if self.random.randrange(3):
                found[key] = self.some(lambda way=way: self.kubernetes_rule(way))
        if self.rare():
            found["unknown"] = 1
        return found

    def kubernetes_rule(self, way: str) -> Any:
        found: dict[str, Any] = {}
        if self.random.randrange(3):
            found[way] = self.some(self.kubernetes_peer)
        if self.random.randrange(2):
            found["ports"] = self.some(self.kubernetes_port)
        return found

    def kubernetes_peer(self) -> Any:
        cidr = self.pick(CIDRS, BAD_CIDRS)
        return self.random.choice(
            [
                {"podSelector": self.selector()},
                {"namespaceSelector": self.selector()},
                {"podSelector": self.selector(), "namespaceSelector": self.selector()},
                {"ipBlock": {"cidr": cidr}},
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": [self.pick(["10.1.0.0/16"], ["x"])]}},
            ]
        )

    def kubernetes_port(self) -> Any:
        return self.pick(
            [{"port": 53, "protocol": "UDP"}, {"port": "http"}, {"protocol": "TCP"}, {}],
            [
                {"port": 70000},
                {"protocol": "ICMP"},
                {"port": 1, "x": 2},
                {"port": 80, "endPort": 70},
            ],
        )
