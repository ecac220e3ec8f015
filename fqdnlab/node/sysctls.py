"""How links behave: sysctls, written in a thread that is in the network namespace they are of."""

from __future__ import annotations

from pathlib import Path

__all__ = ["prepare", "quiet"]

#: No waiting for duplicate addresses, no autoconfiguration, no reverse-path check.
_LINK = (
    ("ipv4", "rp_filter", "0"),
    ("ipv4", "src_valid_mark", "0"),
    ("ipv4", "send_redirects", "0"),
    ("ipv4", "accept_redirects", "0"),
    ("ipv6", "accept_dad", "0"),
    ("ipv6", "dad_transmits", "0"),
    ("ipv6", "accept_ra", "0"),
    ("ipv6", "accept_redirects", "0"),
    ("ipv6", "disable_ipv6", "0"),
    ("ipv6", "addr_gen_mode", "1"),  # no link-local address of its own making
)
_NODE = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
}
_ENDPOINT = {
    "net/ipv4/ping_group_range": "0 2147483647",  # ping without a capability
    "net/ipv4/ip_unprivileged_port_start": "0",  # servers in endpoints run as the user
}
_OWN: dict[str, dict[str, str]] = {"node": _NODE, "world": {}, "endpoint": _ENDPOINT}


def prepare(part: str) -> None:
    """Say how links to come behave in this new namespace; before it has any.

    Parameters
    ----------
    part : {"node", "world", "endpoint"}
    """
    for scope in ("all", "default"):
        quiet(scope)
    for name, value in _OWN[part].items():
        Path("/proc/sys", name).write_text(value)


def quiet(scope: str) -> None:
    """Say how one link (or ``all``, ``default``) behaves, before it is up."""
    for family, key, value in _LINK:
        Path("/proc/sys/net", family, "conf", scope, key).write_text(value)
