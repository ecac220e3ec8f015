"""A policy as it is understood: frozen, free of YAML, with the places it came from.

Made by `fqdnlab.model.policy_parser`, judged by `status` and `lint`, compiled by `mapstate`.
The fields follow Cilium's CiliumNetworkPolicy (``cilium.io/v2``), egress alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

__all__ = [
    "ENTITIES",
    "CIDRPeer",
    "Entity",
    "FQDNSelector",
    "FieldStatus",
    "ICMPType",
    "LabelRequirement",
    "LabelSelector",
    "Peer",
    "Policy",
    "PortProtocol",
    "PortRule",
    "Protocol",
    "Rule",
    "Spec",
]

Protocol = Literal["TCP", "UDP", "SCTP", "ANY"]
Profile = Literal["cilium", "acns"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What ``toEntities`` may name (Cilium 1.20).
ENTITIES = (
    "all",
    "world",
    "world-ipv4",
    "world-ipv6",
    "cluster",
    "cluster-mesh",
    "host",
    "init",
    "ingress",
    "unmanaged",
    "remote-node",
    "health",
    "none",
    "kube-apiserver",
)


@dataclass(frozen=True)
class FQDNSelector:
    """One item of ``toFQDNs`` or ``rules.dns``: exactly one of the two is set.

    Attributes
    ----------
    match_name, match_pattern : str
        As written.
    """

    match_name: str = ""
    match_pattern: str = ""

    @property
    def text(self) -> str:
        """``matchName api.example.com`` or ``matchPattern *.example.com``."""
        if self.match_name:
            return f"matchName {self.match_name}"
        return f"matchPattern {self.match_pattern}"

    @property
    def pattern(self) -> str:
        """The name or the pattern, lower case and with a final dot (as Cilium labels it)."""
        text = (self.match_name or self.match_pattern).lower()
        return text if text.endswith(".") else text + "."

    @property
    def label(self) -> str:
        """The label of an identity that this selector selects: ``fqdn:*.example.com``."""
        return f"fqdn:{self.match_name or self.match_pattern}"


@dataclass(frozen=True)
class LabelRequirement:
    """One requirement on labels.

    Attributes
    ----------
    key : str
        ``source:name``; source ``any`` stands for every source.
    operator : {"In", "NotIn", "Exists", "DoesNotExist"}
    values : tuple of str
    """

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` (``source:name`` → value) meet it (as in Kubernetes)."""
        source, _, name = self.key.partition(":")
        if source == "any":
            found = [v for k, v in labels.items() if k.partition(":")[2] == name]
        else:
            found = [labels[self.key]] if self.key in labels else []
        if self.operator == "Exists":
            return bool(found)
        if self.operator == "DoesNotExist":
            return not found
        hit = any(v in self.values for v in found)
        return hit if self.operator == "In" else not hit


@dataclass(frozen=True)
class LabelSelector:
    """Requirements that must all hold; none: everything that has labels of the cluster."""

    requirements: tuple[LabelRequirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` (``source:name`` → value) meet every requirement."""
        return all(r.matches(labels) for r in self.requirements)

    @property
    def text(self) -> str:
        """In the words of kubectl: ``k8s:app=web,any:tier in (a,b)``."""
        words = {"Exists": "{k}", "DoesNotExist": "!{k}", "NotIn": "{k} notin ({v})"}
        parts = []
        for r in self.requirements:
            plain = "{k}={v}" if len(r.values) == 1 else "{k} in ({v})"
            template = words.get(r.operator, plain)
            parts.append(template.format(k=r.key, v=",".join(r.values)))
        return ",".join(parts) or "{}"


@dataclass(frozen=True)
class CIDRPeer:
    """A network without some parts (``toCIDR``, ``toCIDRSet``, ``ipBlock``)."""

    network: Network
    excepted: tuple[Network, ...] = ()

    @property
    def text(self) -> str:
        """``10.0.0.0/8 except 10.1.0.0/16``."""
        parts = ", ".join(str(n) for n in self.excepted)
        return f"{self.network} except {parts}" if parts else str(self.network)


@dataclass(frozen=True)
class Entity:
    """One of `ENTITIES`."""

    name: str

    @property
    def text(self) -> str:
        """``entity world``."""
        return f"entity {self.name}"


Peer = FQDNSelector | LabelSelector | CIDRPeer | Entity


@dataclass(frozen=True)
class PortProtocol:
    """One item of ``toPorts[].ports``.

    Attributes
    ----------
    port : int
        0: every port.
    end_port : int
        Last port of a range; 0 or not above `port`: `port` alone.
    protocol : {"TCP", "UDP", "SCTP", "ANY"}
    name : str
        A service name instead of a number: of the peer's container ports, which peers of ours
        do not have; it selects nothing.
    """

    port: int
    end_port: int = 0
    protocol: Protocol = "ANY"
    name: str = ""

    @property
    def text(self) -> str:
        """``443/TCP`` or ``8000-8080/ANY``."""
        port = self.name or str(self.port)
        if self.end_port > self.port and not self.name:
            port = f"{port}-{self.end_port}"
        return f"{port}/{self.protocol}"


@dataclass(frozen=True)
class PortRule:
    """One item of ``toPorts``.

    Attributes
    ----------
    ports : tuple of PortProtocol
        Empty: it selects nothing.
    dns : tuple of FQDNSelector
        ``rules.dns``; empty: no redirect.
    """

    ports: tuple[PortProtocol, ...]
    dns: tuple[FQDNSelector, ...] = ()


@dataclass(frozen=True)
class ICMPType:
    """One item of ``icmps[].fields``."""

    family: Literal[4, 6]
    type: int


@dataclass(frozen=True)
class Rule:
    """One item of ``egress`` or ``egressDeny``.

    Attributes
    ----------
    deny : bool
    index : int
        Its place in the list.
    peers : tuple of Peer, or None
        None: no L3 field, every peer; empty: selects nothing.
    ports : tuple of PortRule, or None
        None: every port and protocol, ICMP too.
    icmps : tuple of ICMPType, or None
    path : str
        ``spec.egress[1]``.
    line : int
        In the file, from 1.
    """

    deny: bool
    index: int
    peers: tuple[Peer, ...] | None
    ports: tuple[PortRule, ...] | None = None
    icmps: tuple[ICMPType, ...] | None = None
    path: str = ""
    line: int = 0


@dataclass(frozen=True)
class Spec:
    """One ``spec``: whom it selects, and what for.

    Attributes
    ----------
    subject : LabelSelector
        With the policy's namespace folded in.
    rules : tuple of Rule
    default_deny : bool
        ``enableDefaultDeny.egress``, its default worked out: whether selection alone denies.
    egress : bool
        Whether the spec has anything to do with egress.
    """

    subject: LabelSelector
    rules: tuple[Rule, ...]
    default_deny: bool
    egress: bool = True

    @cached_property
    def digest(self) -> str:
        """Equal for equal contents only."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


@dataclass(frozen=True)
class FieldStatus:
    """One remark on one field.

    Attributes
    ----------
    path : str
        ``spec.egress[0].toPorts[0].rules.http``.
    line : int
    reason : str
    profile : str
        ``cilium``, ``acns``, or empty for both.
    voids : bool
        Whether it makes the whole policy without effect (``ingress`` does not).
    """

    path: str
    line: int
    reason: str
    profile: str = ""
    voids: bool = True


@dataclass(frozen=True)
class Policy:
    """One policy document that was accepted.

    Attributes
    ----------
    kind : str
        ``CiliumNetworkPolicy``, ``CiliumClusterwideNetworkPolicy`` or ``NetworkPolicy``.
    namespace, name : str
        The namespace is empty for clusterwide ones.
    specs : tuple of Spec
    remarks : tuple of FieldStatus
        Fields that are valid and not enforced, under either profile.
    file, document, line : str, int, int
        Where it came from; documents count from 0.
    yaml : str
        Its text.
    """

    kind: str
    namespace: str
    name: str
    specs: tuple[Spec, ...]
    remarks: tuple[FieldStatus, ...] = ()
    file: str = ""
    document: int = 0
    line: int = 0
    yaml: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """(kind, namespace, name): what a second `apply` replaces."""
        return self.kind, self.namespace, self.name

    def obstacles(self, profile: str) -> tuple[FieldStatus, ...]:
        """Remarks that void the policy under `profile`; none: it is enforced."""
        return tuple(r for r in self.remarks if r.voids and r.profile in ("", profile))

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a spec with egress selects an endpoint of these labels."""
        return any(s.egress and s.subject.matches(labels) for s in self.specs)

    def rules(self) -> Iterable[Rule]:
        """All rules of all specs."""
        return (r for s in self.specs for r in s.rules)
