"""Policies and rules to begin with, for whatever endpoint there is.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fqdnlab.model.yaml_text import flow_text

__all__ = ["NEW_RULES", "TEMPLATES", "template"]

_HEAD = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: {name}
spec:
  endpointSelector:
    matchLabels: {labels}
"""
_LOOK_UPS = """\
  # Look-ups go through the DNS proxy, which tells the agent what it saw.
  - toEndpoints:
    - matchLabels: {k8s-app: kube-dns, io.kubernetes.pod.namespace: kube-system}
    toPorts:
    - ports: [{port: "53", protocol: ANY}]
      rules:
        dns:
        - matchPattern: "%s"
"""
_HTTPS = """\
    toPorts:
    - ports: [{port: "443", protocol: TCP}]
"""
_NAMES = """\
  # Addresses of these names are open once they were looked up.
  - toFQDNs:
    - matchName: api.example.com
"""
_PATTERN = """\
  # One star is one label: img.cdn.example.com, not cdn.example.com, not a.b.cdn.example.com.
  - toFQDNs:
    - matchPattern: "*.cdn.example.com"
"""
_FAILS = """\
  # Fails on purpose: without rules.dns nobody sees the look-ups, so that no address is learned.
  - toFQDNs:
    - matchName: api.example.com
"""
_PLAIN_DNS = """\
  - toEndpoints:
    - matchLabels: {k8s-app: kube-dns, io.kubernetes.pod.namespace: kube-system}
    toPorts:
    - ports: [{port: "53", protocol: ANY}]
"""
_DENY = """\
  # Denies this network, and nothing else: selection alone does not deny here.
  enableDefaultDeny:
    egress: false
  egressDeny:
  - toCIDR:
    - 192.0.2.0/24
"""
_HTTP = """\
  # Accepted and not enforced: of layer 7, DNS alone is judged here.
  - toFQDNs:
    - matchName: api.example.com
    toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules:
        http:
        - method: GET
          path: /public
"""

#: Name → what it is called, the policy's name, and what its spec says.
TEMPLATES: dict[str, tuple[str, str, str]] = {
    "names": (
        "Allow names, look-ups with them",
        "allow-names",
        "  egress:\n" + _LOOK_UPS % "**.example.com" + _NAMES + _HTTPS,
    ),
    "wildcard": (
        "Allow a wildcard",
        "allow-wildcard",
        "  egress:\n" + _LOOK_UPS % "**.example.com" + _PATTERN + _HTTPS,
    ),
    "dns": ("Look-ups only", "dns-only", "  egress:\n" + _LOOK_UPS % "*"),
    "deny": ("Deny a network", "deny-network", _DENY),
    "fails": (
        "Names without rules.dns: fails on purpose",
        "names-alone",
        "  egress:\n" + _PLAIN_DNS + _FAILS + _HTTPS,
    ),
    "unsupported": (
        "HTTP rules: accepted, not enforced",
        "http-rules",
        "  egress:\n" + _LOOK_UPS % "**.example.com" + _HTTP,
    ),
}

_DNS_SERVER = {"matchLabels": {"k8s-app": "kube-dns", "io.kubernetes.pod.namespace": "kube-system"}}
_PORT_443 = [{"ports": [{"port": "443", "protocol": "TCP"}]}]

#: What can be added: list, and the rule as it begins.
NEW_RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "names": ("egress", {"toFQDNs": [{"matchName": "api.example.com"}], "toPorts": _PORT_443}),
    "dns": (
        "egress",
        {
            "toEndpoints": [_DNS_SERVER],
            "toPorts": [
                {
                    "ports": [{"port": "53", "protocol": "ANY"}],
                    "rules": {"dns": [{"matchPattern": "**.example.com"}]},
                }
            ],
        },
    ),
    "network": ("egress", {"toCIDR": ["198.51.100.0/24"], "toPorts": _PORT_443}),
    "deny": ("egressDeny", {"toCIDR": ["192.0.2.0/24"]}),
}


def template(name: str, labels: Mapping[str, str], taken: Iterable[str] = ()) -> str:
    """The YAML of a template.

    Parameters
    ----------
    name : str
        One of `TEMPLATES`.
    labels : mapping
        Of the endpoints that it is for.
    taken : iterable of str
        Names of policies that are applied: to apply the template must replace none of them.
    """
    _, called, rules = TEMPLATES[name]
    taken = set(taken)
    free = called
    number = 1
    while free in taken:
        number += 1
        free = f"{called}-{number}"
    return _HEAD.format(name=free, labels=flow_text(dict(labels))) + rules
