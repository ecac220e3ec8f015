"""NetworkPolicy of Kubernetes (``networking.k8s.io/v1``): its checks, and its egress as specs."""

from __future__ import annotations

from typing import cast

from fqdnlab.model.policy import (
    CIDRPeer,
    LabelRequirement,
    LabelSelector,
    Peer,
    PortProtocol,
    PortRule,
    Protocol,
    Rule,
    Spec,
)
from fqdnlab.model.policy_build import (
    IN_CLUSTER,
    NAMESPACE,
    NAMESPACE_LABELS,
    in_namespace,
    requirements,
)
from fqdnlab.model.policy_checks import Faults, check_selector, walk, within
from fqdnlab.model.policy_values import is_service_name, network, network_problem, whole_number
from fqdnlab.model.yaml_nodes import Mapping, Node, Scalar, Sequence

__all__ = ["check_kubernetes", "kubernetes_specs", "without_nulls"]

_TEXT_MAPS = ("matchLabels", "labels", "annotations")


def without_nulls(node: Node, key: str = "") -> Node:
    """`node` as the API server reads null in its own kinds: a field that is not there.

    Custom resources have a schema, which refuses null.  In a list null is an item without fields;
    as a label's value it is the empty text.
    """
    if isinstance(node, Sequence):
        items = (
            Mapping(v.line, {}) if isinstance(v, Scalar) and v.value is None else without_nulls(v)
            for v in node.values
        )
        return Sequence(node.line, tuple(items))
    if not isinstance(node, Mapping):
        return node
    entries: dict[str, Node] = {}
    for name, value in node.entries.items():
        if not isinstance(value, Scalar) or value.value is not None:
            entries[name] = without_nulls(value, name)
        elif key in _TEXT_MAPS:
            entries[name] = Scalar(value.line, "")
    return Mapping(node.line, entries, node.key_lines)


def check_kubernetes(root: Node, faults: Faults) -> None:
    """Append to `faults` what the API server of Kubernetes would refuse beyond shapes."""
    spec = root.get("spec")
    if spec is None:
        return
    if (selector := spec.get("podSelector")) is not None:
        check_selector(selector, "spec.podSelector", faults)
    for key, way in (("egress", "to"), ("ingress", "from")):
        for path, rule in walk(spec, key, "spec"):
            for place, peer in walk(rule, way, path):
                _check_peer(peer, place, faults)
            for place, port in walk(rule, "ports", path):
                _check_port(port, place, faults)


def _check_peer(peer: Node, path: str, faults: Faults) -> None:
    selectors = [key for key in ("podSelector", "namespaceSelector") if peer.get(key) is not None]
    for key in selectors:
        if (selector := peer.get(key)) is not None:
            check_selector(selector, f"{path}.{key}", faults)
    block = peer.get("ipBlock")
    if block is None:
        return
    if selectors:
        faults.add(f"{path}.ipBlock", block, f"no {' and '.join(selectors)} is expected beside it")
    cidr = block.get("cidr")
    text = cidr.text() if cidr is not None else None
    if cidr is None or text is None:
        return
    if problem := network_problem(text):
        faults.add(f"{path}.ipBlock.cidr", cidr, problem)
        return
    for place, part in walk(block, "except", f"{path}.ipBlock"):
        if (part_text := part.text()) is not None:
            problem = network_problem(part_text) or within(part_text, network(text))
            if not problem and network(part_text) == network(text):
                problem = f"a part of {text} is expected, not all of it"
            faults.add(place, part, problem)


def _check_port(port: Node, path: str, faults: Faults) -> None:
    node, end = port.get("port"), port.get("endPort")
    name = node.text() if node is not None else None
    if node is not None and name is not None and not is_service_name(name):
        faults.add(f"{path}.port", node, f"the name of a port is expected, not {name!r}")
    if end is not None and (node is None or name is not None):
        faults.add(f"{path}.endPort", end, "a port that is a number is expected beside it")
    elif end is not None and whole_number(end) < whole_number(node):
        faults.add(f"{path}.endPort", end, "no less than the port is expected")


def kubernetes_specs(root: Node, namespace: str) -> tuple[Spec, ...]:
    """The egress part of a NetworkPolicy without faults, as Cilium reads it."""
    spec = root.get("spec")
    if spec is None:
        return ()
    rules = tuple(
        _rule(item, path, index, namespace)
        for index, (path, item) in enumerate(walk(spec, "egress", "spec"))
    )
    types = {item.text() for _, item in walk(spec, "policyTypes", "spec")}
    egress = bool(rules) or "Egress" in types
    subject = _in(namespace, requirements(spec.get("podSelector"), "k8s"))
    return (Spec(subject, rules, default_deny=egress, egress=egress),)


def _in(namespace: str, found: list[LabelRequirement]) -> LabelSelector:
    kept = (r for r in found if (r.key, r.operator) != (f"k8s:{NAMESPACE}", "In"))
    return LabelSelector((*kept, in_namespace(namespace)))


def _rule(item: Node, path: str, index: int, namespace: str) -> Rule:
    peers = tuple(_peer(part, namespace) for _, part in walk(item, "to", path)) or None
    ports = tuple(_port(part) for _, part in walk(item, "ports", path))
    return Rule(
        deny=False,
        index=index,
        peers=peers,
        ports=(PortRule(ports),) if ports else None,
        path=path,
        line=item.line,
    )


def _peer(peer: Node, namespace: str) -> Peer:
    block = peer.get("ipBlock")
    if block is not None:
        cidr = block.get("cidr")
        whole = network((cidr.text() if cidr is not None else None) or "")
        return CIDRPeer(
            whole, tuple(network(part.text() or "") for _, part in walk(block, "except", ""))
        )
    pods = requirements(peer.get("podSelector"), "k8s")
    selector = peer.get("namespaceSelector")
    if selector is None:
        return _in(namespace, pods)
    prefix = f"k8s:{NAMESPACE_LABELS}"
    spaces = [
        LabelRequirement(prefix + r.key.removeprefix("k8s:"), r.operator, r.values)
        for r in requirements(selector, "k8s")
    ]
    return LabelSelector((*spaces, IN_CLUSTER, *pods))


def _port(item: Node) -> PortProtocol:
    protocol_node, node = item.get("protocol"), item.get("port")
    protocol = (protocol_node.text() if protocol_node is not None else None) or "TCP"
    name = (node.text() if node is not None else None) or ""
    return PortProtocol(
        port=0 if name else whole_number(node),
        end_port=0 if name else whole_number(item.get("endPort")),
        protocol=cast("Protocol", protocol),
        name=name.lower(),
    )
