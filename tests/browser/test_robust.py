"""What happens to a notebook: two on one lab, a browser closed, a kernel restarted, the node
service gone, a recording cut short.  (YAML that is none: test_author.py.)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from fqdnlab.lab import Lab
from fqdnlab.testing import eventually
from tests.browser.conftest import Opener
from tests.browser.jupyter_kit import Tab
from tests.browser.story import SETUP

LAB = "robust"
WORD = "[data-process=agent] .fq-word"
ASKED_FOR = "asked-for-by-one-test.example.com"


@pytest.fixture(scope="module")
def first(open_notebook: Opener) -> Iterator[Tab]:
    made = open_notebook("first.ipynb", SETUP.format(lab=LAB), "lab.dashboard()")
    for cell in (0, 1):
        made.run(cell)
        made.wait(cell)
    made.page.wait_for_selector(f"{WORD}:has-text('at work')")
    yield made
    lab = Lab.attach(LAB)
    lab.backend.down(LAB)
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
    eventually(lambda: words.all_inner_texts() == ["recording"] * 2, 30, "two views")
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
    nothing_lost(set())


def test_a_state_that_was_lost_on_its_way_comes_again(first: Tab) -> None:
    """As when a server drops messages, or an older state overtakes a newer one."""
    said = first.page.evaluate("""() => {
      for (const model of window.manager._modelsSync.values()) {
        const cards = model.get("cards");
        if (cards) model.set("cards", cards.map((card) => ({ ...card, word: "an old one" })));
      }
      return document.querySelector("[data-process=agent] .fq-word").innerText;
    }""")
    assert said == "an old one"
    first.page.wait_for_selector(f"{WORD}:has-text('at work')", timeout=20_000)


def test_without_our_routing_a_button_waits_for_the_cell(first: Tab, open_notebook: Opener) -> None:
    """The saboteur of "kill during a cell"; when this fails, comms.py is needed no longer."""
    cells = (
        "import fqdnlab.notebook.base as base\nbase.heard_while_busy = lambda widget: None\n"
        # what answers a view comes from where its messages are heard, and would lead there
        "base.Panel._tell_again = lambda panel: None\n"
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
    ended = tab.ended(1)
    tab.page.click("[data-process=observer] [data-do=continue]")
    tab.page.wait_for_selector("[data-process=observer] .fq-word:has-text('recording')")
    assert ended, "it was heard while the cell ran"


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


def test_the_node_service_is_gone(first: Tab) -> None:
    """It is said in words, nothing that was applied is lost, the first cell brings it back."""
    nothing_lost(set())
    pids = listed()
    os.kill(pids.pop("node"), signal.SIGKILL)
    says = first.page.locator(".fq-says")
    eventually(lambda: "The node service does not answer" in says.inner_text(), 10, "the sentence")
    first.page.click("[data-process=agent] [data-do=stop]")
    told = first.page.locator(".fq-speed .fq-told")
    eventually(lambda: "the node service is dead" in told.inner_text(), 10, "why nothing was done")
    assert set(processes(LAB)) == set(pids.values())
    first.run(0)
    first.wait(0)
    eventually(lambda: "Everything runs" in says.inner_text(), 15, "the lab is well again")
    nothing_lost(set(pids.values()))


def nothing_lost(pids: set[int]) -> None:
    """The policy is enforced; these processes live; each that lives is one that status lists."""
    lab = Lab.attach(LAB)
    assert [(p.name, p.enforced) for p in lab.policy_statuses()] == [("web-egress", True)]
    lab.close()

    def all_listed() -> bool:
        assert processes(LAB) == {pid: name.split()[0] for name, pid in listed().items()}
        return True

    eventually(all_listed, 15, "each process to be one that status lists")
    assert pids <= set(listed().values()), "the same as before"


def listed() -> dict[str, int]:
    """What status says: process and generation (of one that drains) → pid."""
    lab = Lab.attach(LAB)
    found = lab.status().process
    lab.close()
    drains = {f"{p.name} {p.generation}": p.pid for p in found if p.state == "draining"}
    return {p.name: p.pid for p in found if p.state != "draining"} | drains


def processes(lab: str) -> dict[int, str]:
    """Living processes that were started for a lab, by what they were started as."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            module = next((w for w in words if w.startswith("fqdnlab.")), "")
            of_it = ["--lab", lab] in map(list, pairwise(words)) or f"/{lab}/" in " ".join(words)
            if module and of_it:
                found[int(path.parent.name)] = module.split(".")[-1]
    return found


def test_a_recording_that_was_cut_short(first: Tab, open_notebook: Opener, tmp_path: Path) -> None:
    """It opens with a warning that says until when it goes, and is drawn as far as it goes."""
    lab = Lab.attach(LAB)
    whole = tmp_path / "run.fqdnlab"
    with lab.record(str(whole)):
        assert lab.endpoint("web", labels={"app": "web"}).connect("api.example.com", 443)
        eventually(lambda: len(lab.flows()) > 3, 10, "flows")
    lab.close()
    octets = whole.read_bytes()
    cut = tmp_path / "cut.fqdnlab"
    cut.write_bytes(octets[: octets.rindex(b'"end"') - 40])
    cells = (
        f"import fqdnlab\nr = fqdnlab.open_recording({str(cut)!r})\nlen(r.flows()) > 3",
        "r.timeline()",
        f"fqdnlab.open_recording({str(tmp_path / 'none')!r})",
    )
    tab = open_notebook("cut.ipynb", *cells)
    for cell in range(3):
        tab.run(cell)
        tab.wait(cell)
    eventually(lambda: "cut.fqdnlab was cut short: what was written until" in tab.text(0), 10)
    assert "True" in tab.text(0)
    tab.page.wait_for_selector(".js-plotly-plot .main-svg", timeout=20_000)
    assert "cannot read" in tab.text(2)


def test_a_restarted_kernel_loses_nothing_of_the_lab(first: Tab) -> None:
    first.page.evaluate(_RESTART)
    stale = first.page.locator(".fq-stale:visible").first
    eventually(lambda: "the lab itself goes on" in stale.inner_text(), 20, "plain words")
    nothing_lost(set())
    for cell in (0, 1):
        first.run(cell)
        first.wait(cell)
    first.page.wait_for_selector(f"{WORD}:has-text('at work')")
    eventually(lambda: "1 policy" in first.page.inner_text(".fq-top"), 10, "the policy, as it was")


def test_a_panel_that_fails_says_so_and_not_that_the_kernel_is_gone(
    first: Tab, open_notebook: Opener
) -> None:
    cells = (
        f'from fqdnlab import Lab\npanel = Lab("{LAB}").panel("faults")\npanel',
        "panel.show = lambda seen: 1 / 0",
        "del panel.show",
    )
    tab = open_notebook("failing.ipynb", *cells)
    tab.run(0)
    tab.page.wait_for_selector(f"{WORD}:has-text('at work')")
    note = tab.page.locator(".fq-stale")
    tab.run(1)
    eventually(lambda: "This panel failed" in note.inner_text(), 15, "plain words")
    assert "ZeroDivisionError" in note.inner_text()
    tab.run(2)
    eventually(lambda: not note.is_visible(), 15, "that it is well again")


def test_traffic_of_a_panel_ends_with_its_kernel_and_is_listed_while_it_goes_on(
    first: Tab, open_notebook: Opener
) -> None:
    cell = f'from fqdnlab import Lab\nlab = Lab("{LAB}")\nlab.panel("traffic")'
    tab = open_notebook("traffic.ipynb", cell)
    tab.run(0)
    tab.page.wait_for_selector("[data-field=endpoint] option[value=web]", state="attached")
    tab.page.locator(".fq-start input[data-field=name]").fill(ASKED_FOR)
    tab.page.locator("[data-do=start]").click()
    row = ".fq-traffic tbody tr[data-running=true]"
    tab.page.wait_for_selector(row)
    eventually(lambda: len(commands()) == 1, 10, "the traffic's process")
    tab.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    url = tab.page.url
    tab.page.close()
    again = Tab(tab.page.context.new_page(), tab.outside)
    again.page.goto(url)
    again.page.wait_for_selector(row, timeout=30_000)
    assert len(commands()) == 1, "it goes on, and is listed"
    again.page.evaluate(_RESTART)
    eventually(lambda: commands() == [], 20, "it to end with the kernel")
    nothing_lost(set())


def commands() -> list[str]:
    """Processes that ask for the name that this test alone asks for.

    By their command lines, which everybody may read: on some hosts not even root may read the
    namespaces of another's process.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if ASKED_FOR in words:
                found.append(" ".join(words)[:200])
    return found


_RESTART = """() =>
  window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"""
