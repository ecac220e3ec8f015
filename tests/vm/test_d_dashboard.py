"""The dashboard of a lab in machines, in a browser here: buttons act there, drops come live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from fqdnlab.lab import Lab
from fqdnlab.lab.backends.vagrant import VagrantBackend
from fqdnlab.testing import eventually
from tests.browser.jupyter_kit import Tab, jupyter, launch, notebook
from tests.browser.story import DOWN, SETUP, TRAFFIC

pytestmark = pytest.mark.timeout(600)

NAME, NEW = "dash-vm", "198.51.100.9"
WORD = "[data-process={}] .fq-word"


@pytest.fixture
def tab(machines: VagrantBackend, tmp_path: Path) -> Iterator[Tab]:
    """A notebook by whose first cell the lab is there; the environment says where."""
    cells = [SETUP.format(lab=NAME), "lab.dashboard()", TRAFFIC.format(pause=0.5), DOWN]
    folder, home = tmp_path / "notebooks", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    notebook(folder / "machines.ipynb", cells)
    with (
        jupyter(folder, home, "--LabApp.expose_app_in_browser=True") as server,
        sync_playwright() as playwright,
        closing(launch(playwright)) as browser,
    ):
        context = browser.new_context(viewport={"width": 1240, "height": 1400})
        made = Tab.open(context, server, "machines.ipynb")
        made.run(0)
        made.wait(0, 90)
        assert "web-egress: enforced" in made.text(0)
        yield made
        made.run(3)
        eventually(lambda: "down" in made.text(3), 40, "the lab to be down")
        assert made.outside == []


def word(tab: Tab, process: str, wanted: str) -> None:
    """Wait until a card says that."""
    selector = f"{WORD.format(process)}:has-text('{wanted}')"
    tab.page.wait_for_selector(selector, timeout=60_000)


def row(tab: Tab, *words: str) -> None:
    """Wait for a row of the flow table that has these words."""

    def found() -> bool:
        rows = tab.page.locator(".fq-flows tbody tr").all_inner_texts()
        assert any(all(w in row for w in words) for row in rows), rows[-5:]
        return True

    eventually(found, 20, f"a flow with {words}")


def test_a_button_kills_the_agent_in_its_machine_and_the_drop_is_seen(
    tab: Tab, machines: VagrantBackend
) -> None:
    tab.run(1)
    word(tab, "agent", "at work")
    word(tab, "machine", "running")
    tab.run(2)
    row(tab, "FORWARDED", "api.example.com")
    tab.page.click("[data-process=agent] [data-do=kill]")
    word(tab, "agent", "SIGKILL")
    with closing(Lab.attach(NAME, machines)) as lab:
        lab.world.set("api.example.com", [NEW], ttl=5)
        row(tab, "DROPPED", NEW)
        tab.shoot(".fqdnlab-dashboard", "machines")
        tab.page.click("[data-process=agent] [data-do=restart]")
        word(tab, "agent", "at work")
        eventually(lambda: NEW in set(lab.mappings()["ip"]), 20, "the new address")
    row(tab, "FORWARDED", NEW)
