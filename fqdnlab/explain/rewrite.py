"""Policies rewritten so that one packet passes: denials that cover it go, an allowance is added."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from fqdnlab.errors import PolicyError
from fqdnlab.explain.additions import (
    added_to,
    dns_rule,
    open_protocols,
    own_labels,
    plain_document,
)
from fqdnlab.explain.case import SOMEWHERE, Case
from fqdnlab.explain.decide import Mind, resolves
from fqdnlab.explain.facts import Facts, Known
from fqdnlab.model.mapstate import DENY, RuleRef
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.yaml_text import write_documents

__all__ = ["Rewriter", "look_up_allowed"]

_NAME = re.compile(r"([-a-zA-Z0-9_]+[.]?)+")
_MOST = 16  # rules that may deny one packet
_PLACE = re.compile(r"(spec|specs\[(\d+)\])\.egressDeny\[(\d+)\]")


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
            document = self._documents.get(rule.policy) or plain_document(policy)
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
            rules.append(dns_rule(self._name, open_protocols(self._facts, mind, case.who)))
        known = [Known(case.who.name, name, case.address)]
        if learns and self._passes(Mind(self._facts, policies.values(), more=known)):
            peer = None  # the most common mistake: the name is allowed, its look-up is not
        if peer is not None:
            rules.append({**peer, **_ports(case)})
        if not rules:
            return ""
        name = f"allow-{case.who.name}-{_slug(self._name or case.address)}"
        key, document = added_to(self._facts, policies, self._documents, case.who, name, rules)
        self._documents[key] = document
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
            labels = own_labels(identity.labels)
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


def look_up_allowed(facts: Facts, case: Case) -> tuple[tuple[Policy, ...], str]:
    """Policies with one more that lets the case's name be looked up, and its YAML ('': none)."""
    name = case.name.rstrip(".")
    policies = {p.key: p for p in facts.policies or ()}
    title = f"allow-look-up-{case.who.name}-{_slug(name)}"
    try:
        rule = dns_rule(name, open_protocols(facts, Mind(facts), case.who))
        _, document = added_to(facts, policies, {}, case.who, title, [rule])
        text = write_documents(document)
        policies.update((p.key, p) for p in parse_policies(text))
    except PolicyError:
        return (), ""
    return tuple(policies.values()), text


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _remove(document: dict[str, Any], path: str) -> None:
    """Take the rule at `path` away; what would be left empty keeps its default deny."""
    place = _PLACE.fullmatch(path)
    if place is None:
        raise LookupError(path)
    spec = document["spec"] if place[2] is None else document["specs"][int(place[2])]
    del spec["egressDeny"][int(place[3])]
    if not spec["egressDeny"]:
        del spec["egressDeny"]
        if not spec.get("egress"):
            spec["egress"] = [{}]  # selects its endpoints, and allows nothing


def _ports(case: Case) -> dict[str, Any]:
    if case.protocol in ("ICMPv4", "ICMPv6"):
        family = "IPv4" if case.protocol == "ICMPv4" else "IPv6"
        return {"icmps": [{"fields": [{"family": family, "type": case.port}]}]}
    return {"toPorts": [{"ports": [{"port": str(case.port), "protocol": case.protocol}]}]}
