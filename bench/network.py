"""The peers' network: an endpoint and a node of their own before the lab's world.

It is laid out as a lab is (docs/architecture.md): endpoint, veth, node, veth, world, the same
number of hops.  There is no enforcer in it.  Peers that answer at an address of their own are
asked there; Cilium's are transparent, and are steered to by nft's TPROXY, by the address asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench.programs import inside, run
from fqdnlab.paths import netns

__all__ = ["ENDPOINT", "NODE", "PeerNetwork", "peer_network"]

ENDPOINT = "10.20.0.1"
#: The node's address, where dnsmasq and dnsdist are asked.
NODE = "10.20.255.254"
_UP, _WORLD = "172.31.1.1", "172.31.1.2"
_MARK = "0x200"
_SYSCTLS = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
)


class PeerNetwork:
    """Names of the peers' namespaces."""

    def __init__(self, lab: str) -> None:
        self.endpoint = netns(lab, "peer-ep")
        self.node = netns(lab, "peer-node")
        self.world = netns(lab, "world")

    def build(self) -> None:
        """Make namespaces, links and routes."""
        for name in (self.endpoint, self.node):
            run(["ip", "netns", "add", name])
            _ip(name, "link set lo up")
        run(inside(self.node, ["sysctl", "-q", "-w", *_SYSCTLS]))
        _ip(self.node, f"link add lxc1 type veth peer name eth0 netns {self.endpoint}")
        _ip(self.node, f"link add up0 type veth peer name world1 netns {self.world}")
        for line in (
            f"address add {NODE}/32 dev lo",
            f"address add {_UP}/30 dev up0",
            "link set lxc1 up",
            "link set up0 up",
            f"route add {ENDPOINT}/32 dev lxc1",
            f"rule add fwmark {_MARK}/0xf00 lookup 200 priority 100",
            "route add local default dev lo table 200",
        ):
            _ip(self.node, line)
        for line in (
            f"address add {_WORLD}/30 dev world1",
            "link set world1 up",
            f"route add {_UP}/32 dev world1 table local scope link",
            f"route add {ENDPOINT}/32 via {_UP} dev world1 table local onlink",
        ):
            _ip(self.world, line)
        _ip(self.node, f"route add default via {_WORLD}")
        for line in (
            f"address add {ENDPOINT}/32 dev eth0",
            "link set eth0 up",
            f"route add {NODE}/32 dev eth0",
            f"route add default via {NODE}",
        ):
            _ip(self.endpoint, line)

    def nft(self, text: str) -> None:
        """Load nft rules in the peers' node."""
        run(inside(self.node, ["nft", "-f", "-"]), stdin=text)

    def steer(self, ports: Mapping[str, int]) -> None:
        """TPROXY: DNS for each server goes to a port of 127.0.0.1, and answers for sockets that
        are bound to an endpoint's address to these sockets (as Cilium's own iptables rules do).
        """
        rules = [
            f"ip daddr {server} meta l4proto {proto} th dport 53 "
            f"tproxy to 127.0.0.1:{port} meta mark set {_MARK} accept"
            for server, port in ports.items()
            for proto in ("udp", "tcp")
        ]
        text = "\n".join(f"iifname lxc1 {rule}" for rule in rules)
        self.nft(
            "table ip steer { chain before { type filter hook prerouting priority mangle;\n"
            f"{text}\n"
            f"iifname up0 socket transparent 1 meta mark set {_MARK} accept\n"
            "}; }\n"
        )

    def remove(self) -> None:
        """Take the namespaces away; their links go with them."""
        for name in (self.endpoint, self.node):
            run(["ip", "netns", "delete", name])


def _ip(name: str, line: str) -> None:
    run(["ip", "-n", name, *line.split()])


@contextmanager
def peer_network(lab: str) -> Iterator[PeerNetwork]:
    """The peers' network beside a lab's, for as long as the block lasts."""
    made = PeerNetwork(lab)
    try:
        made.build()
        yield made
    finally:
        made.remove()
