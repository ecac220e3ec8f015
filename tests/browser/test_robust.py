"""What a user does to a notebook: two of them on one lab, a kernel restarted, a panel alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.conftest import Opener
from tests.browser.jupyter_kit import Tab
from tests.browser.story import SETUP

LAB = "robust"
WORD = "[data-process=agent] .fq-word"


@pytest.fixture(scope="module")
def first(open_notebook: Opener) -> Iterator[Tab]:
    made = open_notebook("first.ipynb", SETUP.format(lab=LAB), "lab.dashboard()")
    for cell in (0, 1):
        made.run(cell)
        made.wait(cell)
    made.page.wait_for_selector(f"{WORD}:has-text('at work')")
    yield made
    lab = Lab.attach(LAB)
    lab._machine.down(LAB)
    lab.close()


def test_two_notebooks_on_one_lab(first: Tab, open_notebook: Opener) -> None:
    attach = f'from fqdnlab import Lab\nlab = Lab("{LAB}")\nlab.panel("faults")'
    second = open_notebook("second.ipynb", attach)
    second.run(0)
    second.page.click("[data-process=agent] [data-do=kill]")
    eventually(lambda: "SIGKILL" in first.page.inner_text(WORD), 10, "the kill in the other one")
    second.page.click("[data-process=agent] [data-do=restart]")
    eventually(lambda: first.page.inner_text(WORD) == "at work", 10, "the start in the other one")


def test_two_browsers_on_one_notebook(first: Tab, open_notebook: Opener) -> None:
    """Views of the same widgets: a button of one moves both."""
    cells = 'import fqdnlab\nlab = fqdnlab.Lab("robust")\np = lab.panel("faults")\np', "p"
    tab = open_notebook("views.ipynb", *cells)
    tab.run(0)
    tab.run(1)
    words = tab.page.locator("[data-process=observer] .fq-word")
    eventually(lambda: words.all_inner_texts() == ["recording"] * 2, 10)
    tab.page.locator("[data-process=observer] [data-do=stop]").nth(1).click()
    eventually(lambda: words.all_inner_texts() == ["hung (SIGSTOP)"] * 2, 10)
    tab.page.locator("[data-process=observer] [data-do=continue]").nth(0).click()
    eventually(lambda: words.all_inner_texts() == ["recording"] * 2, 10)


def test_a_browser_that_was_closed(first: Tab, open_notebook: Opener) -> None:
    """The kernel goes on; another browser finds the panels alive."""
    cell = f'from fqdnlab import Lab\nlab = Lab("{LAB}")\nlab.panel("faults")'
    tab = open_notebook("closed.ipynb", cell)
    tab.run(0)
    tab.page.wait_for_selector(f"{WORD}:has-text('at work')")
    tab.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    url = tab.page.url
    tab.page.close()
    again = Tab(tab.page.context.new_page(), tab.outside)
    again.page.goto(url)
    again.page.wait_for_selector(f"{WORD}:has-text('at work')", timeout=30_000)
    again.page.click("[data-process=proxy] [data-do=upgrade]")
    again.page.wait_for_selector("[data-process=proxy] .fq-kv:has-text('generation 2')")


def test_without_our_routing_a_button_waits_for_the_cell(first: Tab, open_notebook: Opener) -> None:
    """The saboteur of "kill during a cell"; when this fails, comms.py is needed no longer."""
    cells = (
        "import fqdnlab.notebook.base as base\nbase.heard_while_busy = lambda widget: None\n"
        f'import fqdnlab\nfqdnlab.Lab("{LAB}").panel("faults")',
        "import time\nprint('busy', flush=True)\ntime.sleep(4)",
    )
    tab = open_notebook("sabotaged.ipynb", *cells)
    tab.run(0)
    tab.page.wait_for_selector("[data-process=observer] .fq-word:has-text('recording')")
    tab.run(1)
    eventually(lambda: "busy" in tab.text(1), 10)
    tab.page.click("[data-process=observer] [data-do=stop]")
    tab.page.wait_for_selector("[data-process=observer] .fq-word:has-text('hung')")
    assert tab.ended(1), "it was heard while the cell ran"
    tab.page.click("[data-process=observer] [data-do=continue]")
    tab.page.wait_for_selector("[data-process=observer] .fq-word:has-text('recording')")


def test_a_panel_alone_and_one_that_is_not_there(open_notebook: Opener, first: Tab) -> None:
    cells = (
        f'from fqdnlab import Lab\nlab = Lab("{LAB}")\nlab.panel("says")',
        'lab.panel("flows", filter="dropped")',
        'lab.panel("timeline", seconds=30)',
        'lab.panel("nothing")',
    )
    tab = open_notebook("alone.ipynb", *cells)
    for cell in range(4):
        tab.run(cell)
        tab.wait(cell)
    eventually(lambda: "Everything runs" in tab.text(0), 10)
    assert tab.page.input_value(".fq-filter") == "dropped"
    tab.page.wait_for_selector(".fq-canvas canvas[aria-label^='Last 30 seconds']")
    assert "there is no panel 'nothing'" in tab.text(3)
    assert "says, faults, timeline" in tab.text(3)


def test_a_restarted_kernel_loses_nothing_of_the_lab(first: Tab) -> None:
    first.page.evaluate(_RESTART)
    stale = first.page.locator(".fq-stale:visible").first
    eventually(lambda: "the lab itself goes on" in stale.inner_text(), 20, "plain words")
    with_lab = Lab.attach(LAB)
    assert [p.name for p in with_lab.policy_statuses()] == ["web-egress"]
    with_lab.close()
    for cell in (0, 1):
        first.run(cell)
        first.wait(cell)
    first.page.wait_for_selector(f"{WORD}:has-text('at work')")
    eventually(lambda: "1 policy" in first.page.inner_text(".fq-top"), 10, "the policy, as it was")


_RESTART = """() =>
  window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"""
