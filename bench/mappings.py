"""New mappings: from the look-up of a name never seen to the first packet that passes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.figures import BenchError, Sample, Target
from bench.knot import knot
from bench.labs import PLAIN, SELECTORS, WEB, names_of, pids, policy
from bench.load import one_at_a_time
from bench.programs import Program, cpu_seconds, inside, run
from bench.unary import unary_call
from fqdnlab.lab import Endpoint, Lab
from fqdnlab.paths import LabPaths, netns
from fqdnlab.testing import eventually

__all__ = ["Bench"]

_SERVER, _PORT = "10.96.0.10", 7777
_KNOWN, _NEW = "bench.example", "new.example"
#: Look-ups under way: as many as keep every process busy, and none waits for the hold deadline.
_WINDOW = 32
_OURS, _DIRECT, _UNARY = "fqdnlab", "direct look-up", "one unary call to the agent"
_BOTH = "direct look-up + unary call"
_P50, _RATE, _LOST = "p50, look-up to first packet", "new mappings", "first packets lost, all runs"
_CPU = "CPU a mapping"


@dataclass(frozen=True)
class _Sizes:
    burst: int  # names in a run at full rate
    single: int  # and one at a time

    @property
    def names(self) -> int:
        """Of a run: burst, single, unary, in this order."""
        return self.burst + 2 * self.single


class Bench:
    """Names and addresses both new; each is sent to at once, and arrivals are counted."""

    name = "mappings"
    title = "New mappings: names and addresses never seen"
    targets: Sequence[Target] = (
        Target("p50 ÷ (a direct look-up + one unary call)", _OURS, _BOTH, _P50, at_most=2),
        Target("new mappings/s, sustained", _OURS, "", _RATE, at_least=2000),
        Target("first packets lost in all of these runs", _OURS, "", _LOST, at_most=0),
    )

    def __init__(self) -> None:
        self.absent: Mapping[str, str] = {}

    def run(self, runs: int, quick: bool, tell: Callable[[str], None]) -> list[Sample]:
        """See `bench.figures.Section`."""
        sizes = _Sizes(2_000, 100) if quick else _Sizes(10_000, 500)
        total = runs * sizes.names
        known = names_of(_KNOWN)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            folder.chmod(0o755)
            lab = stack.enter_context(Lab("bench", max_ipcache=total + 16_384))
            records = {f"n{i}": _address(i) for i in range(total)}
            one = {known[0].partition(".")[0]: "192.0.2.1"}
            stack.enter_context(knot(lab, folder, [_SERVER], {_KNOWN: one, _NEW: records}))
            web = lab.endpoint(WEB, labels={"app": "web"})
            lab.endpoint(PLAIN, labels={"app": "plain"})
            selectors = [f"matchName: {name}" for name in known[: SELECTORS - 1]]
            lab.apply(policy([*selectors, f'matchPattern: "*.{_NEW}"']), timeout=30)
            (folder / "known").write_text(f"{known[0]}\n")
            samples: list[Sample] = []
            lost = 0
            for number in range(runs):
                found, gone = _Run(lab, web, folder, sizes, number).measure()
                samples += found
                lost += gone
                told = ", ".join(f"{s.path} {s.metric} {s.value:,.0f} {s.unit}" for s in found)
                tell(f"run {number + 1} of {runs}: {told}; lost {gone}")
            return [*samples, Sample(_OURS, _LOST, lost, "packets", 0)]


def _address(number: int) -> str:
    """One of 131,072 in 198.18.0.0/15."""
    if number >= 1 << 17:
        raise BenchError("so many runs need more addresses than there are: take fewer")
    return f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class _Run:
    """One run, with names and addresses of its own."""

    def __init__(self, lab: Lab, web: Endpoint, folder: Path, sizes: _Sizes, number: int) -> None:
        self._lab = lab
        self._web = web
        self._folder = folder
        self._sizes = sizes
        self._number = number
        self._first = number * sizes.names

    def measure(self) -> tuple[list[Sample], int]:
        """Samples, and how many first packets were lost."""
        sizes = self._sizes
        workers = pids(self._lab, "agent", "proxy", "observer")
        before = cpu_seconds(workers)
        taken, gone = self._ask(0, sizes.burst, _WINDOW)
        cpu = (cpu_seconds(workers) - before) * 1e6 / sizes.burst
        rate = sizes.burst / taken.seconds
        single, also_gone = self._ask(sizes.burst, sizes.single, 1)
        direct = one_at_a_time(
            netns(self._lab.name, f"ep-{PLAIN}"), _SERVER, 53, self._folder / "known", 0.5
        )
        unary = self._unary(sizes.burst + sizes.single, sizes.single)
        number = self._number
        return [
            Sample(_OURS, _RATE, rate, "1/s", number),
            Sample(_OURS, _CPU, cpu, "µs, all its processes", number),
            Sample(_OURS, _P50, median(single.latencies), "µs", number),
            Sample(_DIRECT, _P50, direct, "µs", number),
            Sample(_UNARY, _P50, unary, "µs", number),
            Sample(_BOTH, _P50, direct + unary, "µs", number),
        ], gone + also_gone

    def _unary(self, begin: int, count: int) -> float:
        numbers = range(self._first + begin, self._first + begin + count)
        mappings = [(f"n{n}.{_NEW}", _address(n)) for n in numbers]
        return unary_call(LabPaths(self._lab.name).fqdndata_socket, self._web.ip4, mappings)

    def _ask(self, begin: int, count: int, window: int) -> tuple[_Taken, int]:
        """Ask for `count` names; how long it took, and how many first packets did not arrive."""
        names = self._folder / "new"
        numbers = range(self._first + begin, self._first + begin + count)
        names.write_text("".join(f"n{n}.{_NEW}\n" for n in numbers))
        arrived = self._folder / "arrived"
        counter = Program(
            [sys.executable, "-I", _script("arrivals"), str(_PORT), str(arrived)],
            self._folder / "arrivals.log",
            netns(self._lab.name, "world"),
        )
        try:
            eventually(lambda: counter.said("ready"), 10, "the counter of arrivals")
            argv = [sys.executable, "-I", _script("first_packets"), _SERVER, str(_PORT)]
            text = run(
                inside(netns(self._lab.name, f"ep-{WEB}"), [*argv, str(names), str(window)]),
                timeout=180,
            )
        finally:
            counter.stop()
        return _compare(text, arrived.read_text(), count)


@dataclass(frozen=True)
class _Taken:
    """What a series took."""

    seconds: float
    latencies: list[float]  # µs, of those that arrived


def _script(name: str) -> str:
    return str(Path(__file__).with_name(f"{name}.py"))


def _pairs(text: str) -> dict[int, int]:
    """number → first time it is told with."""
    found: dict[int, int] = {}
    for line in text.splitlines():
        number, when = line.split()
        found.setdefault(int(number), int(when))
    return found


def _compare(asked: str, arrived: str, count: int) -> tuple[_Taken, int]:
    *lines, last = asked.splitlines()
    begun, there = _pairs("\n".join(lines)), _pairs(arrived)
    if len(begun) != count or not there.keys() <= begun.keys():
        raise BenchError(f"{len(begun)} of {count} asked, {len(there)} arrived")
    latencies = [(there[n] - begun[n]) / 1000 for n in there]
    if not latencies:
        raise BenchError("not one first packet arrived")
    return _Taken(float(last.split()[1]), latencies), count - len(there)
