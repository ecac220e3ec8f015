"""The numbered steps of the three ways: each that docs/architecture.md lists stands in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_STEP = re.compile(r"\b([123]\.\d{1,2})\b")
#: "way 2.4", "Ways 2.5 and 2.6", "ways 1.4, 1.5", "Way 1.3 to 1.9"
_NAMED = re.compile(r"\bways? ((?:[123]\.\d{1,2}(?:,? and |, | to )?)+)", re.IGNORECASE)


def listed() -> list[str]:
    text = (ROOT / "docs" / "architecture.md").read_text()
    part = text.partition("## The three ways")[2].partition("\n## ")[0]
    return sorted(set(_STEP.findall(part)), key=lambda s: [int(n) for n in s.split(".")])


def named() -> dict[str, set[str]]:
    """Step → files that name it."""
    found: dict[str, set[str]] = {}
    for folder, pattern in (("fqdnlab", "*.py"), ("bpf", "*.[ch]")):
        for path in (ROOT / folder).rglob(pattern):
            for steps in _NAMED.findall(path.read_text()):
                for step in _STEP.findall(steps):
                    found.setdefault(step, set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("step", listed())
def test_each_step_is_named_where_it_is_done(step: str) -> None:
    assert named().get(step), f"no comment says `way {step}`"


def test_no_comment_names_a_step_that_is_not_listed() -> None:
    assert set(named()) <= set(listed())
