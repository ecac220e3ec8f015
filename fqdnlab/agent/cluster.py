"""What is inside the cluster: endpoints, the resolver, the node's own addresses.  Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from fqdnlab.model.mapstate import Identity, Network

__all__ = [
    "RESOLVER",
    "RESOLVER_ADDRESSES",
    "Endpoint",
    "Learned",
    "cluster_labels",
    "index_of",
    "internal_networks",
]


_ENDPOINTS = ipaddress.IPv4Network("10.10.0.0/16")


def internal_networks(index: int) -> tuple[Network, ...]:
    """Addresses of the node `index` itself and of its proxy: no endpoint of it may talk to them."""
    uplink6 = f"fd31:0:0:{index - 1:x}::1/128"
    texts = ("10.10.255.254/32", "127.0.0.0/8", f"172.31.0.{4 * (index - 1) + 1}/32", "::1/128")
    more = ("fd00:53::/112", uplink6, "fe80::/10")
    return tuple(ipaddress.ip_network(text) for text in (*texts, *more))


def index_of(ip4: str) -> int:
    """Index of the node that has an endpoint of that address; 1 if no lab's endpoint has it."""
    four = ipaddress.IPv4Address(ip4)
    return (int(four) >> 10 & 63) + 1 if four in _ENDPOINTS else 1


_NAMESPACE = "k8s:io.kubernetes.pod.namespace"
_NAMESPACE_NAME = "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name"


def cluster_labels(namespace: str, labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Labels of something in the cluster, with those that its namespace gives it."""
    full = {k if ":" in k else f"k8s:{k}": v for k, v in labels.items()}
    full[_NAMESPACE] = namespace
    full[_NAMESPACE_NAME] = namespace
    return tuple(sorted(full.items()))


#: The lab's resolver stands for the cluster's DNS, so that published policies run unedited.
RESOLVER = Identity(
    "endpoint",
    cluster_labels(
        "kube-system",
        {"k8s-app": "kube-dns", "io.cilium.k8s.policy.serviceaccount": "coredns"},
    ),
)
RESOLVER_ADDRESSES = ("10.96.0.10", "fd96::10")


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as the node service tells of it.

    Attributes
    ----------
    id : int
    name, namespace : str
    labels : tuple of (str, str)
        As given, without source.
    ifname : str
    ifindex : int
    ip4, ip6 : str
    """

    id: int
    name: str
    namespace: str
    labels: tuple[tuple[str, str], ...]
    ifname: str
    ifindex: int
    ip4: str
    ip6: str

    @property
    def identity(self) -> Identity:
        """What it is to policies."""
        return Identity("endpoint", cluster_labels(self.namespace, dict(self.labels)))


@dataclass(frozen=True, slots=True)
class Learned:
    """A mapping as the proxy hands it over (way 2.7); `addresses` are 4 or 16 octets each."""

    endpoint: int
    name: str
    addresses: tuple[bytes, ...]
    ttl: int
    seen_ns: int
    kept: bool = False
    source: str = "lookup"
