"""What Cilium's parser demands of a policy beyond its fields' shapes, with every place.

Works on trees that may be of the wrong shape too (the schema has said so then), so that all faults
of a document are found at once.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from fqdnlab.model.policy_schema import join
from fqdnlab.model.policy_values import (
    icmp_type,
    label_key_problem,
    network,
    network_problem,
    port_number,
    whole_number,
)
from fqdnlab.model.yaml_nodes import Fault, Mapping, Node

__all__ = ["Faults", "check_cilium", "check_selector", "specs_of", "walk"]

RULES = ("egress", "egressDeny", "ingress", "ingressDeny")
#: Kinds of peers that exclude one another, without their ``to`` or ``from``.
L3 = ("Endpoints", "CIDR", "CIDRSet", "Entities", "Services", "Groups", "Nodes", "FQDNs")


_WITHOUT_PORTS = ("VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH")


class Faults(list[Fault]):
    """Faults, one a place: the first that is said of it."""

    def add(self, path: str, node: Node, problem: str) -> None:
        """Say `problem` of `node` at `path`, unless something is said of it."""
        if problem and all(path != known for known, _, _ in self):
            self.append((path, node.line, problem))


def walk(node: Node | None, key: str, path: str) -> Iterator[tuple[str, Node]]:
    """(path, item) for each item of the list `key` of `node`."""
    found = node.get(key) if node is not None else None
    for index, item in enumerate(found.items() if found is not None else ()):
        yield f"{join(path, key)}[{index}]", item


def specs_of(root: Node) -> Iterator[tuple[str, Node]]:
    """(path, spec) for ``spec`` and each of ``specs``."""
    spec = root.get("spec")
    if spec is not None:
        yield "spec", spec
    yield from walk(root, "specs", "")


def _text(node: Node, key: str) -> str | None:
    found = node.get(key)
    return found.text() if found is not None else None


def check_cilium(root: Node, clusterwide: bool, faults: Faults) -> None:
    """Append to `faults` what Cilium's agent would refuse.

    Parameters
    ----------
    root : Node
        The whole document.
    clusterwide : bool
        Whether it is a CiliumClusterwideNetworkPolicy.
    """
    for path, spec in specs_of(root):
        host = spec.get("nodeSelector")
        if host is not None and not clusterwide:
            problem = "endpointSelector is expected: nodeSelector is for clusterwide policies"
            faults.add(join(path, "nodeSelector"), host, problem)
        if not any(node.items() for key in RULES if (node := spec.get(key)) is not None):
            problem = f"a rule in at least one of {', '.join(RULES)} is expected"
            faults.add(path, spec, problem)
        for key in ("endpointSelector", "nodeSelector"):
            if (selector := spec.get(key)) is not None:
                check_selector(selector, join(path, key), faults)
        for key in RULES:
            for place, rule in walk(spec, key, path):
                _check_rule(rule, place, key, host is not None, faults)


def check_selector(selector: Node, path: str, faults: Faults) -> None:
    """Append to `faults` what is wrong with the labels that `selector` asks for."""
    labels = selector.get("matchLabels")
    if isinstance(labels, Mapping):
        for key, value in labels.entries.items():
            place = f"{path}.matchLabels.{key}"
            faults.add(place, value, label_key_problem(key))
    for place, expression in walk(selector, "matchExpressions", path):
        key_node, values = expression.get("key"), expression.get("values")
        if key_node is not None and (name := key_node.text()) is not None:
            faults.add(f"{place}.key", key_node, label_key_problem(name))
        count = len(values.items()) if values is not None else 0
        operator = _text(expression, "operator")
        if operator in ("In", "NotIn") and not count:
            faults.add(f"{place}.values", values or expression, f"{operator} expects values")
        if operator in ("Exists", "DoesNotExist") and count:
            faults.add(f"{place}.values", values or expression, f"{operator} takes no values")
        for where, value in walk(expression, "values", place):
            if not re.fullmatch(
                r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", value.text() or ""
            ):
                faults.add(where, value, f"a label's value is expected, not {value.text()!r}")


def _check_rule(rule: Node, path: str, kind: str, host: bool, faults: Faults) -> None:
    way = "from" if kind.startswith("ingress") else "to"
    _check_peers(rule, path, kind, faults)
    icmps, ports = rule.get("icmps"), rule.get("toPorts")
    if icmps is not None and icmps.items() and ports is not None and ports.items():
        problem = "icmps stand in a rule without toPorts: a second rule is expected"
        faults.add(join(path, "icmps"), icmps, problem)
    for place, item in walk(rule, "icmps", path):
        for where, field in walk(item, "fields", place):
            try:
                icmp_type(field)
            except ValueError as error:
                faults.add(f"{where}.type", field, str(error))
    for place, item in walk(rule, "toPorts", path):
        _check_ports(item, place, faults)
        if not kind.endswith("Deny"):
            _check_layer7(item, place, way, host, faults)


def _check_peers(rule: Node, path: str, direction: str, faults: Faults) -> None:
    way = "from" if direction.startswith("ingress") else "to"
    # Where a kind is no field of the rule, that is its fault.
    known = L3 if direction == "egress" else L3[:-1]
    kinds = [way + kind for kind in known if (node := rule.get(way + kind)) and node.items()]
    if len(kinds) > 1:
        problem = f"one of them is expected in a rule, not {' and '.join(kinds)}"
        faults.add(path, rule, problem)
    if (nodes := rule.get(f"{way}Nodes")) is not None and nodes.items():
        problem = (
            "nodes cannot be selected: Cilium refuses this without enable-node-selector-labels"
        )
        faults.add(join(path, f"{way}Nodes"), nodes, problem)
    for place, selector in walk(rule, f"{way}Endpoints", path):
        check_selector(selector, place, faults)
    for place, item in walk(rule, f"{way}CIDR", path):
        if (network_text := item.text()) is not None:
            faults.add(place, item, network_problem(network_text))
    for place, item in walk(rule, f"{way}CIDRSet", path):
        _check_cidr_rule(item, place, faults)
    for place, item in walk(rule, f"{way}Services", path):
        service = item.get("k8sServiceSelector")
        if service is not None and (selector_node := service.get("selector")) is not None:
            check_selector(selector_node, f"{place}.k8sServiceSelector.selector", faults)


def _check_cidr_rule(item: Node, path: str, faults: Faults) -> None:
    if (selector := item.get("cidrGroupSelector")) is not None:
        check_selector(selector, f"{path}.cidrGroupSelector", faults)
    cidr = item.get("cidr")
    if cidr is None or (text := cidr.text()) is None:
        return
    if problem := network_problem(text):
        faults.add(f"{path}.cidr", cidr, problem)
        return
    whole = network(text)
    for place, part in walk(item, "except", path):
        if (part_text := part.text()) is None:
            continue
        problem = network_problem(part_text) or within(part_text, whole)
        faults.add(place, part, problem)


def within(text: str, whole: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    """Why the network `text` is no part of `whole`; empty: it is."""
    part = network(text)
    if part.version == whole.version and part.subnet_of(whole):  # type: ignore[arg-type]
        return ""
    return f"a part of {whole} is expected, not {part}"


def _check_ports(item: Node, path: str, faults: Faults) -> None:
    for place, port in walk(item, "ports", path):
        text = _text(port, "port")
        if not text:
            faults.add(f"{place}.port", port.get("port") or port, "a port is expected ('0': every)")
            continue
        try:
            number = port_number(text)
        except ValueError as error:
            faults.add(f"{place}.port", port.get("port") or port, str(error))
            continue
        protocol = _text(port, "protocol") or "ANY"
        if protocol in _WITHOUT_PORTS and text != "0" and not number.name:
            faults.add(f"{place}.port", port, f"{protocol} has no ports: '0' is expected")


def _check_layer7(item: Node, path: str, way: str, host: bool, faults: Faults) -> None:
    rules = item.get("rules")
    dns = list(walk(rules, "dns", f"{path}.rules"))
    http = list(walk(rules, "http", f"{path}.rules"))
    if rules is None or not (dns or http):
        return
    place = f"{path}.rules"
    if dns and way == "from":
        faults.add(f"{place}.dns", rules, "DNS rules are for egress: none are expected in ingress")
    if host and (http or way == "from"):
        faults.add(place, rules, "rules of layer 7 are not expected beside nodeSelector")
    if item.get("listener") is not None:
        faults.add(f"{path}.listener", rules, "no rules are expected beside a listener")
    if item.get("serverNames") is not None and item.get("terminatingTLS") is None:
        problem = "terminatingTLS is expected where serverNames stand beside rules"
        faults.add(f"{path}.serverNames", rules, problem)
    _check_layer7_ports(item, path, bool(dns), faults)
    for where, request in http:
        for key in ("path", "method"):
            if (node := request.get(key)) is not None and (text := node.text()) is not None:
                faults.add(f"{where}.{key}", node, _expression_problem(text))


def _check_layer7_ports(item: Node, path: str, dns: bool, faults: Faults) -> None:
    ports = list(walk(item, "ports", path))
    if dns and not ports:
        rules = item.get("rules") or item
        problem = "ports are expected beside DNS rules, 53 as a rule"
        faults.add(f"{path}.rules.dns", rules, problem)
    for place, port in ports:
        try:
            number = port_number(_text(port, "port") or "")
        except ValueError:
            continue
        if number.name == "" and number.port == 0:
            faults.add(f"{place}.port", port, "a port other than 0 is expected beside rules")
        elif dns and not number.name and whole_number(port.get("endPort")) > number.port:
            faults.add(f"{place}.endPort", port, "no range of ports is expected beside DNS rules")
        if not dns and _text(port, "protocol") != "TCP":
            faults.add(f"{place}.protocol", port, "TCP is expected beside rules that are not DNS's")


def _expression_problem(text: str) -> str:
    """Why Go's regexp would refuse `text`, as far as Python's can tell (HTTP is not enforced)."""
    if re.search(r"\\[1-9]|\(\?(=|!|<=|<!|>|#|\()|[*+?}]\+", text):
        return f"an expression in RE2's syntax is expected, not {text!r}"
    if re.search(r"\\[pPzQC]|\(\?|\[\[:|\\x\{", text):
        return ""  # Go's own syntax: Python cannot judge it
    try:
        re.compile(text)
    except re.error as error:
        return f"an expression is expected, not {text!r}: {error}"
    return ""
