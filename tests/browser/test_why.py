"""A drop is chosen by keyboard, explained, mended by the explanation's button, and passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.conftest import Opener
from tests.browser.jupyter_kit import SCREENSHOTS, Tab
from tests.browser.story import SETUP, TRAFFIC

LAB = "why"
HEIGHT = 2100  # all panels at once
MOVED = "198.51.100.9"
DOWN = "traffic.signal(15); lab.down(); print('down')"


@pytest.fixture(scope="module")
def tab(open_notebook: Opener) -> Iterator[Tab]:
    cells = [SETUP.format(lab=LAB), "lab.dashboard()", TRAFFIC.format(pause=0.1), DOWN]
    made = open_notebook("why.ipynb", *cells, height=HEIGHT)
    made.run(0)
    made.wait(0)
    assert "web-egress: enforced" in made.text(0)
    made.run(1)
    made.page.wait_for_selector(".fq-way", timeout=20_000)
    made.run(2)
    made.wait(2)
    yield made
    made.run(3)
    eventually(lambda: "down" in made.text(3), 40, "the lab to be down")


def rows(tab: Tab) -> list[str]:
    return tab.page.locator(".fq-flows tbody tr").all_inner_texts()


def only(tab: Tab, words: str, part: str) -> None:
    """Filter the table, and wait for rows that all have `part`; the filter keeps the focus."""
    tab.page.locator(".fq-filter").focus()
    tab.page.keyboard.press("Control+a")
    tab.page.keyboard.type(words)
    eventually(lambda: rows(tab) and all(part in r for r in rows(tab)), 15, f"rows with {part}")


def choose_the_first(tab: Tab) -> None:
    """From the filter on, with the keyboard alone: past the button to the rows, down, Enter."""
    for key in ("Tab", "Tab", "ArrowDown", "Enter"):
        tab.page.keyboard.press(key)


def why(tab: Tab) -> str:
    return tab.page.locator(".fq-why").inner_text()


def edges(tab: Tab) -> dict[str, str]:
    found = tab.page.evaluate(
        "[...document.querySelectorAll('.fq-way [data-edge]')]"
        ".map((e) => [e.dataset.edge, e.dataset.state])"
    )
    return dict(found)


def crosses(tab: Tab) -> list[str]:
    return tab.page.locator(".fq-way .fq-cross").all_text_contents()


def screenshot(tab: Tab, name: str) -> None:
    tab.shoot(".fqdnlab-dashboard", name)


def test_before_a_flow_is_chosen_both_say_how(tab: Tab) -> None:
    assert "Choose a flow" in why(tab)
    assert "Choose a flow" in tab.page.locator(".fq-way").inner_text()
    assert tab.page.locator(".fq-way svg").count() == 0
    assert not tab.page.locator(".fq-remedy").is_visible(), "nothing is proposed yet"


def test_a_drop_is_chosen_by_keyboard_and_explained(tab: Tab, lab: Lab) -> None:
    lab.agent.kill()
    lab.world["api.example.com"] = [MOVED]
    only(tab, f"verdict:dropped {MOVED}:443", MOVED)
    choose_the_first(tab)
    eventually(lambda: MOVED in why(tab), 10, "the explanation")
    text = why(tab)
    assert "DROPPED" in text
    assert "waits for the agent" in text
    assert "Restart the agent" in text


def test_the_way_ends_at_the_enforcer(tab: Tab) -> None:
    eventually(lambda: crosses(tab), 10, "the cross")
    found = edges(tab)
    assert found["answer"] == found["packet"] == "lit"
    assert found["mapping"] == "waits"
    assert found["forward"] == found["entries"] == "pale"
    agent = tab.page.locator(".fq-way [data-node=agent]")
    assert agent.get_attribute("data-state") == "away"
    assert "killed" in agent.inner_html(), "a word beside the dashes"
    assert tab.page.locator(".fq-way [data-at=enforcer]").count() == 1
    assert tab.page.evaluate(_CUT) == []
    screenshot(tab, "why")
    tab.theme("Dark")
    screenshot(tab, "why-dark")
    tab.theme("Light")


def test_the_button_mends_it_and_the_cross_is_gone(tab: Tab, lab: Lab) -> None:
    tab.page.locator(".fq-why [data-do=remedy]").focus()
    tab.page.keyboard.press("Enter")
    eventually(lambda: lab.agent.state().state == "running", 15, "the agent to be back")
    eventually(lambda: "Done" in why(tab), 15, "a word that it is done")
    eventually(lambda: "would be FORWARDED now" in why(tab), 15, "what would become of it now")
    eventually(lambda: not crosses(tab) and edges(tab)["forward"] == "lit", 15, "no cross")


def test_a_packet_that_passed_lights_the_whole_way(tab: Tab) -> None:
    tab.page.keyboard.press("Escape")
    only(tab, f"verdict:forwarded {MOVED}:443", "FORWARDED")
    choose_the_first(tab)
    eventually(lambda: "Why did this pass?".lower() in why(tab).lower(), 10, "its explanation")
    eventually(lambda: set(edges(tab).values()) == {"lit"}, 10, "every step of the way")
    assert crosses(tab) == []
    screenshot(tab, "why-passed")


def test_it_fits_a_narrow_place(tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 560, "height": HEIGHT})
    tab.page.wait_for_selector(".fq-way [data-layout=narrow]")
    eventually(lambda: tab.page.evaluate(_OVERFLOW) <= 1, 5, "no sideways scroll")
    eventually(lambda: tab.page.evaluate(_CUT) == [], 5, "whole labels")
    tab.page.locator(".fq-way").screenshot(path=SCREENSHOTS / "why-narrow.png")
    tab.page.set_viewport_size({"width": 1240, "height": HEIGHT})
    tab.page.wait_for_selector(".fq-way [data-layout=wide]")


_OVERFLOW = """() => {
  const way = document.querySelector('.fq-way');
  return way.scrollWidth - way.clientWidth;
}"""
_CUT = """() => {
  const svg = document.querySelector('.fq-way svg');
  const room = svg.getBoundingClientRect();
  const out = (r) => r.left < room.left || r.right > room.right
    || r.top < room.top || r.bottom > room.bottom;
  return [...svg.querySelectorAll('text')].filter((t) => out(t.getBoundingClientRect()))
    .map((t) => t.textContent);
}"""
