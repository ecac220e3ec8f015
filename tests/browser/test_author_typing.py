"""The policy author under real keys: what is typed stands as it was typed, whatever comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.author_kit import (
    LOOK_UPS,
    applied,
    holds,
    panel,
    press,
    shown,
    text,
    yaml,
)
from tests.browser.conftest import Opener
from tests.browser.jupyter_kit import Tab

LAB = "typingtab"
SHOW = 'panel = lab.panel("policy")\ndisplay(panel)'


@pytest.fixture(scope="module")
def tab(open_notebook: Opener) -> Iterator[Tab]:
    with shown(open_notebook, "typing.ipynb", LAB, SHOW) as made:
        yield made


@pytest.fixture
def holding(tab: Tab, lab: Lab) -> Iterator[str]:
    """What is applied, and is again afterwards."""
    before = applied(lab)
    yield before
    lab.apply(before)
    press(tab, "[data-do=revert]")
    eventually(lambda: text(tab).rstrip() == before.rstrip(), 10, "what was applied")
    field = panel(tab).locator(LOOK_UPS)
    eventually(lambda: field.input_value() == "**.example.com", 10, "the same in the form")


def echoed(tab: Tab, field: str, *keys: str) -> None:
    """Press keys, each when the kernel has told what came of the one before."""
    where = panel(tab).locator(field).get_attribute("data-where")
    for key in keys:
        tab.page.evaluate(_TOLD, where)
        tab.page.keyboard.press(key)
        tab.page.wait_for_function("window.toldOfField", timeout=10_000)


#: Whether the kernel has answered for a field; the handlers of the panel have been called by then.
_TOLD = """(where) => {
  window.toldOfField = false;
  if (window.listensToKernel) return;
  window.listensToKernel = true;
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  kernel.iopubMessage.connect((_, message) => {
    const content = message.content?.data?.content;
    if (content?.type !== "told" || content.what !== where) return;
    setTimeout(() => { window.toldOfField = true; });
  });
}"""


@pytest.mark.parametrize("key", ["Enter", "Shift+Enter"])
@pytest.mark.parametrize("slowly", [True, False], ids=["slowly", "fast"])
def test_names_on_lines_of_their_own(
    tab: Tab, lab: Lab, holding: str, key: str, slowly: bool
) -> None:
    field = panel(tab).locator(LOOK_UPS)
    field.click()
    tab.page.keyboard.press("Control+End")
    if slowly:
        echoed(tab, LOOK_UPS, key, *"ab", key, *"cd")
        assert field.input_value() == "**.example.com\nab\ncd"
    else:
        tab.page.keyboard.press(key)
        tab.page.keyboard.type("ab")
        tab.page.keyboard.press(key)
        tab.page.keyboard.type("cd")
    tab.page.keyboard.type(".test.")
    tab.page.keyboard.press("Control+Enter")
    holds(tab, "Applied, revision", ".fq-told")
    assert field.input_value() == "**.example.com\nab\ncd.test."
    (policy,) = lab.policy_statuses()
    for name in ("matchName: ab", "matchName: cd.test.", 'matchPattern: "**.example.com"'):
        assert name in policy.yaml, policy.yaml


def test_lines_of_the_yaml(tab: Tab, lab: Lab, holding: str) -> None:
    yaml(tab).click()
    tab.page.keyboard.press("Control+Home")
    tab.page.keyboard.type("# one")
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.type("# two")
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Control+Enter")
    holds(tab, "Applied, revision", ".fq-told")
    assert text(tab) == "# one\n# two\n" + holding.rstrip() + "\n"
    assert applied(lab).startswith("# one\n# two\n")


def test_what_is_likely_not_meant_is_told_whatever_is_shown(
    tab: Tab, lab: Lab, holding: str
) -> None:
    tab.page.set_viewport_size({"width": 660, "height": 1400})
    try:
        panel(tab).locator("[data-tab=yaml]").wait_for(timeout=10_000)  # laid out anew
        yaml_of = holding.replace("api.example.com", "api.example.org").rstrip() + "\n"
        press(tab, "[data-tab=yaml]")
        yaml(tab).fill(yaml_of)
        for name in ("yaml", "form", "does"):
            press(tab, f"[data-tab={name}]")
            holds(
                tab,
                "lets its endpoints look up any name of matchName api.example.org",
                ".fq-remarks",
            )
            assert panel(tab).locator(".fq-remarks").is_visible()
        press(tab, "[data-do=apply]")
        holds(tab, "web-egress: enforced; but: line 13: no rules.dns of this policy", ".fq-told")
    finally:
        press(tab, "[data-tab=yaml]")
        tab.page.set_viewport_size({"width": 1240, "height": 1400})
