"""The peers on the DNS path, each at its released defaults, and how each is reached.

dnsmasq (with an nft set for every name) and dnsdist answer at the node's address; Cilium's proxies
are transparent, behind TPROXY.  All forward to the same Knot, and learn from the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load import answers
from bench.network import ENDPOINT, NODE, PeerNetwork
from bench.programs import Program
from fqdnlab.testing import eventually

__all__ = [
    "CILIUM",
    "DIRECT",
    "DNSDIST",
    "DNSMASQ",
    "OURS",
    "SDP",
    "SERVERS",
    "Route",
    "start_peers",
]

OURS, DIRECT = "fqdnlab", "direct"
DNSMASQ, DNSDIST = "dnsmasq+nftset", "dnsdist"
CILIUM, SDP = "Cilium's proxy in process", "Cilium's Standalone DNS Proxy"

#: Knot's addresses: the lab's resolver, and one for each transparent peer.
SERVERS = ("10.96.0.10", "10.96.0.11", "10.96.0.12")
_CILIUM_PORT, _SDP_PORT = 10001, 10002
_DNSDIST_PORT = 5300
_START = 40.0  # Cilium's SDP takes up to 15 s


@dataclass(frozen=True)
class Route:
    """A way to be asked.

    Attributes
    ----------
    name : str
    netns, server, port : str, str, int
        Where the load comes from, and whom it asks.
    proxy : callable
        Pids of what answers.
    rest : callable
        Pids of what it needs beside (agent, observer).
    """

    name: str
    netns: str
    server: str
    port: int
    proxy: Callable[[], Sequence[int]]
    rest: Callable[[], Sequence[int]]


class _Peers:
    def __init__(self, stack: ExitStack, net: PeerNetwork, folder: Path, names: Path) -> None:
        self._stack = stack
        self._net = net
        self._folder = folder
        self._names = names
        self._first = names.read_text().split()[0]

    def program(self, argv: Sequence[str], log: str) -> Program:
        made = Program(argv, self._folder / f"{log}.log", self._net.node)
        self._stack.callback(made.stop)
        return made

    def path(self, name: str, server: str, port: int, proxy: Program, *rest: Program) -> Route:
        """Once it answers."""

        def served() -> bool:
            for program in (proxy, *rest):
                program.check()
            return bool(answers(self._net.endpoint, server, self._first, port))

        eventually(served, _START, f"an answer of {name}")
        pids = [p.pid for p in rest]
        return Route(name, self._net.endpoint, server, port, lambda: [proxy.pid], lambda: pids)

    def dnsmasq(self) -> Route:
        self._net.nft("table inet learned { set allowed { type ipv4_addr; }; }")
        names = self._names.read_text().split()
        config = self._folder / "dnsmasq.conf"
        lines = ["no-resolv", "no-hosts", f"server={SERVERS[0]}", "user=root", "pid-file="]
        lines += [f"listen-address={NODE}", "bind-interfaces"]
        lines += [f"nftset=/{name}/4#inet#learned#allowed" for name in names]
        config.write_text("\n".join(lines) + "\n")
        program = self.program(["dnsmasq", "--keep-in-foreground", "-C", str(config)], "dnsmasq")
        return self.path(DNSMASQ, NODE, 53, program)

    def dnsdist(self) -> Route:
        config = self._folder / "dnsdist.conf"
        config.write_text(
            f'setLocal("{NODE}:{_DNSDIST_PORT}")\nnewServer("{SERVERS[0]}")\n'
            'setSecurityPollSuffix("")\n'
        )
        argv = ["dnsdist", "--supervised", "--disable-syslog", "-C", str(config)]
        return self.path(DNSDIST, NODE, _DNSDIST_PORT, self.program(argv, "dnsdist"))

    def _cilium_words(self, server: str) -> list[str]:
        return ["-endpoint", ENDPOINT, "-server", server, "-names", str(self._names)]

    def cilium(self, built: Path) -> Route:
        argv = [str(built / "ciliumproxy"), "-port", str(_CILIUM_PORT)]
        program = self.program([*argv, *self._cilium_words(SERVERS[1])], "cilium")
        return self.path(CILIUM, SERVERS[1], 53, program)

    def sdp(self, built: Path) -> Route:
        agent = self.program([str(built / "yesagent"), *self._cilium_words(SERVERS[2])], "yesagent")
        eventually(lambda: agent.said("ready"), _START, "the agent that says yes")
        folder = self._folder / "sdp"
        folder.mkdir()
        for option, value in {
            "enable-l7-proxy": "true",
            "enable-ipv4": "true",
            "enable-ipv6": "false",
            "enable-standalone-dns-proxy": "true",
            "tofqdns-proxy-port": str(_SDP_PORT),
            "standalone-dns-proxy-server-port": "10095",
            "dnsproxy-enable-transparent-mode": "true",
            "shell-sock-path": str(self._folder / "sdp.sock"),
        }.items():
            (folder / option).write_text(value)
        program = self.program(
            [str(built / "standalone-dns-proxy"), "--config-dir", str(folder)], "sdp"
        )
        return self.path(SDP, SERVERS[2], 53, program, agent)


def start_peers(
    stack: ExitStack, net: PeerNetwork, folder: Path, names: Path, built: Path | None
) -> list[Route]:
    """Start them all; they end with `stack`.

    Parameters
    ----------
    names : Path
        The policy's names, a line each.
    built : Path or None
        Where Cilium's programs are; None: without them.
    """
    peers = _Peers(stack, net, folder, names)
    paths = [peers.dnsmasq(), peers.dnsdist()]
    if built is not None:
        net.steer({SERVERS[1]: _CILIUM_PORT, SERVERS[2]: _SDP_PORT})
        paths += [peers.cilium(built), peers.sdp(built)]
    return paths
