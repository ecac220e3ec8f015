"""One JupyterLab and one browser for all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from fqdnlab.lab import Lab
from tests.browser import witness
from tests.browser.jupyter_kit import Server, Tab, jupyter, launch, notebook

Opener = Callable[..., Tab]
Witness = Callable[[str], list[tuple[str, str]]]

#: Of the module whose tests run.
_witnesses: list[Witness] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and report.when != "teardown":
        for one in _witnesses:
            report.sections += one(item.name)
    return report


@pytest.fixture
def lab(tab: Tab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab of the module's tab from here: a second client."""
    made = Lab.attach(request.module.LAB)
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    witness.prepare(home)
    with jupyter(folder, home, "--LabApp.expose_app_in_browser=True") as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = launch(playwright)
        yield made
        made.close()


@pytest.fixture(scope="module")
def open_notebook(server: Server, browser: Browser) -> Iterator[Opener]:
    """Write a notebook with these cells and open it; no tab may have asked for anything outside."""
    tabs: list[Tab] = []

    def opened(name: str, *cells: str, width: int = 1240, height: int = 1400) -> Tab:
        notebook(Path(server.folder, name), cells)
        context = browser.new_context(viewport={"width": width, "height": height})
        tabs.append(Tab.open(context, server, name))
        return tabs[-1]

    _witnesses.append(lambda test: witness.sections(test, tabs, server))
    yield opened
    _witnesses.clear()
    outside = [url for tab in tabs for url in tab.outside]
    errors = [line for tab in tabs for line in tab.console if line.startswith("pageerror")]
    for tab in tabs:
        tab.page.context.close()
    assert outside == [], "something was asked for outside of this machine"
    assert errors == []
