"""Generated policies, targets and packets, for the tests that compare forecasts with the kernel."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

from fqdnlab.lab import Lab
from fqdnlab.lab.endpoint import Endpoint
from fqdnlab.model.yaml_text import write_documents
from fqdnlab.testing import eventually

WEB = {"app": "web"}
RESOLVER = "10.96.0.10"
PORTS = (80, 443, 8080, 8050, 22, 53)

#: Reads cases from its input; looks names up, sends one packet each, says what the names had.
_SENDER = """
import json, socket, sys
made, told = [], []
for target, proto, port, sport, v6 in json.load(sys.stdin):
    family = socket.AF_INET6 if v6 else socket.AF_INET
    try:
        address = socket.getaddrinfo(target, port, family)[0][4][0]
    except socket.gaierror as error:
        told.append([sport, "", str(error)])
        continue
    kind = socket.SOCK_STREAM if proto == "TCP" else socket.SOCK_DGRAM
    ping = {"ICMPv4": socket.IPPROTO_ICMP, "ICMPv6": socket.IPPROTO_ICMPV6}.get(proto, 0)
    one = socket.socket(family, kind, ping)
    one.setblocking(False)
    one.bind(("::" if v6 else "0.0.0.0", sport))
    try:
        if proto == "TCP":
            one.connect_ex((address, port))
        elif ping:
            one.sendto(bytes([port, 0, 0, 0, 0, 0, 0, 1]), (address, 0))
        else:
            one.sendto(b"x", (address, port))
        told.append([sport, address, ""])
    except OSError as error:
        told.append([sport, address, str(error)])
    made.append(one)
print(json.dumps(told))
"""


class Case(NamedTuple):
    """One packet: to an address, or to the address that a name gives; a ping's type is its port."""

    target: str
    protocol: str
    port: int
    v6: bool = False


class Sender:
    """Sends from one endpoint, each packet from a source port of its own."""

    def __init__(self, lab: Lab, endpoint: Endpoint) -> None:
        self._lab, self._endpoint = lab, endpoint
        self._port = 20000

    def send(self, cases: list[Case]) -> list[dict[str, Any] | None]:
        """The flow of each, in order; None: its name gave no address."""
        first = self._port
        self._port += len(cases)
        lines = [[c.target, c.protocol, c.port, first + n, c.v6] for n, c in enumerate(cases)]
        stdin = json.dumps(lines).encode()
        before = set(self._lab.flows()["uuid"])
        result = self._endpoint.run(["python3", "-c", _SENDER], timeout=60, stdin=stdin)
        assert result.ok, result
        told = json.loads(result.stdout)
        faults = [t for t in told if t[1] and t[2]]
        assert not faults, f"not sent: {faults}"
        keys = [_key(c, sport, address) for c, (sport, address, _) in zip(cases, told, strict=True)]
        wanted = {key for key in keys if key}
        rows = eventually(lambda: self._rows(wanted, before), 20.0, f"{len(wanted)} flows")
        return [rows.get(key) for key in keys]

    def look_up(self, names: list[str]) -> None:
        """Ask for names, A and AAAA, and nothing else."""
        code = (
            "import socket, sys\nfor name in sys.argv[1:]:\n    try:\n"
            "        socket.getaddrinfo(name, 443)\n    except socket.gaierror:\n        pass\n"
        )
        result = self._endpoint.run(["python3", "-c", code, *names], timeout=60)
        assert result.ok, result

    def _rows(self, wanted: set[str], before: set[str]) -> dict[str, dict[str, Any]]:
        flows = self._lab.flows()
        mine = flows[
            (flows.kind == "packet")
            & (flows.endpoint == self._endpoint.name)
            & (flows.direction == "EGRESS")
        ]
        found: dict[str, dict[str, Any]] = {}
        for row in mine.to_dict("records"):
            if row["uuid"] not in before:
                ping = str(row["protocol"]).startswith("ICMP")
                key = row["address"] if ping else str(int(row["source_port"]))
                found.setdefault(key, row)
        absent = wanted - found.keys()
        assert not absent, f"no flow yet of {sorted(absent)[:5]} ({len(absent)} of them)"
        return found


def _key(case: Case, sport: int, address: str) -> str:
    """By what a flow is known: its source port, a ping's destination; '': nothing was sent."""
    return (address if case.protocol.startswith("ICMP") else str(sport)) if address else ""


# ---------------------------------------------------------------- policies


def _ports(rng: random.Random) -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = []
    for _ in range(rng.randint(1, 2)):
        one: dict[str, Any] = {
            "port": str(rng.choice((*PORTS[:5], 8000))),
            "protocol": rng.choice(("TCP", "TCP", "UDP", "ANY")),
        }
        if one["port"] == "8000":
            one["endPort"] = 8100
        ports.append(one)
    return [{"ports": ports}]


def _peer(rng: random.Random, names: list[str], deny: bool) -> dict[str, Any]:
    kind = rng.choice(("fqdn", "fqdn", "cidr", "cidrset", "entity", "endpoints"))
    if kind == "fqdn" and not deny:
        chosen = [{"matchName": n} for n in rng.sample(names, 2)]
        pattern = {"matchPattern": rng.choice(("*.a.test", "**.test", "x*.b.test"))}
        return {"toFQDNs": [*chosen, pattern] if rng.random() < 0.5 else chosen}
    if kind == "cidr":
        nets = ("198.51.100.0/25", "198.51.100.128/28", "2001:db8::/120", "203.0.113.7/32")
        return {"toCIDR": [rng.choice(nets)]}
    if kind == "cidrset":
        return {"toCIDRSet": [{"cidr": "198.51.0.0/16", "except": ["198.51.100.32/27"]}]}
    if kind == "endpoints":
        return {"toEndpoints": [{"matchLabels": {"app": rng.choice(("db", "nobody"))}}]}
    return {"toEntities": [rng.choice(("world", "all", "cluster", "host"))]}


_ECHO = (("IPv4", 8), ("IPv6", 128))


def _rule(rng: random.Random, names: list[str], deny: bool = False) -> dict[str, Any]:
    rule = _peer(rng, names, deny)
    if "toFQDNs" not in rule and rng.random() < 0.2:
        return {**rule, "icmps": [{"fields": [{"family": f, "type": t} for f, t in _ECHO]}]}
    if "toEntities" in rule or rng.random() < 0.8:
        rule["toPorts"] = _ports(rng)
    return rule


def _document(name: str, spec: dict[str, Any], clusterwide: bool = False) -> dict[str, Any]:
    return {
        "apiVersion": "cilium.io/v2",
        "kind": f"Cilium{'Clusterwide' if clusterwide else ''}NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"endpointSelector": {"matchLabels": WEB}, **spec},
    }


def _kubernetes() -> dict[str, Any]:
    block = {"cidr": "198.51.100.0/26", "except": ["198.51.100.8/29"]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "kubernetes"},
        "spec": {
            "podSelector": {"matchLabels": WEB},
            "policyTypes": ["Egress"],
            "egress": [
                {"to": [{"ipBlock": block}], "ports": [{"protocol": "TCP", "port": 8080}]},
                {"to": [{"podSelector": {"matchLabels": {"app": "db"}}}]},
            ],
        },
    }


def policies(rng: random.Random, names: list[str], default_deny: bool = True) -> str:
    """YAML of two to five policies; the first has the rules for DNS."""
    dns = {
        "toEndpoints": [
            {
                "matchLabels": {
                    "k8s:io.kubernetes.pod.namespace": "kube-system",
                    "k8s-app": "kube-dns",
                }
            }
        ],
        "toPorts": [
            {
                "ports": [{"port": "53", "protocol": "ANY"}],
                "rules": {"dns": [{"matchPattern": p} for p in ("*.a.test", "*.b.test")]},
            }
        ],
    }
    fixed = {"toFQDNs": [{"matchPattern": "*.a.test"}]} | {
        "toPorts": [{"ports": [{"port": "443", "protocol": "TCP"}]}]
    }
    documents = [_document("base", {"egress": [dns, fixed]})]
    for n in range(rng.randint(1, 3)):
        spec: dict[str, Any] = {"egress": [_rule(rng, names) for _ in range(rng.randint(1, 3))]}
        if rng.random() < 0.6:
            spec["egressDeny"] = [_rule(rng, names, deny=True)]
        if rng.random() < 0.2:
            spec["enableDefaultDeny"] = {"egress": False}
        documents.append(_document(f"random-{n}", spec, rng.random() < 0.25))
    if not default_deny:
        for document in documents:
            document["spec"]["enableDefaultDeny"] = {"egress": False}
    elif rng.random() < 0.4:
        documents.append(_kubernetes())
    return write_documents(*documents)
