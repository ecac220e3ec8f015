"""Cilium's Standalone DNS Proxy in a lab's node: configured, steered to, started, ended."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fqdnlab.datapath.abi import MARK_FROM_PROXY, MARK_TO_PROXY
from fqdnlab.node.netns import NETNS
from fqdnlab.paths import netns

PROGRAM = "standalone-dns-proxy"
#: Where it listens, on 127.0.0.1 and [::1].
PORT = 10094
#: Where our agent listens.
AGENT_PORT = 10095

#: TPROXY finds its sockets for what the enforcer has marked; what it answers bears Cilium's mark of
#: a proxy (0xb00), and gets the one by which our enforcer knows a proxy's answer.
RULES = f"""
table inet sdp {{
  chain steer {{
    type filter hook prerouting priority mangle;
    meta mark {MARK_TO_PROXY} meta nfproto ipv4 meta l4proto {{ tcp, udp }} iifname "lxc*" \
tproxy ip to 127.0.0.1:{PORT} counter accept
    meta mark {MARK_TO_PROXY} meta nfproto ipv6 meta l4proto {{ tcp, udp }} iifname "lxc*" \
tproxy ip6 to [::1]:{PORT} counter accept
  }}
  chain answers {{
    type filter hook output priority mangle;
    oifname "lxc*" meta mark & 0xfff == 0xb00 meta mark set {MARK_FROM_PROXY}
  }}
}}
"""

OPTIONS = {
    "enable-l7-proxy": "true",
    "enable-ipv4": "true",
    "enable-ipv6": "true",
    "enable-standalone-dns-proxy": "true",
    "dnsproxy-enable-transparent-mode": "true",
    "tofqdns-proxy-port": str(PORT),
}


def inside(lab: str) -> list[str]:
    """What runs a command in the node's namespace."""
    return ["nsenter", f"--net={NETNS / netns(lab, 'node')}"]


def steer(lab: str) -> None:
    """Put the TPROXY rules in the node's namespace; they go with it."""
    done = subprocess.run(
        [*inside(lab), "nft", "-f", "-"], input=RULES, text=True, capture_output=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


def steered(lab: str) -> int:
    """How many packets TPROXY has delivered."""
    done = subprocess.run(
        [*inside(lab), "nft", "list", "chain", "inet", "sdp", "steer"],
        text=True,
        capture_output=True,
        check=True,
        timeout=30,
    )
    words = done.stdout.split()
    return sum(int(words[i + 1]) for i, word in enumerate(words) if word == "packets")


class SDP:
    """The running proxy and what it has logged."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def running(binary: Path, lab: str, folder: Path, agent_port: int = AGENT_PORT) -> Iterator[SDP]:
    """Start it inside the node's namespace, without waiting until it serves; end it at last."""
    config = folder / "config"
    config.mkdir()
    options = {
        **OPTIONS,
        "standalone-dns-proxy-server-port": str(agent_port),
        "shell-sock-path": str(folder / "shell.sock"),
    }
    for name, value in options.items():
        (config / name).write_text(value, encoding="utf-8")
    log = folder / "sdp.log"
    with log.open("wb") as out:
        # nsenter execs: the pid is the proxy's own
        process = subprocess.Popen(
            [*inside(lab), str(binary), "--config-dir", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield SDP(process, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
