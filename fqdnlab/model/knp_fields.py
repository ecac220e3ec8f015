"""The fields of Kubernetes' own NetworkPolicy (``networking.k8s.io/v1``), from its reference."""

from __future__ import annotations

from fqdnlab.model.policy_fields import CIDR, METADATA, SELECTOR, TEXT
from fqdnlab.model.policy_schema import Integer, IntegerOrText, List, Object, Text

__all__ = ["KUBERNETES"]

_PORT = Object(
    {
        "port": IntegerOrText(
            Integer(1, 65535),
            Text(what="the name of a port (1 to 15 characters)", shortest=1, longest=15),
        ),
        "endPort": Integer(1, 65535),
        "protocol": Text(choices=("TCP", "UDP", "SCTP")),
    }
)
_PEER = Object(
    {
        "podSelector": SELECTOR,
        "namespaceSelector": SELECTOR,
        "ipBlock": Object({"cidr": CIDR, "except": List(CIDR)}, required=("cidr",)),
    },
    any_of=("podSelector", "namespaceSelector", "ipBlock"),
)

#: NetworkPolicy of networking.k8s.io/v1.
KUBERNETES = Object(
    {
        "apiVersion": TEXT,
        "kind": TEXT,
        "metadata": METADATA,
        "spec": Object(
            {
                "podSelector": SELECTOR,
                "egress": List(Object({"to": List(_PEER), "ports": List(_PORT)})),
                "ingress": List(Object({"from": List(_PEER), "ports": List(_PORT)})),
                "policyTypes": List(Text(choices=("Ingress", "Egress"))),
            },
            required=("podSelector",),
        ),
    },
    required=("metadata", "spec"),
)
