"""For every test: its tier's marker and order, skips that fail, and leaks that fail the run.

`make test` sets FQDNLAB_NO_SKIP=1 (a skip is a failure, wherever it is made) and FQDNLAB_LEAKS=1
(what the run leaves on the machine is one more failed test).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from fqdnlab.testing import Footprint, eventually
from tests.flight import flight_records

TESTS = Path(__file__).parent
#: In this order; those from "setup" on need root.
TIERS = ("unit", "setup", "bpf", "netns", "demo", "notebooks", "browser", "vm", "interop")
ROOT_TIERS = TIERS[1:]

# Hypothesis's deadline is by the wall clock: missed where the machine is busy with something else.
settings.register_profile("fqdnlab", settings(), deadline=None)
settings.load_profile("fqdnlab")

_before = pytest.StashKey[Footprint]()


def _wanted(variable: str) -> bool:
    return os.environ.get(variable) == "1"


def _tier(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _tier(item) not in TIERS:
            raise pytest.UsageError(f"{item.path}: tests are in tests/{{{','.join(TIERS)}}}")
        item.add_marker(_tier(item))
    items.sort(key=lambda item: TIERS.index(_tier(item)))
    if os.geteuid() != 0 and any(_tier(item) in ROOT_TIERS for item in items):
        raise pytest.UsageError("these tests make namespaces and load BPF: run  sudo ./lab test")


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and _wanted("FQDNLAB_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure here: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _no_skip(report)
    if report.failed and report.when == "call" and _tier(item) in ROOT_TIERS:
        report.sections += flight_records(item.name)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long each tier took, set-up and end of its labs with it."""
    took: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                took[Path(report.nodeid).parts[1]] += report.duration
    if len(took) > 1:
        terminalreporter.section("minutes")
        for tier in sorted(took.keys() & set(TIERS), key=TIERS.index):
            terminalreporter.write_line(f"{tier}: {took[tier] / 60:.1f}")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_skip(report)
    return report


def pytest_sessionstart(session: pytest.Session) -> None:
    if _wanted("FQDNLAB_LEAKS"):
        session.config.stash[_before] = Footprint.now()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One more result at the end: nothing is left of the run (all fixtures are gone by now)."""
    before = session.config.stash.get(_before, None)
    if before is None or session.config.option.collectonly:
        return
    problem = None
    try:
        # What dies, dies within moments: the kernel frees programs and namespaces lazily.
        eventually(lambda: not _left(before), 10.0, "nothing to be left behind")
    except AssertionError:
        problem = "the run left behind:\n" + "\n".join(_left(before))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    report = pytest.TestReport(
        nodeid="tests/conftest.py::nothing_is_left_behind",
        location=("tests/conftest.py", None, "nothing_is_left_behind"),
        keywords={},
        outcome="failed" if problem else "passed",
        longrepr=problem,
        when="call",
    )
    session.config.hook.pytest_runtest_logreport(report=report)


def _left(before: Footprint) -> list[str]:
    return Footprint.now().left_since(before)
