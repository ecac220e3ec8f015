"""Policies rewritten so that one packet passes: denials that cover it go, an allowance is added."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from fqdnlab.errors import PolicyError
from fqdnlab.explain.case import SOMEWHERE, Case
from fqdnlab.explain.decide import Mind, resolves
from fqdnlab.explain.facts import Facts, Known, Workload
from fqdnlab.model.mapstate import DENY, RuleRef
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.model.yaml_text import plain, write_documents

__all__ = ["Rewriter", "look_up_allowed"]

_NAME = re.compile(r"([-a-zA-Z0-9_]+[.]?)+")
_META = ("io.kubernetes.pod.namespace", "io.cilium.k8s.")
_MOST = 16  # rules that may deny one packet
_PLACE = re.compile(r"(spec|specs\[(\d+)\])\.egressDeny\[(\d+)\]")
_KUBE_DNS = {"k8s:io.kubernetes.pod.namespace": "kube-system", "k8s-app": "kube-dns"}


class Rewriter:
    """One change of policies.

    Parameters
    ----------
    facts : Facts
    case : Case
    name : str
        Allow the destination by this name; '': by its address or its labels.

    Attributes
    ----------
    text : str
        YAML of what is to be applied.
    words : str
        What it does.
    by_address : bool
        Whether the allowance is by address or labels, whatever the name.
    """

    def __init__(self, facts: Facts, case: Case, name: str) -> None:
        self._facts, self._case, self._name = facts, case, name.rstrip(".")
        self._documents: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.text = ""
        self.words = ""
        self.by_address = not name

    def policies(self) -> tuple[Policy, ...] | None:
        """All policies as they would be; None: there is no such change."""
        policies = {p.key: p for p in self._facts.policies or ()}
        try:
            removed = self._without_denials(policies)
            added = self._allowance(policies)
            self.text = write_documents(*self._documents.values())
            for policy in parse_policies(self.text) if self.text else ():
                policies[policy.key] = policy
        except (PolicyError, LookupError, TypeError):
            return None  # a document that cannot be rewritten
        if not self._documents:
            return None
        self.words = " and ".join(filter(None, (removed, added)))
        self.words = f"Apply a policy that {self.words}."
        return tuple(policies.values())

    # ------------------------------------------------------------ denials

    def _without_denials(self, policies: dict[tuple[str, str, str], Policy]) -> str:
        """Take out of the documents what denies the packet; say which rules."""
        gone: list[str] = []
        for _ in range(_MOST):
            rule = self._denial(policies)
            if rule is None:
                break
            policy = policies[rule.policy]
            document = self._documents.get(rule.policy) or _plain(policy)
            _remove(document, rule.path)
            self._documents[rule.policy] = document
            (policies[rule.policy],) = parse_policies(
                write_documents(document), policy.file, policy.namespace or "default"
            )
            gone.append(f"{policy.name} {rule.path}")
        return f"is without {', '.join(gone)}" if gone else ""

    def _denial(self, policies: dict[tuple[str, str, str], Policy]) -> RuleRef | None:
        case = self._case
        mind = Mind(self._facts, policies.values())
        found = mind.judge(case.who, case.address, case.proto, case.port)
        return found.rule if found.verdict == DENY else None

    # ------------------------------------------------------------ an allowance

    def _allowance(self, policies: dict[tuple[str, str, str], Policy]) -> str:
        """Add a policy that allows it, where something is missing; say what it allows."""
        case, name = self._case, f"{self._name}."
        mind = Mind(self._facts, policies.values())
        passes, found = self._passes(mind), resolves(self._facts, mind, case)
        if passes and found:
            self.by_address = True
            return ""
        peer, shown = (None, "") if passes else self._peer(mind)
        if peer is None and not passes:
            return ""
        self.by_address = self.by_address or passes
        rules: list[dict[str, Any]] = []
        learns = not self.by_address
        if not found or (learns and not self._learns(mind, name)):
            rules.append(_dns_rule(self._name))
        known = [Known(case.who.name, name, case.address)]
        if learns and self._passes(Mind(self._facts, policies.values(), more=known)):
            peer = None  # the most common mistake: the name is allowed, its look-up is not
        if peer is not None:
            rules.append({**peer, **_ports(case)})
        if not rules:
            return ""
        self._documents["CiliumNetworkPolicy", case.who.namespace, self._slug()] = _document(
            case.who, self._slug(), rules
        )
        return f"allows {shown}" if peer else f"allows the look-up of {self._name}"

    def _learns(self, mind: Mind, name: str) -> bool:
        return mind.ask(self._case.who, self._facts.server, name).outcome == "allowed"

    def _passes(self, mind: Mind) -> bool:
        case = self._case
        return mind.judge(case.who, case.address, case.proto, case.port).verdict != DENY

    def _peer(self, mind: Mind) -> tuple[dict[str, Any] | None, str]:
        address = self._case.address
        identity = mind.identity(address)
        if identity.kind == "endpoint":
            self.by_address = True
            labels = _own_labels(identity.labels)
            if not labels:
                return None, ""
            namespace = dict(identity.labels).get("k8s:io.kubernetes.pod.namespace", "default")
            match = {"k8s:io.kubernetes.pod.namespace": namespace, **labels}
            return {"toEndpoints": [{"matchLabels": match}]}, f"the endpoints {labels}"
        if self._name and _NAME.fullmatch(self._name):
            return {"toFQDNs": [{"matchName": self._name}]}, self._name
        if self._name or address == SOMEWHERE:
            return None, ""
        self.by_address = True
        bits = ipaddress.ip_address(address).max_prefixlen
        return {"toCIDR": [f"{address}/{bits}"]}, address

    def _slug(self) -> str:
        what = self._name or self._case.address
        return f"allow-{self._case.who.name}-{re.sub(r'[^a-z0-9]+', '-', what.lower()).strip('-')}"


def look_up_allowed(facts: Facts, case: Case) -> tuple[tuple[Policy, ...], str]:
    """Policies with one more that lets the case's name be looked up, and its YAML ('': none)."""
    name = case.name.rstrip(".")
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    document = _document(case.who, f"allow-look-up-{case.who.name}-{slug}", [_dns_rule(name)])
    text = write_documents(document)
    try:
        return (*(facts.policies or ()), *parse_policies(text)), text
    except PolicyError:
        return (), ""


def _plain(policy: Policy) -> dict[str, Any]:
    roots = [d.root for d in read_documents(policy.yaml) if d.root is not None]
    if len(roots) != 1:
        raise LookupError(f"{policy.name} has no text of its own")
    document = plain(roots[0])
    document["metadata"] = {"name": policy.name, **document.get("metadata", {})}
    if policy.namespace:
        document["metadata"]["namespace"] = policy.namespace
    found: dict[str, Any] = document
    return found


def _remove(document: dict[str, Any], path: str) -> None:
    """Take the rule at `path` away; what would be left empty keeps its default deny."""
    place = _PLACE.fullmatch(path)
    if place is None:
        raise LookupError(path)
    spec = document["spec"] if place[2] is None else document["specs"][int(place[2])]
    del spec["egressDeny"][int(place[3])]
    if not spec["egressDeny"]:
        del spec["egressDeny"]
        if not spec.get("egress") and not spec.get("ingress"):
            spec["egress"] = [{}]  # selects its endpoints, and allows nothing


def _own_labels(labels: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Labels that somebody gave, without those of the namespace."""
    named = {key.partition(":")[2]: value for key, value in labels if key.startswith("k8s:")}
    return {k: v for k, v in named.items() if not k.startswith(_META)}


def _document(who: Workload, name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    labels = _own_labels(who.labels)
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": name, "namespace": who.namespace},
        "spec": {
            "endpointSelector": {"matchLabels": labels} if labels else {},
            "egress": rules,
        },
    }


def _dns_rule(name: str) -> dict[str, Any]:
    return {
        "toEndpoints": [{"matchLabels": dict(_KUBE_DNS)}],
        "toPorts": [
            {
                "ports": [{"port": "53", "protocol": "ANY"}],
                "rules": {"dns": [{"matchName": name}]},
            }
        ],
    }


def _ports(case: Case) -> dict[str, Any]:
    if case.protocol in ("ICMPv4", "ICMPv6"):
        family = "IPv4" if case.protocol == "ICMPv4" else "IPv6"
        return {"icmps": [{"fields": [{"family": family, "type": case.port}]}]}
    return {"toPorts": [{"ports": [{"port": str(case.port), "protocol": case.protocol}]}]}
