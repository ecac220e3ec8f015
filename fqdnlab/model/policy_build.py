"""From a checked tree of a Cilium policy to its specs (way 1.1).

Everything here takes a tree without faults: what could be wrong was found before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

from fqdnlab.model.policy import (
    CIDRPeer,
    Entity,
    FQDNSelector,
    ICMPType,
    LabelRequirement,
    LabelSelector,
    Peer,
    PortProtocol,
    PortRule,
    Protocol,
    Rule,
    Spec,
)
from fqdnlab.model.policy_checks import specs_of, walk
from fqdnlab.model.policy_values import (
    icmp_type,
    label_key,
    network,
    port_number,
    whole_number,
)
from fqdnlab.model.yaml_nodes import Mapping, Node, Scalar

__all__ = [
    "IN_CLUSTER",
    "NAMESPACE",
    "NAMESPACE_LABELS",
    "cilium_specs",
    "in_namespace",
    "requirements",
]

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]

#: The label that tells a pod's namespace, and the start of those that tell its namespace's labels.
NAMESPACE = "io.kubernetes.pod.namespace"
NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels."

_SUBJECT_NAMESPACE = f"k8s:{NAMESPACE}"
#: What every endpoint of the cluster meets, and nothing else.
IN_CLUSTER = LabelRequirement(_SUBJECT_NAMESPACE, "Exists")
#: Keys by which a selector names namespaces itself.
_NAMESPACE_KEYS = tuple(
    f"{source}:{key}" for source in ("k8s", "any") for key in (NAMESPACE, NAMESPACE_LABELS)
)
_NAMESPACE_ITSELF = (_SUBJECT_NAMESPACE, f"any:{NAMESPACE}")
#: Lists that select nothing when they are empty, whatever stands beside them.
_PEER_LISTS = ("toEndpoints", "toNodes", "toEntities", "toCIDR", "toCIDRSet", "toFQDNs")
#: As the former, but Cilium takes an empty one for every peer; nothing here becomes wider so.
_OTHER_LISTS = ("toServices", "toGroups")


def cilium_specs(root: Node, namespace: str) -> tuple[Spec, ...]:
    """The specs of a CiliumNetworkPolicy, or of a clusterwide one where `namespace` is empty."""
    return tuple(_spec(spec, path, namespace) for path, spec in specs_of(root))


def _spec(spec: Node, path: str, namespace: str) -> Spec:
    found = spec.get("endpointSelector") or spec.get("nodeSelector")
    subject = requirements(found, "any")
    if namespace:
        kept = (r for r in subject if (r.key, r.operator) != (_SUBJECT_NAMESPACE, "In"))
        subject = [*kept, in_namespace(namespace)]
    rules = tuple(
        _rule(item, place, index, key == "egressDeny", namespace)
        for key in ("egress", "egressDeny")
        for index, (place, item) in enumerate(walk(spec, key, path))
    )
    return Spec(
        subject=LabelSelector(tuple(subject)),
        rules=rules,
        default_deny=bool(rules) and _default_deny(spec),
        egress=bool(rules),
    )


def _default_deny(spec: Node) -> bool:
    switch = spec.get("enableDefaultDeny")
    stated = switch.get("egress") if switch is not None else None
    return not (isinstance(stated, Scalar) and stated.value is False)


def requirements(selector: Node | None, source: str) -> list[LabelRequirement]:
    """What a label selector asks for; keys without a source get `source`."""
    found: list[LabelRequirement] = []
    labels = selector.get("matchLabels") if selector is not None else None
    if isinstance(labels, Mapping):
        for key, value in labels.entries.items():
            found.append(LabelRequirement(label_key(key, source), "In", (value.text() or "",)))
    for _, item in walk(selector, "matchExpressions", ""):
        values = tuple(value.text() or "" for _, value in walk(item, "values", ""))
        operator = cast("Operator", _text(item, "operator"))
        found.append(LabelRequirement(label_key(_text(item, "key"), source), operator, values))
    return found


def in_namespace(namespace: str) -> LabelRequirement:
    """The requirement that ties a namespaced policy to its namespace."""
    return LabelRequirement(_SUBJECT_NAMESPACE, "In", (namespace,))


def _text(node: Node, key: str) -> str:
    found = node.get(key)
    return (found.text() if found is not None else None) or ""


def _rule(item: Node, path: str, index: int, deny: bool, namespace: str) -> Rule:
    peers = _peers(item, namespace)
    ports = tuple(_port_rule(part) for _, part in walk(item, "toPorts", path)) or None
    icmps = _icmps(item)
    if peers is None and ports is None and icmps is None:
        peers = ()  # a rule that says nothing selects nothing
    return Rule(deny, index, peers, ports, icmps, path, item.line)


def _peers(item: Node, namespace: str) -> tuple[Peer, ...] | None:
    lists = [node for key in (*_PEER_LISTS, *_OTHER_LISTS) if (node := item.get(key)) is not None]
    if not lists:
        return None
    if any(not node.items() for node in lists):
        return ()
    peers: list[Peer] = []
    for _, part in walk(item, "toEndpoints", ""):
        peers.append(_endpoints(part, namespace))
    for _, part in walk(item, "toEntities", ""):
        # There is one cluster here: the mesh is no more.
        peers.append(Entity((part.text() or "").removesuffix("-mesh")))
    for _, part in walk(item, "toCIDR", ""):
        peers.append(CIDRPeer(network(part.text() or "")))
    for _, part in walk(item, "toCIDRSet", ""):
        peers += _cidr_rule(part)
    for _, part in walk(item, "toFQDNs", ""):
        peers.append(_fqdn(part))
    return tuple(peers)


def _endpoints(selector: Node, namespace: str) -> LabelSelector:
    """An item of ``toEndpoints``, in the policy's namespace unless it names one itself.

    Cilium also ties it to the cluster, so that what asks only for the absence of labels is not the
    world; here every endpoint of the cluster has a namespace, and nothing else does.
    """
    found = requirements(selector, "any")
    keys = {r.key for r in found}
    if any(key.startswith("reserved:") for key in keys):
        return LabelSelector(tuple(found))
    if namespace and not any(key.startswith(_NAMESPACE_KEYS) for key in keys):
        found.append(in_namespace(namespace))
    elif not any(r.key in _NAMESPACE_ITSELF and r.operator in ("In", "Exists") for r in found):
        found.append(IN_CLUSTER)
    return LabelSelector(tuple(found))


def _cidr_rule(item: Node) -> Iterable[CIDRPeer]:
    if item.get("cidr") is not None:  # groups are not enforced; the policy is without effect
        excepted = tuple(network(part.text() or "") for _, part in walk(item, "except", ""))
        yield CIDRPeer(network(_text(item, "cidr")), excepted)


def _fqdn(item: Node) -> FQDNSelector:
    return FQDNSelector(_text(item, "matchName"), _text(item, "matchPattern"))


def _port_rule(item: Node) -> PortRule:
    ports = tuple(_port(part) for _, part in walk(item, "ports", ""))
    dns = tuple(_fqdn(part) for _, part in walk(item.get("rules"), "dns", ""))
    return PortRule(ports, dns)


def _port(item: Node) -> PortProtocol:
    number = port_number(_text(item, "port"))
    protocol = _text(item, "protocol") or "ANY"
    known = protocol if protocol in ("TCP", "UDP", "SCTP") else "ANY"
    end = 0 if number.name else whole_number(item.get("endPort"))
    return PortProtocol(number.port, end, cast("Protocol", known), number.name)


def _icmps(item: Node) -> tuple[ICMPType, ...] | None:
    """None: no icmps, or an empty list of them, which says nothing."""
    if not list(walk(item, "icmps", "")):
        return None
    fields = (field for _, part in walk(item, "icmps", "") for _, field in walk(part, "fields", ""))
    return tuple(found for field in fields if (found := icmp_type(field)) is not None)
