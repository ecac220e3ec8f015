"""The world's table and the traffic panel against a real lab, by keyboard; what endpoints get."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.conftest import Opener
from tests.browser.jupyter_kit import SCREENSHOTS, Tab
from tests.browser.story import SETUP

LAB = "worldtab"
NAME = "api.example.com"
ROW = f"tr[data-name='{NAME}']"
SHOW = 'panels = [lab.panel("world"), lab.panel("traffic")]\ndisplay(*panels)'
DOWN = "[p.close() for p in panels]; lab.down(); print('down')"


@pytest.fixture(scope="module")
def tab(open_notebook: Opener) -> Iterator[Tab]:
    made = open_notebook(
        "world.ipynb", SETUP.format(lab=LAB), SHOW, "panels[1].close(); print('closed')", DOWN
    )
    made.run(0)
    made.wait(0)
    made.run(1)
    made.page.wait_for_selector(f"{ROW} [data-field=addresses]", timeout=20_000)
    yield made
    made.run(3)
    eventually(lambda: "down" in made.text(3), 40, "the lab to be down")


#: How long a look-up takes, by a clock that nobody slews (dig goes by the wall clock).
TIMED = """
import socket, sys, time
begin = time.monotonic()
socket.getaddrinfo(sys.argv[1], 443, socket.AF_INET)
print(time.monotonic() - begin)
"""


def dig(lab: Lab, name: str = NAME) -> str:
    """What `dig` in the endpoint says, in a word or two."""
    found = lab.endpoint("web").run(["dig", "+time=2", "+tries=1", name])
    answers = re.findall(rf"^{re.escape(name)}\.\s.*\sA\s+(\S+)$", found.stdout, re.MULTILINE)
    status = re.search(r"status: (\w+)", found.stdout)
    return " ".join(answers) or (status[1] if status else "no answer")


def wait_for_no_answer(lab: Lab) -> None:
    """Let dig wait its two seconds: long enough for what should have ended to show itself."""
    lab.world.fault("quiet.example.com", silent=True)
    assert dig(lab, "quiet.example.com") == "no answer"
    lab.world.clear_faults("quiet.example.com")


def value(tab: Tab, field: str, name: str = NAME) -> str:
    return str(tab.page.input_value(f"tr[data-name='{name}'] [data-field={field}]"))


def told(tab: Tab, panel: str, words: str) -> None:
    def said() -> bool:
        text = tab.page.inner_text(f"section[aria-label={panel}] .fq-told")
        assert words in text, text
        return True

    eventually(said, 10, words)


def type_into(tab: Tab, field: str, text: str, name: str = NAME) -> None:
    """Focus a cell, write over it, press Enter."""
    tab.page.locator(f"tr[data-name='{name}'] [data-field={field}]").focus()
    for key in ("Control+a", *text, "Enter"):
        tab.page.keyboard.press(key)


def press(tab: Tab, what: str) -> None:
    tab.page.locator(what).focus()
    tab.page.keyboard.press("Enter")


def focused(tab: Tab) -> str:
    return str(tab.page.evaluate("document.activeElement.dataset.field ?? ''"))


def test_an_address_that_is_typed_is_what_dig_gets(tab: Tab, lab: Lab) -> None:
    assert dig(lab) == "198.51.100.7"
    type_into(tab, "addresses", "198.51.100.44")
    told(tab, "World", f"{NAME} has 198.51.100.44.")
    assert dig(lab) == "198.51.100.44"
    tab.page.keyboard.press("Tab")
    assert focused(tab) == "ttl", "the next cell is the next stop of Tab"
    type_into(tab, "ttl", "7")
    told(tab, "World", "TTL 7 s")
    assert {r.ttl for r in lab.world.records(NAME)} == {7}


def test_what_cannot_be_is_said_and_nothing_is_lost(tab: Tab, lab: Lab) -> None:
    before = lab.world.records(NAME)
    type_into(tab, "addresses", "198.51.100.444")
    told(tab, "World", "'198.51.100.444' is no address (expected IPv4 or IPv6")
    assert lab.world.records(NAME) == before
    lab.world["img.cdn.example.com"] = ["203.0.113.77"]
    eventually(lambda: value(tab, "addresses", "img.cdn.example.com") == "203.0.113.77", 10)
    assert value(tab, "addresses") == "198.51.100.444", "what was written stays to be mended"
    tab.page.keyboard.press("Escape")
    assert value(tab, "addresses") == "198.51.100.44"


def test_buttons_of_a_name(tab: Tab, lab: Lab) -> None:
    press(tab, f"{ROW} [data-do=move]")
    told(tab, "World", f"{NAME} moved to 198.51.100.45.")
    assert dig(lab) == "198.51.100.45"
    press(tab, "[data-do=more]")  # of the name whose row had the focus last
    told(tab, "World", f"{NAME} has 198.51.100.46 too.")
    press(tab, "[data-do=rotate]")
    told(tab, "World", "198.51.100.46 comes first")
    assert lab.world[NAME] == ["198.51.100.46", "198.51.100.45"]
    for field, text in (("new-name", "new.example.com"), ("new-addresses", "198.51.100.90")):
        tab.page.locator(f"[data-field={field}]").focus()
        tab.page.keyboard.type(text)
    tab.page.keyboard.press("Enter")
    told(tab, "World", "new.example.com is new")
    assert dig(lab, "new.example.com") == "198.51.100.90"
    type_into(tab, "name", "newer.example.com", "new.example.com")
    told(tab, "World", "new.example.com is newer.example.com now.")
    tab.page.wait_for_selector("tr[data-name='newer.example.com']")
    tab.page.locator("[data-field=target]").select_option("newer.example.com")
    press(tab, "[data-do=remove]")
    told(tab, "World", "newer.example.com is gone.")
    assert "newer.example.com" not in lab.world.names()


def test_slow_by_its_button(tab: Tab, lab: Lab) -> None:
    tab.page.locator("[data-field=target]").select_option(NAME)
    press(tab, "[data-do=slow]")
    told(tab, "World", f"{NAME} is slow (1 s).")
    web = lab.endpoint("web")
    found = web.run(["python3", "-c", TIMED, NAME]).stdout
    assert float(found) >= 1.0, found
    press(tab, "[data-do=normal]")
    told(tab, "World", f"{NAME} is normal.")


def test_silent_lying_and_normal_again(tab: Tab, lab: Lab) -> None:
    tab.page.locator("[data-field=target]").select_option(NAME)
    for how, words, answer in (
        ("silent", f"Set: {NAME}: silent", "no answer"),
        ("lying", f"Set: {NAME}: lying (no such name)", "NXDOMAIN"),
        ("normal", "All answers are normal.", "198.51.100.46 198.51.100.45"),
    ):
        press(tab, f"[data-do={how}]")
        eventually(lambda w=words: tab.page.inner_text(".fq-set") == w, 10, words)  # type: ignore[misc]
        assert dig(lab) == answer
    lab.world.fault("img.cdn.example.com", loss=0.5)
    words = "Set: img.cdn.example.com: loss 0.5"
    eventually(lambda: tab.page.inner_text(".fq-set") == words, 10, "what somebody else has set")
    lab.world.clear_faults()


def test_traffic_is_started_counted_and_stopped(tab: Tab, lab: Lab) -> None:
    tab.page.wait_for_selector("[data-field=endpoint] option[value=web]", state="attached")
    tab.page.locator("[data-field=kind]").focus()
    tab.page.keyboard.type("look up alone")
    tab.page.keyboard.press("Tab")
    assert focused(tab) == "name"
    tab.page.locator(".fq-start input[data-field=name]").fill(NAME)
    tab.page.locator(".fq-start input[data-field=rate]").fill("nought")
    tab.page.keyboard.press("Enter")
    told(
        tab, "Traffic", "rate per second: 'nought' is no number (expected a number, 0.01 to 2,000)"
    )
    tab.page.locator(".fq-start input[data-field=rate]").fill("10")
    tab.page.keyboard.press("Enter")
    told(tab, "Traffic", "web began: look up alone")
    eventually(lambda: ok(tab) >= 5, 15, "look-ups")
    before = ok(tab)
    eventually(lambda: ok(tab) > before + 10, 15, "more look-ups")


@pytest.mark.parametrize(
    ("kind", "does"),
    [
        ("connect", "look up + connect"),
        ("reuse", "look up once, reuse"),
        ("hold", "one long connection"),
    ],
)
def test_traffic_of_each_kind_by_the_form(tab: Tab, lab: Lab, kind: str, does: str) -> None:
    tab.page.locator("[data-field=kind]").select_option(kind)
    tab.page.locator(".fq-start input[data-field=name]").fill(NAME)
    asked = len(lab.world.queries(name=NAME))
    press(tab, ".fq-start [data-do=start]")
    told(tab, "Traffic", f"web began: {does}, {NAME}.")
    row = tab.page.locator(".fq-traffic tbody tr", has_text=does)
    number = row.locator("[data-field=ok]")
    eventually(lambda: int(number.inner_text().replace(",", "")) >= 3, 15, f"what {kind} did")
    assert row.locator("[data-field=failed]").inner_text() == "0"
    flows = lab.flows()
    assert set(flows[flows.port == 443].verdict) >= {"FORWARDED"}
    assert len(lab.world.queries(name=NAME)) > asked
    row.locator("[data-do=stop]").focus()
    tab.page.keyboard.press("Enter")
    told(tab, "Traffic", "web stopped:")
    eventually(lambda: row.count() == 0, 10, "its row to be gone")


def ok(tab: Tab) -> int:
    return int(tab.page.inner_text(".fq-traffic tbody td[data-field=ok]").replace(",", ""))


def test_churn_by_a_seed(tab: Tab, lab: Lab) -> None:
    before = {name: lab.world[name] for name in lab.world.names()}
    tab.page.locator("[data-field=seconds]").fill("0.3")
    press(tab, "[data-do=churn]")
    told(tab, "World", "The world changes every 0.3 s, seed 1.")
    changes = ".fq-churned"
    eventually(lambda: int(tab.page.inner_text(changes).split()[0]) >= 4, 15, "changes")
    assert {name: lab.world[name] for name in lab.world.names()} != before
    screenshot(tab)
    press(tab, "[data-do=churn]")
    told(tab, "World", "The world stays as it is")
    revision = lab.world.records()
    count = tab.page.inner_text(changes)
    wait_for_no_answer(lab)
    assert (lab.world.records(), tab.page.inner_text(changes)) == (revision, count)


def screenshot(tab: Tab) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    area = tab.page.locator(".jp-Cell:has(section[aria-label=World])")
    area.screenshot(path=SCREENSHOTS / "world.png")


def test_stop_ends_it_and_a_panel_that_is_closed_ends_the_rest(tab: Tab, lab: Lab) -> None:
    press(tab, ".fq-traffic tbody [data-do=stop]")
    told(tab, "Traffic", "web stopped:")
    tab.page.wait_for_selector(".fq-none:not([hidden])")
    newest = lab.world.newest()
    tab.page.locator(".fq-start input[data-field=rate]").focus()
    tab.page.keyboard.press("Enter")
    eventually(lambda: lab.world.newest() > newest, 10, "questions again")
    tab.run(2)
    eventually(lambda: "closed" in tab.text(2), 15, "the panel to be closed")
    newest = lab.world.newest()
    wait_for_no_answer(lab)
    assert lab.world.queries(since=newest, name=NAME) == [], "nothing asks any more"
