"""A policy as a form and as YAML; what the form does not hold stays in the YAML.  Pure."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from fqdnlab.model.yaml_edit import rewritten
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.model.yaml_text import plain, write_documents

__all__ = ["Form", "NotAFormError", "form_of", "with_form", "written"]

_DNS_PEER = {
    "matchLabels": {"k8s:io.kubernetes.pod.namespace": "kube-system", "k8s:k8s-app": "kube-dns"}
}


class NotAFormError(ValueError):
    """This document is edited as YAML alone; the message says why."""


@dataclass(frozen=True)
class Form:
    """What the form holds.

    Attributes
    ----------
    name, namespace : str
    labels : tuple of (str, str)
        Of the endpoints.
    names : tuple of str
        Allowed; with ``*``: a pattern.
    ports : tuple of (str, str)
        Port and protocol; none: all.
    dns : bool
        Whether look-ups at the DNS server are allowed and seen.
    """

    name: str
    namespace: str = "default"
    labels: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()
    ports: tuple[tuple[str, str], ...] = ()
    dns: bool = True


def form_of(text: str) -> Form:
    """The form of a document.

    Raises
    ------
    NotAFormError
        If the form cannot show it.
    """
    value = _value(text)
    try:
        meta, spec = value["metadata"], value["spec"]
        egress = spec.get("egress") or []
        rule = egress[_one(egress, _is_names)] if any(map(_is_names, egress)) else {}
        names = tuple(_name(s) for s in rule.get("toFQDNs", ()))
        blocks = rule.get("toPorts", [])
        if len(blocks) > 1 or any(set(b) - {"ports"} for b in blocks):
            raise NotAFormError("its ports have rules of their own")
        listed = blocks[0]["ports"] if blocks else []
        if any(set(p) - {"port", "protocol"} for p in listed):
            raise NotAFormError("its ports are ranges")
        ports = tuple((str(p["port"]), str(p.get("protocol", "ANY"))) for p in listed)
        labels = tuple((spec["endpointSelector"].get("matchLabels") or {}).items())
        namespace = meta.get("namespace", "default")
        return Form(meta["name"], namespace, labels, names, ports, any(map(_is_dns, egress)))
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAFormError("it is not laid out as the form lays it out") from error


def written(form: Form) -> str:
    """The YAML of a form."""
    value = {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {},
        "spec": {"endpointSelector": {}, "egress": []},
    }
    return write_documents(_filled(value, form))


def with_form(text: str, form: Form) -> str:
    """`text` with only those fields changed that the form holds.  Raises as `form_of`."""
    if form_of(text) == form:
        return text
    return rewritten(text, 0, _filled(_value(text), form))


def _value(text: str) -> dict[str, Any]:
    documents = read_documents(text)
    if len(documents) != 1 or documents[0].root is None or documents[0].faults:
        raise NotAFormError("it is not one readable document")
    value = plain(documents[0].root)
    if not isinstance(value, dict) or value.get("kind") != "CiliumNetworkPolicy":
        raise NotAFormError("it is no CiliumNetworkPolicy")
    return value


def _filled(old: dict[str, Any], form: Form) -> dict[str, Any]:
    value = copy.deepcopy(old)
    meta, spec = value["metadata"], value["spec"]
    meta["name"] = form.name
    if form.namespace != meta.get("namespace", "default"):
        meta["namespace"] = form.namespace
    selector = spec["endpointSelector"]
    if dict(form.labels) != (selector.get("matchLabels") or {}):
        selector["matchLabels"] = dict(form.labels)
    egress = [rule for rule in spec.get("egress") or [] if rule != {}]
    has = any(map(_is_dns, egress))
    if form.dns and not has:
        egress.insert(0, _dns_rule())
    elif has and not form.dns:
        egress = [rule for rule in egress if not _is_dns(rule)]
    spec["egress"] = _with_names(egress, form) or [{}]  # a rule that allows nothing
    return value


def _with_names(egress: list[Any], form: Form) -> list[Any]:
    if not form.names:
        return [rule for rule in egress if not _is_names(rule)]
    if not any(map(_is_names, egress)):
        egress = [*egress, {"toFQDNs": []}]
    rule = egress[_one(egress, _is_names)]
    rule["toFQDNs"] = [{"matchPattern" if "*" in n else "matchName": n} for n in form.names]
    rule.pop("toPorts", None)
    if form.ports:
        rule["toPorts"] = [{"ports": [{"port": p, "protocol": q} for p, q in form.ports]}]
    return egress


def _dns_rule() -> dict[str, Any]:
    ports = {
        "ports": [{"port": "53", "protocol": "ANY"}],
        "rules": {"dns": [{"matchPattern": "*"}]},
    }
    return {"toEndpoints": [copy.deepcopy(_DNS_PEER)], "toPorts": [ports]}


def _is_names(rule: Any) -> bool:
    return isinstance(rule, dict) and "toFQDNs" in rule


def _is_dns(rule: Any) -> bool:
    return bool(rule == _dns_rule())


def _one(egress: list[Any], test: Any) -> int:
    found = [n for n, rule in enumerate(egress) if test(rule)]
    if len(found) != 1:
        raise NotAFormError("several of its rules allow names")
    return found[0]


def _name(selector: dict[str, str]) -> str:
    if len(selector) != 1:
        raise NotAFormError("a selector has both a name and a pattern")
    key, name = next(iter(selector.items()))
    if (key == "matchPattern") != ("*" in name):
        raise NotAFormError(f"{key}: {name} is not as the form writes it")
    return name
