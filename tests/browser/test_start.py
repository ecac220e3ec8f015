"""What the README says to a newcomer, done so: from the printed address to a drop explained."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page

from fqdnlab.testing import eventually
from tests.browser.jupyter_kit import Server, jupyter

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
AGENT = "[data-process=agent]"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("lessons") / "notebooks"
    shutil.copytree(NOTEBOOKS, folder)
    with jupyter(folder, tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def page(started: Server, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 1800})
    yield context.new_page()
    context.close()


def wait_for_row(page: Page, *words: str) -> None:
    def there() -> bool:
        rows = page.locator(".fq-flows tbody tr").all_inner_texts()
        assert any(all(w in row for w in words) for row in rows), rows[:5]
        return True

    eventually(there, 20, " ".join(words))


def test_from_the_printed_address_to_a_drop_explained(started: Server, page: Page) -> None:
    (url,) = set(re.findall(r"http://127\.0\.0\.1:\S+", started.said()))
    begin = time.monotonic()

    def lap(what: str) -> None:
        print(f"{time.monotonic() - begin:5.1f} s  {what}")

    page.goto(url)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=30_000)
    page.wait_for_selector("h1:has-text('Start here')")
    lap("the notebook is open")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=30_000)
    page.locator(".jp-CodeCell").first.click()
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(f"{AGENT} .fq-word:has-text('at work')", timeout=30_000)
    lap("the dashboard is up")
    wait_for_row(page, "198.51.100.7:443", "FORWARDED")
    page.click(f"{AGENT} [data-do=kill]")
    page.wait_for_selector(f"{AGENT} .fq-word:has-text('SIGKILL')")
    page.click("tr[data-name='api.example.com'] [data-do=move]")
    wait_for_row(page, "198.51.100.8:443", "DROPPED", "waits for the agent")
    lap("a drop is seen live")
    page.locator(".fq-flows tbody tr:has-text('198.51.100.8:443')").first.click()
    page.wait_for_selector("h2:has-text('Why was this dropped')")
    page.click(".fq-why button:text-is('Restart agent')")
    page.wait_for_selector(f"{AGENT} .fq-word:has-text('at work')", timeout=20_000)
    wait_for_row(page, "198.51.100.8:443", "FORWARDED")
    lap("it passes again")
    assert time.monotonic() - begin < 120


def test_the_notebook_says_those_steps() -> None:
    book = nbformat.read(NOTEBOOKS / "start.ipynb", as_version=4)
    steps = book.cells[0].source
    for word in (
        "Click the next cell and press **Shift+Enter** twice",
        "**Kill**",
        "**move**",
        "DROPPED",
        "**Restart agent**",
        "FORWARDED",
    ):
        assert word in steps
    codes = [c.source for c in book.cells if c.cell_type == "code"]
    assert codes[1] == "lab.dashboard()"
    assert codes[-1] == "lab.down()"
    assert all(len(c.splitlines()) <= 8 for c in codes)
