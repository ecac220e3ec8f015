"""Figures: samples, what they come to, and whether that meets a target.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

__all__ = ["BenchError", "Figure", "Judgement", "Sample", "Section", "Target", "figures", "judge"]

Tell = Callable[[str], None]


class BenchError(Exception):
    """A figure could not be measured: the message says which and why."""


@dataclass(frozen=True)
class Sample:
    """One value, measured once.

    Attributes
    ----------
    path : str
        What was measured: ``fqdnlab``, ``dnsmasq+nftset`` …
    metric : str
        ``cpu``, ``qps`` …
    value : float
    unit : str
    run : int
        From 0; equal for what was measured side by side.
    """

    path: str
    metric: str
    value: float
    unit: str
    run: int


@dataclass(frozen=True)
class Target:
    """What a figure is to be: exactly one of `at_most` and `at_least` is given.

    Attributes
    ----------
    name : str
        For people.
    ratio_of : str
        A path.
    to : str
        The path that it is divided by, run by run; empty: the figure itself is judged.
    metric : str
    at_most, at_least : float or None
    """

    name: str
    ratio_of: str
    to: str
    metric: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"target {self.name!r}: give at_most or at_least")

    @property
    def wanted(self) -> str:
        """As it is printed: ``≤ 0.4``."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return f"≥ {self.at_least:g}"

    def holds(self, value: float) -> bool:
        """Whether `value` meets it."""
        if self.at_most is not None:
            return value <= self.at_most
        assert self.at_least is not None
        return value >= self.at_least


class Section(Protocol):
    """A part of the benchmark.

    Attributes
    ----------
    name : str
        For ``--only``.
    title : str
    targets : sequence of Target
    absent : mapping of str to str
        Paths that cannot be measured on this machine, and why (known after `run`).
    """

    name: str
    title: str
    targets: Sequence[Target]
    absent: Mapping[str, str]

    def run(self, runs: int, quick: bool, tell: Tell) -> list[Sample]:
        """Measure, everything in turn, `runs` times; raise BenchError where that fails.

        Parameters
        ----------
        runs : int
        quick : bool
            Short runs: the figures are rough.
        tell : callable
            Given lines of progress.
        """


@dataclass(frozen=True)
class Figure:
    """All samples of a (path, metric)."""

    path: str
    metric: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The least."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The most."""
        return max(self.values)


def figures(samples: Iterable[Sample]) -> list[Figure]:
    """Samples by (path, metric), in the order in which these were first seen.

    Raises
    ------
    ValueError
        If samples of one figure have different units.
    """
    found: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        found.setdefault((sample.path, sample.metric), []).append(sample)
    made = []
    for (path, metric), its in found.items():
        units = {s.unit for s in its}
        if len(units) > 1:
            raise ValueError(f"{path}, {metric}: units {sorted(units)}")
        made.append(Figure(path, metric, its[0].unit, tuple(s.value for s in its)))
    return made


@dataclass(frozen=True)
class Judgement:
    """What became of a target.

    Attributes
    ----------
    target : Target
    values : tuple of float
        One a run: the ratio, or the figure itself; empty: it could not be measured.
    note : str
        Why not.
    """

    target: Target
    values: tuple[float, ...]
    note: str = ""

    @property
    def measured(self) -> bool:
        """Whether there is something to judge."""
        return bool(self.values)

    @property
    def value(self) -> float:
        """The median of the runs: it decides."""
        return median(self.values)

    @property
    def verdict(self) -> str:
        """``met``, ``missed`` or ``absent``."""
        if not self.measured:
            return "absent"
        return "met" if self.target.holds(self.value) else "missed"


def judge(target: Target, samples: Iterable[Sample], absent: Mapping[str, str]) -> Judgement:
    """Compare what was measured side by side with the target.

    Raises
    ------
    BenchError
        If a path that is not absent has no samples.
    """
    by_path: dict[str, dict[int, float]] = {}
    for sample in samples:
        if sample.metric == target.metric:
            by_path.setdefault(sample.path, {})[sample.run] = sample.value
    for path in filter(None, (target.ratio_of, target.to)):
        if path in by_path:
            continue
        if path in absent:
            return Judgement(target, (), f"{path}: {absent[path]}")
        raise BenchError(f"target {target.name!r}: no {target.metric} of {path} was measured")
    ours = by_path[target.ratio_of]
    if not target.to:
        return Judgement(target, tuple(ours.values()))
    theirs = by_path[target.to]
    both = [run for run in ours if theirs.get(run)]
    if not both:
        raise BenchError(f"target {target.name!r}: no run has both {target.ratio_of}, {target.to}")
    return Judgement(target, tuple(ours[run] / theirs[run] for run in both))
