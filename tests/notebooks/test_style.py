"""What every notebook keeps to: short cells, objectives first, nothing of one backend alone."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.answers import NOTEBOOKS, WRONG, exercises, solution

BOOKS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))  # start.ipynb: tests/browser/test_start.py
MOST_LINES = 8
#: Shell escapes, and paths that exist on a node alone.
NOT_EVERYWHERE = re.compile(r"^\s*[!%]|/run/|/proc/|/sys/|subprocess|os\.system", re.MULTILINE)

pytestmark = pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.stem)


def cells(book: Path) -> list[nbformat.NotebookNode]:
    found: list[nbformat.NotebookNode] = nbformat.read(book, as_version=4).cells
    return found


def test_it_is_valid_and_says_first_what_one_will_do(book: Path) -> None:
    nbformat.validate(nbformat.read(book, as_version=4))
    first = cells(book)[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {book.stem[:2]} · ")
    assert "**You will**" in first.source
    assert re.search(r"\*\d+ minutes", first.source), "no word of how long it takes"


def test_cells_are_short(book: Path) -> None:
    long = {
        cell.source: lines
        for cell in cells(book)
        if cell.cell_type == "code"
        for lines in [len(cell.source.splitlines())]
        if lines > MOST_LINES
    }
    assert long == {}


def test_it_runs_on_any_backend(book: Path) -> None:
    for cell in cells(book):
        if cell.cell_type == "code":
            assert not NOT_EVERYWHERE.search(cell.source), cell.source


def test_marked_cells_have_an_output_to_compare_with(book: Path) -> None:
    marked = [c for c in cells(book) if "NBVAL_CHECK_OUTPUT" in c.source]
    assert marked, "nothing that it prints is compared"
    assert [c.source for c in marked if not c.outputs] == []


def test_something_is_asserted(book: Path) -> None:
    if book.stem[:2] != "12":
        assert any(c.source.startswith("assert") or "\nassert" in c.source for c in cells(book))


def test_each_exercise_has_a_solution_and_a_wrong_answer(book: Path) -> None:
    for number in exercises(book):
        assert number.startswith(f"{book.stem[:2]}.")
        assert solution(number) not in WRONG[number]


def test_the_last_cell_leaves_no_lab(book: Path) -> None:
    last = [c for c in cells(book) if c.cell_type == "code"][-1]
    assert ".down()" in last.source or "labs_left(" in last.source
