"""Medians, ratios, and whether a target is met."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bench.figures import BenchError, Figure, Sample, Target, figures, judge
from bench.report import Outcome, write

OURS, PEER = "ours", "peer"


def cpu(path: str, *values: float) -> list[Sample]:
    return [Sample(path, "cpu", v, "µs", run) for run, v in enumerate(values)]


def at_most(value: float, to: str = PEER) -> Target:
    return Target("cheap", OURS, to, "cpu", at_most=value)


def test_a_figure_is_the_median_of_its_samples_with_their_range() -> None:
    samples = cpu(OURS, 3, 9, 1) + cpu(PEER, 4)
    assert figures(samples) == [
        Figure(OURS, "cpu", "µs", (3, 9, 1)),
        Figure(PEER, "cpu", "µs", (4,)),
    ]
    first = figures(samples)[0]
    assert (first.low, first.median, first.high) == (1, 3, 9)


def test_two_units_make_no_figure() -> None:
    with pytest.raises(ValueError, match="units"):
        figures([Sample(OURS, "cpu", 1, "µs", 0), Sample(OURS, "cpu", 1, "ms", 1)])


def test_ratios_are_taken_run_by_run() -> None:
    """A machine that is twice as slow in one run changes no ratio of that run."""
    samples = cpu(OURS, 10, 20, 10) + cpu(PEER, 40, 80, 20)
    judgement = judge(at_most(0.4), samples, {})
    assert judgement.values == (0.25, 0.25, 0.5)
    assert judgement.value == 0.25
    assert judgement.verdict == "met"
    assert judge(at_most(0.24), samples, {}).verdict == "missed"


def test_at_least() -> None:
    samples = cpu(OURS, 30) + cpu(PEER, 10)
    for wanted, verdict in ((3, "met"), (3.1, "missed")):
        target = Target("fast", OURS, PEER, "cpu", at_least=wanted)
        assert judge(target, samples, {}).verdict == verdict


def test_a_figure_by_itself() -> None:
    assert judge(at_most(0, to=""), cpu(OURS, 0, 0, 0), {}).verdict == "met"
    assert judge(at_most(0, to=""), cpu(OURS, 0, 1, 1), {}).verdict == "missed"


def test_only_runs_of_both_count_and_other_metrics_do_not() -> None:
    samples = [*cpu(OURS, 1, 2), *cpu(PEER, 1), Sample(PEER, "qps", 5, "1/s", 1)]
    assert judge(at_most(1), samples, {}).values == (1,)


def test_absent_peers_are_told_and_missing_samples_are_a_failure() -> None:
    judgement = judge(at_most(1), cpu(OURS, 1), {PEER: "no Go"})
    assert (judgement.verdict, judgement.note) == ("absent", "peer: no Go")
    with pytest.raises(BenchError, match="no cpu of peer"):
        judge(at_most(1), cpu(OURS, 1), {})


@pytest.mark.parametrize("bounds", [{}, {"at_most": 1.0, "at_least": 1.0}])
def test_a_target_has_one_bound(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at_most or at_least"):
        Target("x", OURS, PEER, "cpu", **bounds)


class _Section:
    name = "one"
    title = "One"
    targets: Sequence[Target] = [at_most(0.4), Target("n", OURS, "gone", "cpu", at_least=2)]
    absent: Mapping[str, str] = {"gone": "not here"}

    def run(self, runs: int, quick: bool, tell: object) -> list[Sample]:
        return []


def test_all_of_it_is_in_the_file(tmp_path: Path) -> None:
    samples = cpu(OURS, 10, 20, 30) + cpu(PEER, 100, 100, 100)
    write(tmp_path / "deep" / "bench.json", {"cpus": 2}, [Outcome(_Section(), samples, 1.25)])
    read = json.loads((tmp_path / "deep" / "bench.json").read_text())
    assert read["machine"] == {"cpus": 2}
    (section,) = read["sections"]
    assert [f["median"] for f in section["figures"]] == [20, 100]
    assert [(t["verdict"], t["measured"]) for t in section["targets"]] == [
        ("met", 0.2),
        ("absent", None),
    ]
    assert len(section["samples"]) == 6
