"""The fields of CiliumNetworkPolicy, as the API server of Kubernetes takes them.

Written from the custom resource definitions of Cilium 1.20.2.
"""

from __future__ import annotations

from fqdnlab.model.icmp_names import ICMP_NAMES
from fqdnlab.model.policy_port_fields import DENY_PORTS, FQDN, PORTS
from fqdnlab.model.policy_schema import (
    Anything,
    Boolean,
    Integer,
    IntegerOrText,
    List,
    MapOf,
    Object,
    Schema,
    Text,
)

__all__ = ["CIDR", "CILIUM", "METADATA", "SELECTOR", "TEXT"]

TEXT = Text()
_TEXTS = MapOf(TEXT)

METADATA = Object(
    {
        "name": Text(shortest=1, what="a name"),
        "namespace": Text(what="the name of a namespace"),
        "labels": _TEXTS,
        "annotations": _TEXTS,
        # What a cluster adds, so that `kubectl get -o yaml` can be read back.
        **{
            key: Anything()
            for key in (
                "creationTimestamp",
                "deletionGracePeriodSeconds",
                "deletionTimestamp",
                "finalizers",
                "generateName",
                "generation",
                "managedFields",
                "ownerReferences",
                "resourceVersion",
                "selfLink",
                "uid",
            )
        },
    },
    required=("name",),
)

_LABEL_VALUE = Text(
    pattern=r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", longest=63, what="a label's value"
)
SELECTOR = Object(
    {
        "matchLabels": MapOf(_LABEL_VALUE),
        "matchExpressions": List(
            Object(
                {
                    "key": TEXT,
                    "operator": Text(choices=("In", "NotIn", "Exists", "DoesNotExist")),
                    "values": List(TEXT),
                },
                required=("key", "operator"),
            )
        ),
    }
)

CIDR = Text(r".*/.*", "a network such as 10.0.0.0/8")
_CIDR_RULE = Object(
    {
        "cidr": CIDR,
        "cidrGroupRef": Text(
            r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
            "the name of a CiliumCIDRGroup",
            longest=253,
        ),
        "cidrGroupSelector": SELECTOR,
        "except": List(CIDR),
    },
    one_of=("cidr", "cidrGroupRef", "cidrGroupSelector"),
)

_ENTITY = Text(
    choices=(
        "all",
        "world",
        "cluster",
        "cluster-mesh",
        "host",
        "init",
        "ingress",
        "unmanaged",
        "remote-node",
        "health",
        "none",
        "kube-apiserver",
    )
)

_ICMPS = List(
    Object(
        {
            "fields": List(
                Object(
                    {
                        "family": Text(choices=("IPv4", "IPv6")),
                        "type": IntegerOrText(
                            Integer(),
                            Text(
                                # Cilium's schema writes one of the names with a space.
                                r"[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]|"
                                + "|".join(
                                    sorted({n for by in ICMP_NAMES.values() for n in by})
                                ).replace("|ExtendedEchoReply", ""),
                                "an ICMP type (0 to 255, or its name)",
                            ),
                        ),
                    },
                    required=("type",),
                ),
                most=40,
            )
        }
    )
)

_GROUP = Object(
    {
        "aws": Object(
            {
                "labels": _TEXTS,
                "region": TEXT,
                "securityGroupsIds": List(TEXT),
                "securityGroupsNames": List(TEXT),
            }
        )
    }
)
_SERVICE = Object(
    {
        "k8sService": Object({"namespace": TEXT, "serviceName": TEXT}),
        "k8sServiceSelector": Object(
            {"namespace": TEXT, "selector": SELECTOR}, required=("selector",)
        ),
    }
)


def _common(way: str, ports: Schema) -> dict[str, Schema]:
    """The fields that rules of one direction share; `way` is ``to`` or ``from``."""
    return {
        f"{way}Endpoints": List(SELECTOR),
        f"{way}Requires": List(TEXT, most=0),
        f"{way}CIDR": List(CIDR),
        f"{way}CIDRSet": List(_CIDR_RULE),
        f"{way}Entities": List(_ENTITY),
        f"{way}Groups": List(_GROUP),
        f"{way}Nodes": List(SELECTOR),
        "toPorts": List(ports),
        "icmps": _ICMPS,
    }


_AUTHENTICATION = Object(
    {"mode": Text(choices=("disabled", "required", "test-always-fail"))}, required=("mode",)
)
_NO_DENY_BY_NAME = (
    "a deny rule cannot name toFQDNs: Cilium denies nothing by name; "
    "allow the names that are wanted, the rest is denied by default"
)
_EGRESS = Object(
    {
        **_common("to", PORTS),
        "toServices": List(_SERVICE),
        "toFQDNs": List(FQDN),
        "authentication": _AUTHENTICATION,
    }
)
_EGRESS_DENY = Object(
    {**_common("to", DENY_PORTS), "toServices": List(_SERVICE)},
    hints={"toFQDNs": _NO_DENY_BY_NAME},
)
_INGRESS = Object({**_common("from", PORTS), "authentication": _AUTHENTICATION})
_INGRESS_DENY = Object(_common("from", DENY_PORTS))

_SPEC = Object(
    {
        "endpointSelector": SELECTOR,
        "nodeSelector": SELECTOR,
        "egress": List(_EGRESS),
        "egressDeny": List(_EGRESS_DENY),
        "ingress": List(_INGRESS),
        "ingressDeny": List(_INGRESS_DENY),
        "enableDefaultDeny": Object({"egress": Boolean(), "ingress": Boolean()}),
        "description": TEXT,
        "labels": List(Object({"key": TEXT, "source": TEXT, "value": TEXT}, required=("key",))),
        "log": Object({"value": Text(r"[^\x00-\x1f\x7f-\x9f\xad]*", "printable text", longest=32)}),
    },
    one_of=("endpointSelector", "nodeSelector"),
    any_of=("egress", "egressDeny", "ingress", "ingressDeny"),
)

#: CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.
CILIUM = Object(
    {
        "apiVersion": TEXT,
        "kind": TEXT,
        "metadata": METADATA,
        "spec": _SPEC,
        "specs": List(_SPEC),
        "status": MapOf(Anything()),
    },
    required=("metadata",),
    any_of=("spec", "specs"),
    hints={"description": "unknown field; it belongs into spec"},
)
