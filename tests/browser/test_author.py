"""The policy author against a real lab: written by keyboard, foretold, applied; nothing is lost."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.author_kit import (
    COUNT_SENT,
    NAMES,
    NOTE_WRITTEN,
    PORTS,
    applied,
    begin,
    holds,
    panel,
    picture,
    press,
    shown,
    text,
    yaml,
)
from tests.browser.conftest import Opener
from tests.browser.jupyter_kit import Tab

LAB = "authortab"
SHOW = 'import os\nprint(os.getpid())\npanel = lab.panel("policy")\ndisplay(panel)'
API, TRACKER = "198.51.100.7", "192.0.2.66"
PROD = """---
# of another namespace, and of the same name
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web-egress, namespace: prod}
spec: {endpointSelector: {}, egress: [{}]}
"""


@pytest.fixture(scope="module")
def tab(open_notebook: Opener) -> Iterator[Tab]:
    with shown(open_notebook, "author.ipynb", LAB, SHOW, "display(panel)") as made:
        yield made


def test_written_by_keyboard_foretold_and_true(tab: Tab, lab: Lab) -> None:
    web = lab.endpoint("web")
    assert web.connect("img.cdn.example.com", 443).ok
    assert not web.connect("api.example.com", 80, timeout=0.5).ok
    before = text(tab)
    panel(tab).locator(NAMES).focus()
    tab.page.keyboard.press("Control+a")
    tab.page.keyboard.type("api.example.com")
    eventually(lambda: "*.cdn" not in text(tab), 10, "the name to be gone from the YAML")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.dataset.where").endswith("ports")
    tab.page.keyboard.press("End")
    tab.page.keyboard.type(", 80/TCP")
    eventually(lambda: '"80"' in text(tab), 10, "the port in the YAML")
    assert text(tab).splitlines()[:11] == before.splitlines()[:11], "other lines are as they were"
    holds(tab, "edited, not applied", "h2")
    closes = "section[aria-label='If applied'] [data-kind=closes]"
    tab.page.wait_for_selector(closes, timeout=15_000)
    holds(tab, "img.cdn.example.com", "section[aria-label='If applied']")
    holds(tab, "would now be dropped")
    opens = panel(tab).locator("[data-kind=opens]", has_text="80/TCP").first
    assert "api.example.com" in opens.inner_text()
    picture(tab, "author")
    tab.page.keyboard.press("Control+Enter")
    holds(tab, "Applied, revision", ".fq-told")
    holds(tab, "as applied", "h2")
    assert applied(lab).rstrip() == text(tab).rstrip()
    found = web.connect("api.example.com", 80)
    assert (found.ok, found.address) == (True, API)
    assert not web.connect("img.cdn.example.com", 443, timeout=0.5).ok
    assert not web.connect(TRACKER, 80, timeout=0.5).ok
    holds(tab, "No verdict would change.")


def test_what_stands_in_a_field_is_what_is_applied(tab: Tab, lab: Lab) -> None:
    """Nobody waits until the YAML has it: keys that apply, and a click that leaves the field."""

    def comes(words: str, absent: str = "nothing") -> None:
        def there() -> bool:
            found = applied(lab)
            assert words in found, found
            assert absent not in found, found
            return True

        eventually(there, 10, f"{words} to be applied")
        eventually(lambda: text(tab).rstrip() == applied(lab).rstrip(), 10, "the same in the YAML")

    def write(where: str, what: str) -> None:
        panel(tab).locator(where).focus()
        tab.page.keyboard.press("Control+a")
        tab.page.keyboard.type(what)

    write(PORTS, "443/TCP, 80/TCP, 8443/TCP")
    tab.page.keyboard.press("Control+Enter")
    comes('"8443"')
    write(NAMES, "late.example.com")
    tab.page.keyboard.press("Control+Enter")
    comes("matchName: late.example.com", "api.example.com")
    write(PORTS, "443/TCP, 80/TCP")
    panel(tab).locator("[data-do=apply]").click()
    comes('"80"', "8443")
    write(NAMES, "api.example.com")
    panel(tab).locator("[data-add=deny]").click()
    eventually(lambda: "egressDeny" in text(tab), 10, "the denial in the YAML")
    assert "matchName: api.example.com" in text(tab)
    panel(tab).get_by_role("button", name="Remove Deny: Networks").click()
    panel(tab).locator("[data-do=apply]").click()
    comes("matchName: api.example.com", "egressDeny")


def test_broken_yaml_is_told_with_its_place_and_loses_nothing(tab: Tab, lab: Lab) -> None:
    good, holding = text(tab), applied(lab)
    yaml(tab).focus()
    yaml(tab).fill(good.replace("toFQDNs", "toNames"))
    line = next(n for n, row in enumerate(good.splitlines(), 1) if "toFQDNs" in row)
    mark = panel(tab).locator(f".fq-line[data-n='{line}'][data-level=fault]")
    mark.wait_for(timeout=10_000)
    holds(tab, f"line {line}", ".fq-remarks")
    press(tab, "[data-do=apply]")
    holds(tab, "Apply changes nothing", ".fq-status")
    holds(tab, f"in line {line}", ".fq-told")
    assert applied(lab) == holding
    panel(tab).get_by_role("button", name=f"Line {line} of the YAML").first.press("Enter")
    chosen = "e => e.value.slice(e.selectionStart, e.selectionEnd)"
    assert "toNames" in yaml(tab).evaluate(chosen)
    picture(tab, "author-fault")
    yaml(tab).fill("spec: [" + good)
    holds(tab, "The form is back when the text is YAML again")
    assert lab.endpoint("web").connect("api.example.com", 80).ok
    press(tab, "[data-do=revert]")
    eventually(lambda: text(tab).rstrip() == holding.rstrip(), 10, "what is applied")
    holds(tab, "as applied", "h2")


def test_an_emptied_field_keeps_its_rule(tab: Tab) -> None:
    good = text(tab)
    names = panel(tab).locator(NAMES)
    named = "Names and patterns one a line; a star makes it a pattern"
    expect(names).to_have_accessible_name(named)
    names.focus()
    tab.page.keyboard.press("Control+a")
    tab.page.keyboard.press("Delete")
    holds(tab, "no name is left")
    expect(names).to_have_accessible_name(named)
    expect(names).to_have_accessible_description(re.compile("no name is left"))
    assert text(tab) == good
    panel(tab).locator(PORTS).focus()
    eventually(lambda: names.input_value() == "api.example.com", 10, "the name again")
    assert "no name is left" not in panel(tab).locator(".fq-theform").inner_text()


def test_rules_come_and_go_and_undo_has_them_again(tab: Tab) -> None:
    good = text(tab)
    press(tab, "[data-add=deny]")
    eventually(lambda: "egressDeny" in text(tab), 10, "the denial in the YAML")
    network = "spec.egressDeny[0].toCIDR"
    focused = "document.activeElement.dataset.where"
    eventually(lambda: tab.page.evaluate(focused) == network, 10, "the focus in the new rule")
    tab.page.keyboard.type("198.51.100.0/24")
    holds(tab, "denied", "section[aria-label='If applied']")
    panel(tab).get_by_role("button", name="Remove Deny: Networks").press("Enter")
    eventually(lambda: "egressDeny" not in text(tab), 10, "the denial to be gone")
    undo = panel(tab).get_by_role("button", name="Undo")
    for words in ("198.51.100.0/24", "192.0.2.0/24"):
        undo.press("Enter")
        eventually(lambda w=words: w in text(tab), 10, words)  # type: ignore[misc]
    undo.press("Enter")
    eventually(lambda: text(tab) == good, 10, "the text as it was")


MORE_RULES = """\
  - toCIDRSet:
    - cidr: 10.64.0.0/10
      except: [10.65.0.0/16]   # kept
  - toEntities: [world]
    icmps: [{fields: [{family: IPv4, type: 8}]}]
"""


def test_exceptions_and_types_of_icmp_are_edited_in_the_form(tab: Tab) -> None:
    good = text(tab)
    yaml(tab).fill(good.rstrip() + "\n" + MORE_RULES)
    for where, more in (
        ("textarea[data-where='spec.egress[2].toCIDRSet']", ", 10.66.0.0/16"),
        ("input[data-where='spec.egress[3].icmps[0].fields']", ", 128/IPv6"),
    ):
        panel(tab).locator(where).focus()
        tab.page.keyboard.press("End")
        tab.page.keyboard.type(more)
    wanted = MORE_RULES.replace("65.0.0/16]", '65.0.0/16, "10.66.0.0/16"]')
    wanted = wanted.replace("type: 8}", "type: 8}, {family: IPv6, type: 128}")
    eventually(lambda: text(tab) == good.rstrip() + "\n" + wanted, 10, "both in the YAML")
    for ping in ("8/ICMPv4", "128/ICMPv6"):
        panel(tab).locator("[data-kind=opens]", has_text=ping).first.wait_for(timeout=10_000)
    picture(tab, "author-icmp")
    press(tab, "[data-do=revert]")
    eventually(lambda: text(tab).rstrip() == good.rstrip(), 10, "what is applied")


def test_templates_are_told_and_replace_nothing(tab: Tab, lab: Lab) -> None:
    holding = [(p.name, p.yaml) for p in lab.policy_statuses()]
    for what, words in (
        ("fails", "no rules.dns in this policy"),
        ("unsupported", "HTTP is not read here"),
        ("dns", "ACNS does not take a pattern of stars alone"),
        ("deny", "✕ denies"),
        ("wildcard", "*.cdn.example.com"),
        ("names", "Adds default/allow-names."),
    ):
        begin(tab, what, "new, not applied")
        holds(tab, words)
        if what == "unsupported":
            holds(tab, "it would have no effect")
            tab.theme("Dark")
            picture(tab, "author-dark")
            tab.theme("Light")
    assert [(p.name, p.yaml) for p in lab.policy_statuses()] == holding


def test_diff_and_revert_find_it_by_namespace_and_kind(tab: Tab, lab: Lab) -> None:
    lab.apply(PROD)
    holding = applied(lab, namespace="prod")
    begin(tab, "CiliumNetworkPolicy/prod/web-egress", "as applied")
    yaml(tab).fill(
        text(tab).replace("endpointSelector: {}", "endpointSelector: {matchLabels: {a: b}}")
    )
    holds(tab, "edited, not applied", "h2")
    press(tab, "[data-do=diff]")
    holds(tab, "prod/web-egress, applied", ".fq-diff")
    holds(tab, "+spec: {endpointSelector: {matchLabels: {a: b}}", ".fq-diff")
    press(tab, "[data-do=revert]")
    eventually(lambda: text(tab).rstrip() == holding.rstrip(), 10, "the one of that namespace")
    press(tab, "[data-do=diff]")
    assert applied(lab).rstrip() != holding.rstrip()


def test_of_several_documents_the_form_shows_one_and_the_others_stay(tab: Tab) -> None:
    begin(tab, "CiliumNetworkPolicy/default/web-egress", "as applied")
    yaml(tab).fill(text(tab).rstrip() + "\n" + PROD)
    second = panel(tab).locator(".fq-docs button").nth(1)
    second.wait_for(timeout=10_000)
    second.press("Enter")
    name = panel(tab).locator("input[data-where='metadata.namespace']")
    eventually(lambda: name.input_value() == "prod", 10, "the second document in the form")
    before = text(tab)
    name.fill("stage")
    name.press("Enter")
    wanted = before.replace("namespace: prod", "namespace: stage")
    eventually(lambda: text(tab) == wanted, 10, "that word alone to change")


@pytest.mark.parametrize("last", ["82", "80"])
def test_what_is_typed_stays_while_older_text_comes_back(tab: Tab, lab: Lab, last: str) -> None:
    """The kernel is late (it is stopped): two texts are on their way, the last may be its own."""
    begin(tab, "CiliumNetworkPolicy/default/web-egress", "as applied")
    good = text(tab)
    wanted = good.replace('"80"', f'"{last}"')
    kernel = int(tab.text(1).split()[0])
    tab.page.evaluate(COUNT_SENT)
    os.kill(kernel, signal.SIGSTOP)
    try:
        for count, made in enumerate((good.replace('"80"', '"81"'), wanted), 1):
            yaml(tab).fill(made)
            eventually(
                lambda n=count: tab.page.evaluate("window.sentTexts") == n,  # type: ignore[misc]
                5,
                "the text to be sent",
            )
        yaml(tab).evaluate(NOTE_WRITTEN)
    finally:
        os.kill(kernel, signal.SIGCONT)
    press(tab, "[data-do=apply]")
    holds(tab, "Applied, revision", ".fq-told")
    assert tab.page.evaluate("window.written") == [], "nothing is written over what is typed"
    assert text(tab) == wanted
    assert applied(lab).rstrip() == wanted.rstrip()
    yaml(tab).evaluate("(area) => { delete area.value; }")
    yaml(tab).fill(good)
    press(tab, "[data-do=apply]")
    holds(tab, "Applied, revision", ".fq-told")
    assert applied(lab).rstrip() == good.rstrip()


_TYPED_AND_REVERTED = """() => {
  const [one, other] = document.querySelectorAll("section[aria-label=Policy]");
  one.querySelector(".fq-told").textContent = "";
  const area = one.querySelector("textarea[aria-label=YAML]");
  area.value = "# typed at that moment\\n" + area.value;
  area.dispatchEvent(new Event("input"));
  other.querySelector("[data-do=revert]").click();
}"""


def test_what_is_typed_while_another_view_reverts_is_not_lost(tab: Tab, lab: Lab) -> None:
    begin(tab, "CiliumNetworkPolicy/default/web-egress", "as applied")
    yaml(tab).fill("# edited\n" + text(tab))
    tab.run(2)
    second = "the edited text in a second view"
    eventually(lambda: yaml(tab, 1).input_value().startswith("# edited"), 15, second)
    tab.page.evaluate(_TYPED_AND_REVERTED)
    holds(tab, "As applied.", ".fq-told")
    undo = panel(tab).get_by_role("button", name="Undo")

    undone: list[str] = []

    def back() -> bool:
        now = text(tab)
        if now.startswith("# typed at that moment\n# edited"):
            return True
        if now not in undone:  # one press a step
            undone.append(now)
            undo.press("Enter")
        return False

    eventually(back, 10, "what was typed")


def test_two_views_and_a_page_that_is_loaded_again_show_what_was_typed(tab: Tab) -> None:
    assert panel(tab, 1).count() == 1
    typed = "# typed here\n" + text(tab)
    yaml(tab).fill(typed)
    eventually(lambda: yaml(tab, 1).input_value() == typed, 10, "the same in the second view")
    yaml(tab, 1).fill(typed + "# and there\n")
    eventually(lambda: text(tab).endswith("# and there\n"), 10, "the same in the first view")
    tab.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    tab.page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    tab.page.reload()
    eventually(lambda: panel(tab).count() >= 1, 30, "the panel again")
    eventually(lambda: text(tab) == typed + "# and there\n", 15, "what was typed")


def test_with_the_agent_dead_it_is_said_and_nothing_is_lost(tab: Tab, lab: Lab) -> None:
    begin(tab, "CiliumNetworkPolicy/default/web-egress", "as applied")
    holding = applied(lab)
    lab.agent.kill()
    try:
        edited = text(tab).replace('"80"', '"81"')
        yaml(tab).fill(edited)
        holds(tab, "The agent does not run", "section[aria-label='If applied']", 20)
        holds(tab, "would now be dropped", "section[aria-label='If applied']")
        press(tab, "[data-do=apply]")
        holds(tab, "agent", ".fq-told")
        assert text(tab) == edited
    finally:
        lab.agent.restart()
    assert applied(lab) == holding
    press(tab, "[data-do=apply]")
    holds(tab, "Applied, revision", ".fq-told")
    assert not lab.endpoint("web").connect("api.example.com", 80, timeout=0.5).ok
    press(tab, "[data-do=revert]")


def test_where_there_is_little_room_one_thing_at_a_time(tab: Tab) -> None:
    begin(tab, "CiliumNetworkPolicy/default/web-egress", "as applied")
    tab.page.set_viewport_size({"width": 660, "height": 1400})
    try:
        panel(tab).locator("[data-tab=yaml]").wait_for(timeout=10_000)  # laid out anew
        for name, part in (
            ("form", NAMES),
            ("does", ".fq-matches"),
            ("yaml", "textarea[aria-label=YAML]"),
        ):
            press(tab, f"[data-tab={name}]")
            panel(tab).locator(part).wait_for(timeout=5_000)
            assert panel(tab).locator("[data-pane]:visible").count() == 1
            picture(tab, f"author-narrow-{name}")
        wide = "e => e.scrollWidth <= e.clientWidth + 1"
        assert panel(tab).evaluate(wide), "nothing sticks out"
    finally:
        tab.page.set_viewport_size({"width": 1240, "height": 1400})
