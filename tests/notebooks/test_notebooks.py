"""Every notebook under nbval; each fails when its mechanism is disabled; each check judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from fqdnlab.lab.lab import Lab
from fqdnlab.lessons import check
from fqdnlab.patience import PATIENCE, patience, patiently
from tests.notebooks.answers import NOTEBOOKS, WRONG, exercises, solution
from tests.notebooks.nbval_run import SECONDS, nbval, outcomes
from tests.notebooks.sabotage import SABOTAGE, Disabled

#: So many times slower than one of our own the machine of lesson 07 is taken to be, at least.
SLOWER = max(3.0, patience())

#: More than nbval has, whose limit says what the notebook did until then.
pytestmark = pytest.mark.timeout(patiently(SECONDS) + 30)

BOOKS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))  # start.ipynb: tests/browser/test_start.py


def ids(value: object) -> str:
    if isinstance(value, Disabled):
        return value.what.replace(" ", "-")
    return value.stem if isinstance(value, Path) else str(value)


@pytest.mark.usefixtures("no_labs_left")
@pytest.mark.parametrize("book", BOOKS, ids=ids)
def test_the_notebook_runs_and_says_what_it_said(book: Path, tmp_path: Path) -> None:
    ran = nbval(book, tmp_path)
    assert ran.status == 0, ran.text


@pytest.mark.usefixtures("labs_end")
@pytest.mark.parametrize(
    ("book", "disabled"), [(b, d) for b in BOOKS for d in SABOTAGE.get(b.stem[:2], ())], ids=ids
)
def test_it_fails_when_its_mechanism_is_disabled(
    book: Path, disabled: Disabled, tmp_path: Path
) -> None:
    ran = nbval(book, tmp_path, disabled.startup)
    assert ran.status == 1, f"{disabled.what}, and the notebook passed:\n{ran.text}"
    assert any(disabled.shows in said for said in ran.asserted), ran.text


#: As over ssh, to a machine without KVM: what the agent says comes late.
SLOW = """
import time
import fqdnlab.lab.lab as module
mappings = module.Lab.mappings
def late(self):
    time.sleep(2.5)
    return mappings(self)
module.Lab.mappings = late
"""


@pytest.mark.timeout(SECONDS * SLOWER + 30)
@pytest.mark.usefixtures("no_labs_left")
def test_times_to_live_are_longer_where_a_machine_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In lesson 07 a mapping must be seen while its time to live lasts: two seconds here."""
    monkeypatch.setenv(PATIENCE, str(SLOWER))
    (book,) = (b for b in BOOKS if b.stem.startswith("07-"))
    ran = nbval(book, tmp_path, SLOW)
    assert ran.status == 0, ran.text


def test_all_lessons_from_01_to_11_have_a_saboteur() -> None:
    numbers = {book.stem[:2] for book in BOOKS} - {"00", "12"}
    assert set(SABOTAGE) == numbers
    everyone = [d for those in SABOTAGE.values() for d in those]
    for part in ("what", "startup", "shows"):
        assert len({getattr(d, part) for d in everyone}) == len(everyone), f"two share their {part}"


@pytest.mark.usefixtures("no_labs_left")
@pytest.mark.parametrize("book", [b for b in BOOKS if exercises(b)], ids=ids)
def test_the_checks_judge(book: Path) -> None:
    answers = {n: (None, *WRONG[n], solution(n)) for n in exercises(book)}
    for number, (untouched, *wrong, right) in outcomes(book, answers).items():
        assert untouched.startswith(f"○ {number} not answered yet"), untouched
        for said, words in zip(wrong, WRONG[number].values(), strict=True):
            assert said.startswith(f"✕ {number} not yet: "), said
            assert words in said
        assert right == f"▲ {number} right"


@pytest.mark.usefixtures("no_labs_left")
def test_a_check_after_the_last_cell_says_that_the_lab_is_down() -> None:
    """Who runs straight past the exercises is in the last cell before the first answer."""
    lab = Lab("lesson-over")
    try:
        web = lab.endpoint("web", labels={"app": "web"})
        lab.world["img.example.com"] = ["203.0.113.19"]
        there = web.connect("img.example.com", 80)
    finally:
        lab.down()
    answers = {"00.1": there, "01.1": 0, "03.1": 257, "03.2": 1, "04.1": True, "05.2": 4000.0}
    answers |= dict.fromkeys(("01.2", "10.1", "11.1"), str(NOTEBOOKS / "policies/web.yaml"))
    for number, answer in answers.items():
        assert repr(check(number, answer, lab)) == (
            f"✕ {number} not yet: the lab is down: "
            "run the notebook from its top, and check before the last cell"
        )
    assert check("05.1", {"new addresses", "applying policies"}, lab), "it looks at no lab"
