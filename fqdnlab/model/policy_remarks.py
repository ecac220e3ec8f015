"""Fields that are valid and not enforced: the reason for each, with its place (way 1.2).

One such field makes the whole policy without effect (contracts of Azure's ACNS: a policy with
unsupported parts is accepted and not enforced), so that no rule becomes wider because a part of
it was left out.  ``ingress`` is beside the point: it is shown, and voids nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from fqdnlab.model.names import matches_everything, normalise
from fqdnlab.model.policy import FieldStatus
from fqdnlab.model.policy_checks import specs_of, walk
from fqdnlab.model.policy_schema import join
from fqdnlab.model.yaml_nodes import Node

__all__ = ["remarks_on"]

_RULE_FIELDS = {
    "toServices": "services of Kubernetes are not known here: name their endpoints or addresses",
    "toGroups": "groups of a cloud provider are not known here: name their addresses",
}
_PORT_FIELDS = {
    "listener": "there is no Envoy here to redirect to",
    "originatingTLS": "TLS is not opened here",
    "terminatingTLS": "TLS is not opened here",
    "serverNames": "server names of TLS are not read here",
}
_INGRESS = "traffic to endpoints is not policed here; this denies nothing"


def remarks_on(root: Node, kubernetes: bool) -> tuple[FieldStatus, ...]:
    """The remarks on a document without faults.

    Parameters
    ----------
    root : Node
        The whole document.
    kubernetes : bool
        Whether it is a NetworkPolicy of Kubernetes.
    """
    found = _kubernetes(root) if kubernetes else _cilium(root)
    return tuple(sorted(found, key=lambda remark: remark.line))


def _kubernetes(root: Node) -> Iterator[FieldStatus]:
    spec = root.get("spec")
    if spec is not None and (ingress := spec.get("ingress")) is not None and ingress.items():
        yield FieldStatus("spec.ingress", ingress.line, _INGRESS, voids=False)


def _cilium(root: Node) -> Iterator[FieldStatus]:
    for path, spec in specs_of(root):
        for key in ("ingress", "ingressDeny"):
            if (node := spec.get(key)) is not None and node.items():
                yield FieldStatus(join(path, key), node.line, _INGRESS, voids=False)
        if (node := spec.get("nodeSelector")) is not None and _has_egress(spec):
            reason = "policies of the node itself are not enforced here"
            yield FieldStatus(join(path, "nodeSelector"), node.line, reason)
        for key in ("egress", "egressDeny"):
            for place, rule in walk(spec, key, path):
                yield from _rule(rule, place)


def _has_egress(spec: Node) -> bool:
    return any(
        node.items() for key in ("egress", "egressDeny") if (node := spec.get(key)) is not None
    )


def _rule(rule: Node, path: str) -> Iterator[FieldStatus]:
    for key, reason in _RULE_FIELDS.items():
        if (node := rule.get(key)) is not None and node.items():
            yield FieldStatus(join(path, key), node.line, reason)
    authentication = rule.get("authentication")
    mode = authentication.get("mode") if authentication is not None else None
    if mode is not None and mode.text() != "disabled":
        reason = "peers are not authenticated here"
        yield FieldStatus(f"{path}.authentication", mode.line, reason)
    for place, item in walk(rule, "toCIDRSet", path):
        for key in ("cidrGroupRef", "cidrGroupSelector"):
            if (node := item.get(key)) is not None:
                reason = "groups of networks are not known here: name the networks"
                yield FieldStatus(join(place, key), node.line, reason)
    for place, item in walk(rule, "toFQDNs", path):
        yield from _service_name(item, place)
    for place, item in walk(rule, "toPorts", path):
        yield from _ports(item, place)


def _ports(item: Node, path: str) -> Iterator[FieldStatus]:
    for key, reason in _PORT_FIELDS.items():
        if (node := item.get(key)) is not None:
            yield FieldStatus(join(path, key), node.line, reason)
    for place, port in walk(item, "ports", path):
        protocol = port.get("protocol")
        if protocol is not None and protocol.text() not in ("TCP", "UDP", "SCTP", "ANY"):
            reason = f"{protocol.text()} is not judged here: TCP, UDP, SCTP and ICMP are"
            yield FieldStatus(f"{place}.protocol", protocol.line, reason)
    rules = item.get("rules")
    if rules is None:
        return
    if (http := rules.get("http")) is not None and http.items():
        reason = "HTTP is not read here: of layer 7, DNS alone is judged"
        yield FieldStatus(f"{path}.rules.http", http.line, reason)
    for place, selector in walk(rules, "dns", f"{path}.rules"):
        yield from _dns(selector, place)


def _dns(selector: Node, path: str) -> Iterator[FieldStatus]:
    pattern = selector.get("matchPattern")
    text = pattern.text() if pattern is not None else None
    if pattern is not None and text and matches_everything(text):
        reason = "ACNS does not take a pattern of stars alone in rules.dns: name a domain"
        yield FieldStatus(f"{path}.matchPattern", pattern.line, reason, profile="acns")
    yield from _service_name(selector, path)


def _service_name(selector: Node, path: str) -> Iterator[FieldStatus]:
    for key in ("matchName", "matchPattern"):
        node = selector.get(key)
        text = node.text() if node is not None else None
        if node is not None and text and is_service_name(text):
            reason = "ACNS does not take names of Kubernetes services"
            yield FieldStatus(join(path, key), node.line, reason, profile="acns")


def is_service_name(text: str) -> bool:
    """Whether a name or pattern is of services inside a cluster."""
    name = "." + normalise(text)
    return name.endswith((".svc.", ".svc.cluster.local.", ".cluster.local."))
