"""The whole story by keyboard: no element can be clicked, no focus is set but by Tab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.conftest import Opener
from tests.browser.jupyter_kit import Tab
from tests.browser.keys import Keys
from tests.browser.story import SETUP

LAB = "keys"
AGENT = "[data-process=agent]"
ADDRESSES = "tr[data-name='api.example.com'] [data-field=addresses]"
FIRST, MOVED = "198.51.100.8", "198.51.100.9"


@pytest.fixture(scope="module")
def tab(open_notebook: Opener) -> Iterator[Tab]:
    cells = SETUP.format(lab=LAB), "lab.dashboard()", "lab.down(); print('down')"
    made = open_notebook("keys.ipynb", *cells)
    yield made
    made.run(2)
    eventually(lambda: "down" in made.text(2), 40, "the lab to be down")


@pytest.fixture(scope="module")
def keys(tab: Tab) -> Keys:
    return Keys(tab)


def shown(tab: Tab, selector: str, words: str, patience: float = 15) -> None:
    def there() -> bool:
        texts = tab.page.locator(selector).all_inner_texts()
        assert any(words in text for text in texts), texts[:6]
        return True

    eventually(there, patience, words)


def picture(tab: Tab) -> Any:
    return tab.page.evaluate(
        "document.querySelector('.fq-canvas').closest('.fqdnlab').fqdnlab.picture"
    )


def rows(tab: Tab) -> list[str]:
    return tab.page.locator(".fq-flows tbody tr").all_inner_texts()


def test_the_dashboard_comes_up(tab: Tab, keys: Keys) -> None:
    keys.press("Shift+Enter")
    eventually(lambda: "web-egress: enforced" in tab.text(0), 30, "the lab")
    keys.press("Shift+Enter")
    shown(tab, f"{AGENT} .fq-word", "at work", 20)


def test_traffic_is_started(tab: Tab, keys: Keys) -> None:
    keys.go(".fq-start [data-field=name]")
    keys.type("api.example.com")
    keys.press("Enter")
    shown(tab, ".fq-told", "web began: look up + connect")
    eventually(lambda: any("FORWARDED" in r for r in rows(tab)), 20, "a connection in the table")


def test_an_address_is_changed(tab: Tab, keys: Keys, lab: Lab) -> None:
    keys.go(ADDRESSES)
    keys.type(FIRST)
    keys.press("Enter")
    shown(tab, ".fq-told", f"api.example.com has {FIRST}.")
    assert lab.world["api.example.com"] == [FIRST]
    eventually(lambda: any(f"{FIRST}:443" in r and "FORWARDED" in r for r in rows(tab)), 20)


def test_time_goes_faster_and_back(tab: Tab, keys: Keys, lab: Lab) -> None:
    keys.go("[data-do=speed]")
    keys.press("ArrowDown")
    shown(tab, ".fq-top", "TTL time × 10")
    assert lab.time_scale == 10.0
    keys.press("ArrowUp")
    eventually(lambda: lab.time_scale == 1.0, 5, "the speed of before")
    eventually(lambda: _told(tab) >= {"lab time 10×", "lab time 1×"}, 5, "both in the timeline")


def _told(tab: Tab) -> set[str]:
    return {c["text"] for c in picture(tab)["changes"]}


def test_the_agent_is_killed(tab: Tab, keys: Keys, lab: Lab) -> None:
    keys.go(f"{AGENT} [data-do=kill]")
    keys.press("Enter")
    shown(tab, f"{AGENT} .fq-word", "killed (SIGKILL)")
    assert lab.agent.state().state == "dead"
    shown(tab, ".fq-says", "The agent was killed")
    eventually(tab.page.locator("[data-do=speed]").is_disabled, 10, "no speed to choose")
    shown(tab, ".fq-speed", "Lab time is the agent's, which is dead: restart it.")


def test_the_drop_appears_in_table_and_timeline(tab: Tab, keys: Keys) -> None:
    keys.go(ADDRESSES)
    keys.type(MOVED)
    keys.press("Enter")
    drop = f"{MOVED}:443"
    eventually(lambda: any(drop in r and "DROPPED" in r for r in rows(tab)), 20, "the drop")
    shown(tab, ".fq-says", f"{MOVED} of api.example.com")
    eventually(lambda: MOVED in str(picture(tab)["names"]), 10, "its lane in the timeline")
    seen = picture(tab)
    assert "agent killed" in [b["text"] for b in seen["bands"]]
    eventually(lambda: sum(picture(tab)["dropped"]) > 0, 10, "its bar in the timeline")
    label = tab.page.get_attribute(".fq-canvas canvas", "aria-label") or ""
    assert f"{MOVED} of api.example.com" in label, "... and for who cannot see it"


def test_it_is_opened_and_the_explanation_is_read(tab: Tab, keys: Keys, lab: Lab) -> None:
    keys.go(".fq-filter")
    keys.type("dropped port:443")
    eventually(lambda: rows(tab) and all(":443" in r and "DROPPED" in r for r in rows(tab)), 15)
    keys.press("Tab", "Tab", "ArrowDown", "Enter")
    shown(tab, ".fq-why", "waits for the agent")
    shown(tab, ".fq-why", MOVED)
    keys.go(".fq-why button.fq-primary")
    keys.press("Enter")
    shown(tab, f"{AGENT} .fq-word", "at work", 20)
    keys.go(".fq-filter")
    keys.type(f"forwarded {MOVED}")
    eventually(lambda: rows(tab), 20, "the packet passes")
    assert lab.agent.state().state == "running"


def test_an_agent_is_upgraded_in_place(tab: Tab, keys: Keys, lab: Lab) -> None:
    before = lab.agent.state().generation
    keys.go(f"{AGENT} [data-do=upgrade]")
    keys.press("Space")
    shown(tab, ".fq-told", "Agent upgraded, pid", 30)
    assert lab.agent.state().generation == before + 1
    assert MOVED in set(lab.mappings()["ip"]), "its state is kept"


def test_a_policy_is_written_and_applied(tab: Tab, keys: Keys, lab: Lab) -> None:
    keys.go("[data-tab=form]")
    keys.press("Enter")
    keys.go("[data-where='spec.egress[1].toFQDNs']")
    keys.type("typed.example.com")
    keys.press("Tab")
    where = tab.page.evaluate("document.activeElement.dataset.where")
    assert where == "spec.egress[1].toPorts[0].ports"
    keys.press("Control+Enter")

    def applied() -> bool:
        (policy,) = lab.policy_statuses()
        assert "matchName: typed.example.com" in policy.yaml, policy.yaml
        assert policy.enforced
        return True

    eventually(applied, 10, "the name in the policy that is applied")
    shown(tab, ".fq-told", "Applied, revision")
