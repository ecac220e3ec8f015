"""The policy author against a real lab: broken YAML is told with its place and not applied."""

from __future__ import annotations

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.conftest import Opener
from tests.browser.jupyter_kit import SCREENSHOTS
from tests.browser.story import SETUP


def test_apply_and_refuse(open_notebook: Opener) -> None:
    tab = open_notebook(
        "author.ipynb",
        SETUP.format(lab="authortab"),
        'panel = lab.panel("policy")\ndisplay(panel)',
        "panel.close(); lab.down(); print('down')",
    )
    tab.run(0)
    tab.wait(0)
    tab.run(1)
    try:
        page = tab.page
        names = page.wait_for_selector("input[aria-label^=Allowed]", timeout=20_000)
        assert names is not None
        eventually(names.input_value, 10, "the template in the form")
        names.focus()
        page.keyboard.press("Control+a")
        page.keyboard.type("other.example.com")
        page.keyboard.press("Tab")
        yaml = page.locator("textarea[aria-label=YAML]")
        eventually(lambda: "other.example.com" in yaml.input_value(), 10, "the name in the YAML")
        page.get_by_role("button", name="Apply").press("Enter")
        lab = Lab.attach("authortab")

        def applied() -> bool:
            return "other.example.com" in lab.policy_statuses()[0].yaml

        eventually(applied, 10, "the policy to be applied")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(SCREENSHOTS / "author.png"))
        good = yaml.input_value()
        yaml.fill(good.replace("toFQDNs", "toNames"))
        told = page.locator("section[aria-label=Policy]")
        eventually(lambda: "line:" in told.inner_text(), 10, "the fault and its place")
        page.get_by_role("button", name="Apply").press("Enter")
        page.get_by_role("button", name="Revert").press("Enter")
        eventually(lambda: "toFQDNs" in yaml.input_value(), 10, "what was applied")
        assert applied()
        lab.close()
    finally:
        tab.run(2)
        eventually(lambda: "down" in tab.text(2), 40, "the lab to be down")
