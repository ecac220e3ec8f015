"""The DNS path: known names through each proxy, at full load and one question at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.dns_peers import CILIUM, DIRECT, DNSMASQ, OURS, SDP, SERVERS, Route, start_peers
from bench.figures import Sample, Target
from bench.golang import build, why_absent
from bench.knot import knot
from bench.labs import PLAIN, SELECTORS, WEB, names_of, pids, policy
from bench.load import full_load, one_at_a_time
from bench.network import peer_network
from bench.programs import bind, cpu_seconds
from fqdnlab.lab import Lab
from fqdnlab.paths import netns

__all__ = ["Bench"]

_DOMAIN = "bench.example"
_CPU, _ALL, _QPS, _P50 = "CPU, proxy", "CPU, all its processes", "qps", "p50, one at a time"


class Bench:
    """Knot answers for 1,000 names; dnsperf asks for them by every path in every run."""

    name = "dns"
    title = f"DNS path, {SELECTORS:,} known names"
    targets: Sequence[Target] = (
        Target("CPU a query ÷ Cilium's proxy in process", OURS, CILIUM, _CPU, at_most=0.4),
        Target("CPU a query ÷ its Standalone DNS Proxy", OURS, SDP, _CPU, at_most=0.15),
        Target("CPU a query ÷ dnsmasq+nftset", OURS, DNSMASQ, _CPU, at_most=0.45),
        Target("queries/s ÷ Cilium's proxy in process", OURS, CILIUM, _QPS, at_least=2),
        Target("queries/s ÷ its Standalone DNS Proxy", OURS, SDP, _QPS, at_least=5),
        Target("queries/s ÷ dnsmasq+nftset", OURS, DNSMASQ, _QPS, at_least=2.5),
        Target("p50, one at a time ÷ Cilium's proxy", OURS, CILIUM, _P50, at_most=0.4),
    )

    def __init__(self) -> None:
        self.absent: Mapping[str, str] = {}

    def run(self, runs: int, quick: bool, tell: Callable[[str], None]) -> list[Sample]:
        """See `bench.figures.Section`."""
        built = self._built(tell)
        names = names_of(_DOMAIN)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            (folder / "names").write_text("\n".join(names) + "\n")
            questions = folder / "questions"
            questions.write_text("".join(f"{name} A\n" for name in names))
            lab = stack.enter_context(Lab("bench"))
            records = {n.partition(".")[0]: _address(i) for i, n in enumerate(names)}
            upstream = stack.enter_context(knot(lab, folder, SERVERS, {_DOMAIN: records}))
            net = stack.enter_context(peer_network(lab.name))
            paths = [*_ours(lab, names), *start_peers(stack, net, folder, folder / "names", built)]
            tell(f"paths: {', '.join(p.name for p in paths)}")
            for path in paths:  # every name is known before anything is measured
                full_load(path.netns, path.server, path.port, questions, 1.0)
            measure = _Measure(folder, upstream.pid, 1.0 if quick else 4.0)
            return _interleaved(paths, runs, measure, tell)

    def _built(self, tell: Callable[[str], None]) -> Path | None:
        why = why_absent()
        if why:
            self.absent = {CILIUM: why, SDP: why}
            return None
        tell("building Cilium's proxies (Go) …")
        return build(Path("build/bench").resolve())


def _address(number: int) -> str:
    return f"192.0.{2 + number // 250}.{1 + number % 250}"


def _ours(lab: Lab, names: Sequence[str]) -> list[Route]:
    """Ours and direct: two endpoints of the lab, one of them without policy."""
    lab.endpoint(WEB, labels={"app": "web"})
    lab.endpoint(PLAIN, labels={"app": "plain"})
    lab.apply(policy([f"matchName: {name}" for name in names]), timeout=30)
    return [
        Route(DIRECT, netns(lab.name, f"ep-{PLAIN}"), SERVERS[0], 53, list, list),
        Route(
            OURS,
            netns(lab.name, f"ep-{WEB}"),
            SERVERS[0],
            53,
            lambda: pids(lab, "proxy"),
            lambda: pids(lab, "agent", "observer"),
        ),
    ]


def _interleaved(
    paths: Sequence[Route], runs: int, measure: _Measure, tell: Callable[[str], None]
) -> list[Sample]:
    samples: list[Sample] = []
    for run in range(runs):
        for path in paths:
            samples += measure(path, run)
        told = {s.path: s.value for s in samples if s.run == run and s.metric == _QPS}
        tell(f"run {run + 1} of {runs}: " + ", ".join(f"{p} {v:,.0f}/s" for p, v in told.items()))
    return samples


@dataclass(frozen=True)
class _Measure:
    """Full load, then one question at a time.

    Attributes
    ----------
    folder : Path
        With the files ``questions`` and ``names``.
    upstream : int
        Its pid.
    seconds : float
        Of full load.
    """

    folder: Path
    upstream: int
    seconds: float

    def __call__(self, path: Route, run: int) -> list[Sample]:
        """Samples of one path."""
        asked = path.netns, path.server, path.port
        proxy, rest = path.proxy(), path.rest()
        bind(self.upstream, last_core=True)
        before = cpu_seconds(proxy), cpu_seconds(rest)
        load = full_load(*asked, self.folder / "questions", self.seconds)
        took = [
            (cpu_seconds(pids) - b) * 1e6 / load.completed
            for pids, b in zip((proxy, rest), before, strict=True)
        ]
        bind(self.upstream, last_core=False)
        p50 = one_at_a_time(*asked, self.folder / "names", self.seconds / 4)
        found = [
            Sample(path.name, _QPS, load.qps, "1/s", run),
            Sample(path.name, _P50, p50, "µs", run),
        ]
        if proxy:
            found.append(Sample(path.name, _CPU, took[0], "µs/query", run))
            found.append(Sample(path.name, _ALL, sum(took), "µs/query", run))
        return found
