"""rules.json: what numbers in the kernel and in records stand for (docs/architecture.md)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fqdnlab.agent.state import AgentState
from fqdnlab.agent.store import write_atomically
from fqdnlab.model.mapstate import RuleRef
from fqdnlab.model.policy import FQDNSelector, Policy, Rule

__all__ = ["describe", "write_rules"]

_DNS = re.compile(r"(?P<rule>.*)\.toPorts\[(?P<ports>\d+)\](?:\.rules\.dns\[(?P<dns>\d+)\])?\Z")


def write_rules(path: Path, state: AgentState) -> None:
    """Write the file anew, atomically, readable by all."""
    body = {
        "revision": state.revision,
        "time": state.clock.to_row(),
        "rules": {str(n): _rule(state, ref) for ref, n in state.rules.items()},
        "endpoints": {str(e.id): _endpoint(state, e.id) for e in state.endpoints.values()},
        "identities": {str(n): i.label_list() for i, n in state.identities.items()},
    }
    write_atomically(path, json.dumps(body).encode(), 0o644)


def _endpoint(state: AgentState, endpoint_id: int) -> dict[str, Any]:
    endpoint = state.endpoints[endpoint_id]
    return {
        "name": endpoint.name,
        "namespace": endpoint.namespace,
        "labels": [f"k8s:{k}={v}" for k, v in endpoint.labels],
        "identity": state.identities.number(endpoint.identity),
        "ifname": endpoint.ifname,
        "ip4": endpoint.ip4,
        "ip6": endpoint.ip6,
    }


def _rule(state: AgentState, ref: RuleRef) -> dict[str, Any]:
    kind, namespace, name = ref.policy
    policy = state.policies.get(ref.policy)
    text, line = describe(policy, ref.path) if policy else (ref.path, 0)
    labels = [
        f"k8s:io.cilium.k8s.policy.derived-from={kind}",
        f"k8s:io.cilium.k8s.policy.name={name}",
    ]
    if namespace:
        labels.append(f"k8s:io.cilium.k8s.policy.namespace={namespace}")
    places = ref.path.split("[")
    return {
        "policy": name,
        "namespace": namespace,
        "kind": kind,
        "direction": "egress",
        "index": int(places[-1].split("]")[0]) if len(places) > 1 else 0,
        "path": ref.path,
        "text": text,
        "file": policy.file if policy else "",
        "line": line,
        "labels": labels,
    }


def describe(policy: Policy, path: str) -> tuple[str, int]:
    """A rule in words, and its line: ``egress[1] matchName api.example.com 443/TCP``.

    Parameters
    ----------
    policy : Policy
    path : str
        Of a rule, or of a ``rules.dns`` item below it.
    """
    found = _DNS.match(path)
    rule_path = found["rule"] if found else path
    rule = next((r for r in policy.rules() if r.path == rule_path), None)
    if rule is None:
        return path, policy.line
    short = rule_path.removeprefix("spec.")
    if found and found["dns"] is not None:
        selector = _selector(rule, int(found["ports"]), int(found["dns"]))
        return (f"{short} rules.dns {selector.text}", rule.line) if selector else (path, rule.line)
    return f"{short} {_peers(rule)} {_ports(rule)}".strip(), rule.line


def _selector(rule: Rule, ports: int, item: int) -> FQDNSelector | None:
    """Nothing, if the policy was changed and has it no more: its number lives on."""
    if not rule.ports or ports >= len(rule.ports) or item >= len(rule.ports[ports].dns):
        return None
    return rule.ports[ports].dns[item]


def _peers(rule: Rule) -> str:
    if rule.peers is None:
        return "any peer"
    texts = [p.text for p in rule.peers]
    shown = ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")
    return shown or "no peer"


def _ports(rule: Rule) -> str:
    if rule.ports is None:
        return ""
    return ", ".join(item.text for ports in rule.ports for item in ports.ports)
