"""Single values of a policy: networks, ports, label keys, ICMP types."""

from __future__ import annotations

import ipaddress
import re

from fqdnlab.model.icmp_names import ICMP_NAMES
from fqdnlab.model.policy import ICMPType, Network, PortProtocol
from fqdnlab.model.yaml_nodes import Node, Scalar

__all__ = [
    "icmp_type",
    "label_key",
    "label_key_problem",
    "network",
    "network_problem",
    "port_number",
    "port_problem",
    "whole_number",
]

_PREFIX_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
_ADDRESS = re.compile(r"[0-9a-fA-F:.]+", re.ASCII)
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", re.ASCII)
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_SOURCE = re.compile(r"[A-Za-z0-9]+", re.ASCII)
_WHOLE = re.compile(r"[1-9](_?[0-9])*|0(_?[0-7])*", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9](-?[A-Za-z0-9])*", re.ASCII)


def network(text: str) -> Network:
    """The network that `text` names, host bits cleared.

    Raises
    ------
    ValueError
        With what was expected.
    """
    address, slash, length = text.partition("/")
    if not slash or not _ADDRESS.fullmatch(address) or not _PREFIX_LENGTH.fullmatch(length):
        raise ValueError(f"a network such as 10.0.0.0/8 or 2001:db8::/32 is expected, not {text!r}")
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"a network is expected, not {text!r}: {error}") from None


def network_problem(text: str) -> str:
    """Why `text` is no network; empty: it is."""
    try:
        network(text)
    except ValueError as error:
        return str(error)
    return ""


def label_key_problem(key: str) -> str:
    """Why `key` is no label's key, its source (``k8s:``) included; empty: it is."""
    parts = key.split(":")
    if len(parts) > 2:
        return f"{key!r}: one ':' at most is expected in a label's key, after its source"
    if len(parts) == 2 and not _SOURCE.fullmatch(parts[0]):
        return f"{key!r}: letters and digits are expected as source, before the ':'"
    prefix, slash, name = parts[-1].rpartition("/")
    if slash and (len(prefix) > 253 or not all(map(_DNS_LABEL.fullmatch, prefix.split(".")))):
        return f"{key!r}: a DNS name in lower case is expected before the '/'"
    if len(name) > 63 or not _LABEL_NAME.fullmatch(name):
        return (
            f"{key!r}: a label's name is 1 to 63 letters, digits, '-', '_' and '.', "
            "with a letter or a digit at both ends"
        )
    return ""


def label_key(key: str, source: str) -> str:
    """`key` with its source: its own, else `source`."""
    return key if ":" in key else f"{source}:{key}"


def is_service_name(text: str) -> bool:
    """Whether `text` is the name of a port (RFC 6335 section 5.1)."""
    return (
        len(text) <= 15
        and _SERVICE.fullmatch(text) is not None
        and any(char.isalpha() for char in text)
    )


def port_number(text: str) -> PortProtocol:
    """The number or the name that `text` is, as Cilium reads it (``010`` is eight).

    Raises
    ------
    ValueError
        With what was expected.
    """
    if is_service_name(text):
        return PortProtocol(0, name=text.lower())
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"a port from 0 to 65535 or the name of one is expected, not {text!r}")
    digits = text.replace("_", "")
    number = int(digits, 8 if digits.startswith("0") else 10) if len(digits) < 20 else 65536
    if number > 65535:
        raise ValueError(f"a port from 0 to 65535 is expected, not {text!r}")
    return PortProtocol(number)


def port_problem(text: str) -> str:
    """Why `text` is no port; empty: it is."""
    try:
        port_number(text)
    except ValueError as error:
        return str(error)
    return ""


def whole_number(node: Node | None) -> int:
    """The number that `node` is; 0 where it is none."""
    if isinstance(node, Scalar) and isinstance(node.value, int | float):
        return int(node.value)
    return 0


def icmp_type(field: Node) -> ICMPType | None:
    """The type that one item of ``icmps[].fields`` names; None: one that no packet has.

    Raises
    ------
    ValueError
        If the IP version has no type of that name.
    """
    family_node = field.get("family")
    family = (family_node.text() if family_node else None) or "IPv4"
    version = 6 if family == "IPv6" else 4
    node = field.get("type")
    name = node.text() if node is not None else None
    if name is None or name.isdigit():
        number = whole_number(node) if name is None else int(name)
        return ICMPType(6 if version == 6 else 4, number) if 0 <= number <= 255 else None
    if name not in ICMP_NAMES[version]:
        raise ValueError(f"{family} has no ICMP type {name}")
    return ICMPType(6 if version == 6 else 4, ICMP_NAMES[version][name])
