"""The fields of ``toPorts`` in a CiliumNetworkPolicy: ports, and rules of layer 7."""

from __future__ import annotations

from fqdnlab.model.policy_schema import Integer, List, Object, Text

__all__ = ["DENY_PORTS", "FQDN", "PORTS"]

_TEXT = Text()
_NON_EMPTY = Text(shortest=1)
_NAME_CHARS = "[-a-zA-Z0-9_]"
_PATTERN_CHARS = "[-a-zA-Z0-9_*]"
FQDN = Object(
    {
        "matchName": Text(
            rf"{_NAME_CHARS}+(\.{_NAME_CHARS}+)*\.?",
            "a DNS name (letters, digits, '-', '_', no empty label)",
            longest=255,
        ),
        "matchPattern": Text(
            rf"{_PATTERN_CHARS}+(\.{_PATTERN_CHARS}+)*\.?",
            "a DNS name with or without stars (letters, digits, '-', '_', '*', no empty label)",
            longest=255,
        ),
    },
    one_of=("matchName", "matchPattern"),
)

_PORT_ITEM = Object(
    {
        "port": Text(what="a port as text, such as '443', or the name of one"),
        "endPort": Integer(0, 65535),
        "protocol": Text(
            choices=(
                "TCP",
                "UDP",
                "SCTP",
                "VRRP",
                "IGMP",
                "GRE",
                "IPIP",
                "IPV6",
                "ESP",
                "AH",
                "ANY",
            )
        ),
    }
)

_SECRET = Object({"name": _TEXT, "namespace": _TEXT}, required=("name",))
_TLS = Object(
    {"secret": _SECRET, "certificate": _TEXT, "privateKey": _TEXT, "trustedCA": _TEXT},
    required=("secret",),
)
_HTTP = Object(
    {
        "method": _TEXT,
        "path": _TEXT,
        "host": _TEXT,
        "headers": List(_TEXT),
        "headerMatches": List(
            Object(
                {
                    "name": _NON_EMPTY,
                    "value": _TEXT,
                    "mismatch": Text(choices=("LOG", "ADD", "DELETE", "REPLACE")),
                    "secret": _SECRET,
                },
                required=("name",),
            )
        ),
    }
)
_GONE = "this field is gone: Cilium 1.20 knows no Kafka and no generic L7 rules"
_RULES = Object(
    {"http": List(_HTTP), "dns": List(FQDN)},
    one_of=("http", "dns"),
    hints=dict.fromkeys(("kafka", "l7", "l7proto"), _GONE),
)
_LISTENER = Object(
    {
        "envoyConfig": Object(
            {
                "kind": Text(choices=("CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig")),
                "name": _NON_EMPTY,
            },
            required=("name",),
        ),
        "name": _NON_EMPTY,
        "priority": Integer(1, 100),
    },
    required=("envoyConfig", "name"),
)
PORTS = Object(
    {
        "ports": List(_PORT_ITEM, most=40),
        "rules": _RULES,
        "listener": _LISTENER,
        "originatingTLS": _TLS,
        "terminatingTLS": _TLS,
        "serverNames": List(
            Text(
                rf"{_PATTERN_CHARS}+(\.{_PATTERN_CHARS}+)*\.?", "the name of a server", longest=255
            ),
            fewest=1,
        ),
    }
)
DENY_PORTS = Object(
    {"ports": List(_PORT_ITEM)},
    hints={"rules": "a deny rule has no rules of layer 7: ports alone are expected"},
)
