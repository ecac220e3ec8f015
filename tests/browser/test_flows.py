"""The table of flows alone in a cell: ports of any family, rows that are gone, rows not sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.conftest import Opener
from tests.browser.jupyter_kit import Tab
from tests.browser.story import SETUP, TRAFFIC

LAB = "flowtab"
DOWN = "traffic.signal(15); lab.down(); print('down')"

#: The kernel lets go of all rows that it keeps for the panels.
_FORGET = """
from fqdnlab.notebook.hub import hub
hub(lab.name, next(iter(lab.nodes)))._rows.clear()
print("forgotten")
"""
#: A view that is taken to be far behind, until some rows were not sent.
_WITHHOLD = """
from fqdnlab.notebook import flow_table
reader = hub(lab.name, next(iter(lab.nodes)))
ahead, flow_table._AHEAD = flow_table._AHEAD, -10**9
first = reader._number
while reader._number < first + 30:
    reader._stopping.wait(0.05)
flow_table._AHEAD = ahead
print("withheld")
"""


@pytest.fixture(scope="module")
def tab(open_notebook: Opener) -> Iterator[Tab]:
    cells = [SETUP.format(lab=LAB), 'lab.panel("flows")', TRAFFIC.format(pause=0.03)]
    made = open_notebook("flows.ipynb", *cells, _FORGET, _WITHHOLD, DOWN)
    for cell in range(3):
        made.run(cell)
        made.wait(cell)
    eventually(lambda: len(flows(made)) > 20, 20, "flows in the table")
    yield made
    made.run(5)
    eventually(lambda: "down" in made.text(5), 40, "the lab to be down")


def flows(tab: Tab) -> list[str]:
    return tab.page.locator(".fq-flows tbody tr").all_inner_texts()


def test_a_port_is_asked_for_whatever_the_family(tab: Tab, lab: Lab) -> None:
    for address in ("2001:db8::7", "2001:db8::4:443"):
        lab.endpoint("web", labels={"app": "web"}).connect(address, 80, timeout=0.2)
    box = tab.page.locator(".fq-filter")
    box.fill("port:80 2001:db8")
    eventually(lambda: {"[2001:db8::7]:80", "[2001:db8::4:443]:80"} <= _to(tab), 10, "both rows")
    for filter_ in ("port:7", "port:443 2001:db8", "port:53 verdict:resolved"):
        box.fill(filter_)
        eventually(lambda: flows(tab) == [], 5, f"no row of {filter_}")
    box.fill("")


def _to(tab: Tab) -> set[str]:
    """The ends of what the rows are to, with their ports."""
    return set(" ".join(tab.page.locator(".fq-flows .fq-to").all_inner_texts()).split())


def test_a_row_that_is_held_and_gone_is_said_to_be(tab: Tab, lab: Lab) -> None:
    """Neither the kernel nor the observer has it any more; its mark goes again."""
    tab.page.locator(".fq-flows tbody tr").first.click()
    tab.page.wait_for_selector(".fq-flows tr[aria-current=true]")
    assert tab.page.locator(".fq-flows [aria-selected]").count() == 0, "rows of no grid"
    pause = tab.page.locator("button", has_text="Pause")
    pause.click()
    before = tab.page.locator(".fq-flows tr[aria-current=true]").inner_text()
    lab.observer.restart()
    tab.run(3)
    eventually(lambda: "forgotten" in tab.text(3), 10, "the kernel's rows to be gone")
    note = tab.page.locator("h2:has(.fq-filter) + .fq-told")

    def gone() -> bool:
        tab.page.locator(".fq-flows tbody tr").nth(2).click()
        return "no longer kept" in str(eventually(note.inner_text, 5, "words"))

    eventually(gone, 15, "that it is gone")
    marked = tab.page.locator(".fq-flows tr[aria-current=true]")
    assert marked.all_inner_texts() in ([], [before])
    pause = tab.page.locator(".fq-tools button[aria-pressed=true]")
    pause.click()


def test_rows_that_the_kernel_withholds_are_counted(tab: Tab) -> None:
    """While a view seems to be far behind, or nobody there, rows are not sent."""
    tab.page.mouse.move(2, 2)
    tab.page.locator(".fq-scroll:has(.fq-flows)").focus()
    tab.page.keyboard.press("Escape")
    note = tab.page.locator("h2:has(.fq-filter) > small")

    def follows() -> bool:
        assert "following" in note.inner_text(), note.inner_text()
        return True

    eventually(follows, 10, "the table to follow")
    before = _unpainted(note.inner_text())
    tab.run(4)
    eventually(lambda: "withheld" in tab.text(4), 10, "rows that were not sent")
    eventually(lambda: _unpainted(note.inner_text()) >= before + 15, 10, "their count")


def _unpainted(note: str) -> int:
    found = re.search(r"([\d,]+) not painted", note)
    return int(found[1].replace(",", "")) if found else 0
