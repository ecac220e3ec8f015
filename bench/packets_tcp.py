"""TCP from an endpoint to the world: through our enforcer, through nothing, through an nft set.

Ours is an endpoint of the lab, by a policy of 1,000 names; the others are an endpoint of the
peers' network, laid out alike (bench/network.py), without a filter and with one that has as many
addresses in a set, and conntrack for the replies.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import BenchError, Sample
from bench.labs import SELECTORS, WEB, names_of, policy
from bench.network import PeerNetwork, peer_network
from bench.programs import Program, inside, run
from fqdnlab.lab import Lab
from fqdnlab.paths import netns
from fqdnlab.testing import eventually

__all__ = ["METRIC", "NFT", "OURS", "UNFILTERED", "throughput"]

OURS, UNFILTERED, NFT = "fqdnlab", "unfiltered", "nft set"
METRIC = "TCP throughput"
_ADDRESS, _DOMAIN = "198.51.100.7", "bench.example"
_SET = ", ".join(f"192.0.{2 + n // 250}.{1 + n % 250}" for n in range(SELECTORS - 1))
_RULES = f"""table ip filter {{
 set allowed {{ type ipv4_addr; elements = {{ {_ADDRESS}, {_SET} }} }}
 chain forward {{ type filter hook forward priority 0; policy drop;
  ct state established,related accept
  ip daddr @allowed tcp dport 5201 accept
 }}
}}
"""


@dataclass(frozen=True)
class _Path:
    name: str
    netns: str
    before: Callable[[], None]
    after: Callable[[], None]


def throughput(runs: int, quick: bool, tell: Callable[[str], None]) -> list[Sample]:
    """Each path in turn, so many runs; Gbit/s as the receiver counts them."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab("bench"))
        net = stack.enter_context(peer_network(lab.name))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        stack.enter_context(_server(net.world, folder))
        paths = [_ours(lab), *_peers(net)]
        samples: list[Sample] = []
        for number in range(runs):
            # another one is first each time: what a path finds warm is nobody's gain
            for path in paths[number % len(paths) :] + paths[: number % len(paths)]:
                value = _measure(path, 1 if quick else 3)
                samples.append(Sample(path.name, METRIC, value, "Gbit/s", number))
            told = ", ".join(f"{s.path} {s.value:.1f}" for s in samples if s.run == number)
            tell(f"run {number + 1} of {runs}: {told} Gbit/s")
        return samples


@contextmanager
def _server(namespace: str, folder: Path) -> Iterator[None]:
    server = Program(["iperf3", "-s", "--forceflush"], folder / "iperf3.log", namespace)
    try:
        eventually(lambda: server.said("Server listening"), 10, "iperf3 to listen")
        yield
    finally:
        server.stop()


def _ours(lab: Lab) -> _Path:
    names = names_of(_DOMAIN)
    lab.endpoint(WEB, labels={"app": "web"})
    lab.apply(policy([f"matchName: {name}" for name in names]), timeout=30)
    lab.world.set(names[0], [_ADDRESS], ttl=3600)
    found = run(inside(netns(lab.name, f"ep-{WEB}"), ["dig", "+short", "@10.96.0.10", names[0]]))
    if found.split() != [_ADDRESS]:
        raise BenchError(f"{names[0]} was not learned: {found!r}")
    return _Path(OURS, netns(lab.name, f"ep-{WEB}"), _nothing, _nothing)


def _peers(net: PeerNetwork) -> Sequence[_Path]:
    return (
        _Path(UNFILTERED, net.endpoint, _nothing, _nothing),
        _Path(
            NFT, net.endpoint, lambda: net.nft(_RULES), lambda: net.nft("delete table ip filter\n")
        ),
    )


def _nothing() -> None:
    pass


def _measure(path: _Path, seconds: int) -> float:
    path.before()
    try:
        argv = ["iperf3", "-J", "-c", _ADDRESS, "-t", str(seconds), "-O", "1"]
        told = json.loads(run(inside(path.netns, argv), timeout=seconds + 30))
    finally:
        path.after()
    return float(told["end"]["sum_received"]["bits_per_second"]) / 1e9
