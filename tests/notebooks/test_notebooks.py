"""Every notebook under nbval; each fails when its mechanism is disabled; each check judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks.answers import NOTEBOOKS, WRONG, exercises, solution
from tests.notebooks.nbval_run import nbval, outcomes
from tests.notebooks.sabotage import SABOTAGE

pytestmark = pytest.mark.timeout(200)

BOOKS = sorted(NOTEBOOKS.glob("*.ipynb"))


def ids(value: object) -> str:
    return value.stem if isinstance(value, Path) else str(value)


@pytest.mark.usefixtures("no_labs_left")
@pytest.mark.parametrize("book", BOOKS, ids=ids)
def test_the_notebook_runs_and_says_what_it_said(book: Path, tmp_path: Path) -> None:
    ran = nbval(book, tmp_path)
    assert ran.status == 0, ran.text


@pytest.mark.usefixtures("labs_end")
@pytest.mark.parametrize("book", [b for b in BOOKS if b.stem[:2] in SABOTAGE], ids=ids)
def test_it_fails_when_its_mechanism_is_disabled(book: Path, tmp_path: Path) -> None:
    disabled = SABOTAGE[book.stem[:2]]
    ran = nbval(book, tmp_path, disabled.startup)
    assert ran.status == 1, f"{disabled.what}, and the notebook passed:\n{ran.text}"
    assert disabled.shows in ran.text, ran.text


def test_all_lessons_from_01_to_11_have_a_saboteur() -> None:
    numbers = {book.stem[:2] for book in BOOKS} - {"00", "12"}
    assert set(SABOTAGE) == numbers


@pytest.mark.usefixtures("no_labs_left")
@pytest.mark.parametrize("book", [b for b in BOOKS if exercises(b)], ids=ids)
def test_the_checks_judge(book: Path) -> None:
    answers = {n: (None, WRONG[n], solution(n)) for n in exercises(book)}
    for number, (untouched, wrong, right) in outcomes(book, answers).items():
        assert untouched.startswith(f"○ {number} not answered yet"), untouched
        assert wrong.startswith(f"✕ {number} not yet: "), wrong
        assert right == f"▲ {number} right"
