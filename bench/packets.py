"""Packets: what a verdict takes, and what the enforcer leaves of TCP's throughput."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.figures import Sample, Target
from bench.packets_tcp import METRIC as THROUGHPUT
from bench.packets_tcp import OURS, UNFILTERED, throughput
from bench.packets_verdict import METRIC as NANOSECONDS
from bench.packets_verdict import PROGRAMS, Verdicts

__all__ = ["Bench"]


class Bench:
    """Verdicts by BPF_PROG_TEST_RUN on 1M addresses; iperf3 by every path in every run."""

    name = "packets"
    title = "Packets: verdict and throughput"
    targets: Sequence[Target] = (
        Target("verdict, hot, ns", PROGRAMS["hot"], "", NANOSECONDS, at_most=300),
        Target("verdict, known flows, ns", PROGRAMS["known"], "", NANOSECONDS, at_most=700),
        Target("TCP ÷ unfiltered", OURS, UNFILTERED, THROUGHPUT, at_least=0.95),
    )

    def __init__(self) -> None:
        self.absent: Mapping[str, str] = {}

    def run(self, runs: int, quick: bool, tell: Callable[[str], None]) -> list[Sample]:
        """See `bench.figures.Section`."""
        samples: list[Sample] = []
        with Verdicts.loaded(tell) as verdicts:
            for number in range(runs):
                samples += verdicts.measure(number, quick)
        return samples + throughput(runs, quick, tell)
