"""The policy author as the tests read and use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.jupyter_kit import SCREENSHOTS, Tab
from tests.browser.story import SETUP

NAMES = "textarea[data-where='spec.egress[1].toFQDNs']"
PORTS = "input[data-where='spec.egress[1].toPorts[0].ports']"
LOOK_UPS = "textarea[data-where='spec.egress[0].toPorts[0].rules.dns']"
_DOWN = "panel.close(); lab.down(); print('down')"
#: Counts texts that are sent to the kernel.
COUNT_SENT = """() => {
  const counts = window.sentTexts !== undefined;
  window.sentTexts = 0;
  if (counts) return;
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    const text = typeof data === "string" ? data : new TextDecoder().decode(data);
    if (text.includes('"do":"yaml"')) window.sentTexts += 1;
    return send.call(this, data);
  };
}"""
#: Notes what is written into the field, but by typing.
NOTE_WRITTEN = """(area) => {
  const value = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value");
  window.written = [];
  Object.defineProperty(area, "value", {
    configurable: true,
    get() { return value.get.call(this); },
    set(text) { window.written.push(text); value.set.call(this, text); },
  });
}"""


@contextmanager
def shown(
    open_notebook: Callable[..., Tab], name: str, lab: str, show: str, *more: str
) -> Iterator[Tab]:
    """A notebook whose second cell, `show`, shows the author as ``panel``; then its lab is down."""
    made = open_notebook(name, SETUP.format(lab=lab), show, *more, _DOWN)
    made.run(0)
    made.wait(0)
    made.run(1)
    made.page.wait_for_selector(NAMES, timeout=20_000)
    yield made
    last = 2 + len(more)
    made.run(last)
    eventually(lambda: "down" in made.text(last), 40, "the lab to be down")


def panel(tab: Tab, number: int = 0) -> Locator:
    return tab.page.locator("section[aria-label=Policy]").nth(number)


def yaml(tab: Tab, number: int = 0) -> Locator:
    return panel(tab, number).locator("textarea[aria-label=YAML]")


def text(tab: Tab) -> str:
    return yaml(tab).input_value()


def holds(tab: Tab, words: str, where: str = "", seconds: float = 10) -> None:
    """Wait until the panel (or a part of it) says so."""
    part = panel(tab).locator(where) if where else panel(tab)

    def said() -> bool:
        shown = part.inner_text()
        assert words in shown, shown
        return True

    eventually(said, seconds, words)


def press(tab: Tab, what: str) -> None:
    panel(tab).locator(what).focus()
    tab.page.keyboard.press("Enter")


def begin(tab: Tab, what: str, standing: str) -> None:
    panel(tab).get_by_label("Begin with").select_option(what)
    press(tab, "[data-do=load]")
    holds(tab, "Undo has what was there", ".fq-told")
    holds(tab, standing, "h2")


def applied(lab: Lab, name: str = "web-egress", namespace: str = "default") -> str:
    found = lab.policy_statuses()
    return next((p.yaml for p in found if (p.name, p.namespace) == (name, namespace)), "")


def picture(tab: Tab, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    panel(tab).screenshot(path=SCREENSHOTS / f"{name}.png")
