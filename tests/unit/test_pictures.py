"""README's pictures are those that tests take, by name: `make pictures` copies them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs" / "img").glob("*.png"))
#: What takes a picture: `tab.shoot(..., "NAME")`, `screenshot(tab, "NAME")`, `SHOTS / "NAME.png"`.
TAKEN = re.compile(
    r'(?:shoot|screenshot)\([^"\n]*(?:"[^"]*", )?"([\w-]+)"\)|SHOTS / "([\w-]+)\.png"'
)


def taken() -> set[str]:
    texts = [p.read_text() for d in ("browser", "demo") for p in (ROOT / "tests" / d).glob("*.py")]
    return {a or b for text in texts for a, b in TAKEN.findall(text)}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda p: p.name)
def test_a_test_takes_it_and_the_readme_shows_it(picture: Path) -> None:
    assert picture.stem in taken()
    assert f"](docs/img/{picture.name})" in (ROOT / "README.md").read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 400_000, "a clone stays small"


def test_there_are_pictures() -> None:
    assert {p.stem for p in PICTURES} >= {"dashboard", "report"}
