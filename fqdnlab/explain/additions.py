"""Rules that are added for one endpoint, taking away nothing that passes.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from fqdnlab.explain.decide import Mind
from fqdnlab.explain.facts import Facts, Workload
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.model.yaml_text import plain, write_documents

__all__ = ["added_to", "dns_rule", "open_protocols", "own_labels", "plain_document"]

Key = tuple[str, str, str]
Document = dict[str, Any]

_KIND = "CiliumNetworkPolicy"
_META = ("io.kubernetes.pod.namespace", "io.cilium.k8s.")
_KUBE_DNS = {"k8s:io.kubernetes.pod.namespace": "kube-system", "k8s-app": "kube-dns"}
_DNS = {"UDP": 17, "TCP": 6}


def added_to(
    facts: Facts,
    policies: Mapping[Key, Policy],
    changed: Mapping[Key, Document],
    who: Workload,
    name: str,
    rules: list[Document],
) -> tuple[Key, Document]:
    """The policy `name` for `who` with `rules` beside those that it has.

    One of that name that is for others, or is not enforced, is left alone: the next free name is
    taken.  Endpoints that it selects too, and that nothing isolates yet, stay so.

    Parameters
    ----------
    facts : Facts
    policies : mapping
        As they are now, by key.
    changed : mapping
        Documents that are rewritten already.
    who : Workload
    name : str
    rules : list of dict
        For ``egress``.
    """
    for n in count(1):
        key = (_KIND, who.namespace, name if n == 1 else f"{name}-{n}")
        document = _document(who, key[2])
        if key in policies:
            there = changed.get(key) or _extensible(policies[key], facts, document)
            if there is None:
                continue
            document = there
        spec = document["spec"]
        had = spec.get("egress") or []
        spec["egress"] = [*had, *(r for r in rules if r not in had)]
        if _isolates(facts, policies, document):
            spec["enableDefaultDeny"] = {**spec.get("enableDefaultDeny", {}), "egress": False}
        return key, document
    raise AssertionError  # count() has no end


def _extensible(policy: Policy, facts: Facts, wanted: Document) -> Document | None:
    """The document of `policy`, where a rule that is added to it has effect on `wanted`'s own."""
    if policy.obstacles(facts.settings.profile):
        return None
    try:
        document = plain_document(policy)
    except LookupError:
        return None
    spec = document.get("spec") or {}
    same = spec.get("endpointSelector") == wanted["spec"]["endpointSelector"]
    return document if same else None


def _isolates(facts: Facts, policies: Mapping[Key, Policy], document: Document) -> bool:
    """Whether an endpoint that may send anywhere now could not, with `document`."""
    changed = {**policies, **{p.key: p for p in parse_policies(write_documents(document))}}
    before, after = Mind(facts, policies.values()), Mind(facts, changed.values())
    return any(_isolated(after, e) and not _isolated(before, e) for e in facts.endpoints)


def _isolated(mind: Mind, who: Workload) -> bool:
    compiled = mind.compiled(who)
    return compiled is not None and compiled.default_deny


def plain_document(policy: Policy) -> Document:
    """A policy's own document; LookupError if it has none."""
    roots = [d.root for d in read_documents(policy.yaml) if d.root is not None]
    if len(roots) != 1:
        raise LookupError(f"{policy.name} has no text of its own")
    document: Document = plain(roots[0])
    document["metadata"] = {"name": policy.name, **document.get("metadata", {})}
    if policy.namespace:
        document["metadata"]["namespace"] = policy.namespace
    return document


def own_labels(labels: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels that somebody gave, without those of the namespace."""
    named = {key.partition(":")[2]: value for key, value in labels if key.startswith("k8s:")}
    return {k: v for k, v in named.items() if not k.startswith(_META)}


def _document(who: Workload, name: str) -> Document:
    labels = own_labels(who.labels)
    return {
        "apiVersion": "cilium.io/v2",
        "kind": _KIND,
        "metadata": {"name": name, "namespace": who.namespace},
        "spec": {"endpointSelector": {"matchLabels": labels} if labels else {}},
    }


def open_protocols(facts: Facts, mind: Mind, who: Workload) -> tuple[str, ...]:
    """Protocols by which every name can be asked for now, past the proxy, by `who` or its like."""
    like = set(own_labels(who.labels).items())
    them = [
        e
        for e in facts.endpoints
        if e.namespace == who.namespace and like <= set(own_labels(e.labels).items())
    ]
    return tuple(
        word
        for word, proto in _DNS.items()
        if any(mind.ask(e, facts.server, "x.", proto).outcome == "unproxied" for e in them)
    )


def dns_rule(name: str, opened: tuple[str, ...]) -> Document:
    """Lets `name` be asked for through the proxy; by `opened` protocols every other name still."""
    ports: list[Document] = [
        {
            "ports": [{"port": "53", "protocol": "ANY"}],
            "rules": {"dns": [{"matchName": name}]},
        }
    ]
    if opened:  # beside a rule for names, a plain one for the same port lets all names pass
        ports.append({"ports": [{"port": "53", "protocol": word} for word in opened]})
    return {"toEndpoints": [{"matchLabels": dict(_KUBE_DNS)}], "toPorts": ports}
