"""Facts from what a lab's services tell: live ones, or a recording of them.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from fqdnlab.agent.cluster import cluster_labels
from fqdnlab.agent.identities import world
from fqdnlab.errors import PolicyError
from fqdnlab.explain.facts import DecidingRule, Facts, Known, Source, Workload
from fqdnlab.explain.kernel import KernelMaps
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.settings import LabSettings
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.world.client_names import RecordsOf

__all__ = ["facts_of_lab", "parse_saved"]


def facts_of_lab(
    evidence: pb.EvidenceReply,
    status: pb.NodeStatus,
    queries: Iterable[Mapping[str, Any]] | None,
    zones: Iterable[RecordsOf] | None,
    source: Source = "lab",
) -> Facts:
    """The facts of one moment.

    Parameters
    ----------
    evidence, status
        Of the node service.
    queries : iterable of dict, or None
        DNS outcomes; None: the observer does not tell.
    zones : iterable of RecordsOf, or None
        Records of the world; None: it does not tell.
    source : {"lab", "recording"}
    """
    missing = list(evidence.missing)
    policies, faults = _policies(evidence)
    rules, labels = _rules(evidence.rules)
    no_maps = any(m.startswith("the kernel's maps:") for m in missing)
    no_agent = any(m.startswith("the agent's saved state:") for m in missing)
    entries = ((e.map, e.key, e.value) for e in evidence.entry)
    return Facts(
        source=source,
        time=evidence.time,
        settings=LabSettings.from_json(status.settings),
        endpoints=tuple(_workload(e) for e in status.endpoint),
        policies=None if no_agent else policies,
        mappings=None if no_agent else tuple(_known(m) for m in evidence.mapping),
        kept=tuple(_known(m) for m in evidence.kept),
        maps=None if no_maps else KernelMaps(entries),
        rules=rules,
        labels=labels,
        queries=None if queries is None else tuple(queries),
        zones=None if zones is None else tuple(zones),
        processes={p.name: p.state for p in reversed(status.process)},
        missing=(*missing, *faults),
    )


def parse_saved(saved: pb.SavedPolicy) -> Policy:
    """A policy with its places as they are in its file.

    Raises
    ------
    PolicyError
        If it is none (any more).
    """
    return _placed(saved.yaml, saved.file, saved.namespace or "default", saved.line)


@lru_cache(maxsize=1024)  # the same from one explanation to the next
def _placed(text: str, file: str, namespace: str, line: int) -> Policy:
    (policy,) = parse_policies(text, file, namespace)
    above = "\n" * max(0, line - policy.line)
    if above:
        (policy,) = parse_policies(above + text, file, namespace)
    return replace(policy, yaml=text)


def _policies(evidence: pb.EvidenceReply) -> tuple[tuple[Policy, ...], list[str]]:
    found, faults = [], []
    for saved in evidence.policy:
        try:
            found.append(parse_saved(saved))
        except (PolicyError, ValueError) as error:
            faults.append(f"the policy {saved.namespace}/{saved.name}: {error}")
    return tuple(found), faults


def _workload(message: pb.Endpoint) -> Workload:
    namespace = message.namespace or "default"
    labels = cluster_labels(namespace, dict(message.labels))
    addresses = tuple(a for a in (message.ip4, message.ip6) if a)
    return Workload(message.id, message.name, namespace, labels, addresses)


def _known(m: pb.MappingRecord) -> Known:
    return Known(
        endpoint=m.endpoint,
        name=m.fqdn,
        address=m.ip,
        ttl=m.ttl,
        learned=m.lookup_time or None,
        expires=m.expiration_time or None,
        state=m.state,
        source=m.source,
    )


def _rules(text: str) -> tuple[dict[int, DecidingRule], dict[int, tuple[str, ...]]]:
    body = json.loads(text or "{}")
    rules = {}
    for number, given in body.get("rules", {}).items():
        owner = f"{given['namespace']}/{given['policy']}" if given["namespace"] else given["policy"]
        rules[int(number)] = DecidingRule(
            policy=owner,
            kind=given["kind"],
            path=given.get("path", ""),
            index=int(number),
            text=given["text"],
            file=given["file"],
            line=given["line"],
        )
    labels = {int(n): tuple(v) for n, v in body.get("identities", {}).items()}
    for number, family in ((9, 4), (10, 6)):
        labels.setdefault(number, tuple(world(family).label_list()))
    return rules, labels
