"""The README's session does what it says, and its links lead somewhere."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_first_session(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(ROOT)
    seen: list[Any] = []
    # What stands alone on a line is shown by a notebook: here it is kept, to be looked at.
    spied = re.sub(
        r"^    ((?:web|lab)\.(?:connect|run|flows)\(.*\))", r"    seen(\1)", code, flags=re.M
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(spied, "README.md", "exec"), {"seen": seen.append})
    first, page, dropped, back, flows = seen
    assert first.address == "198.51.100.7"
    assert "198.51.100.7" in page.stdout
    assert not dropped.ok
    assert "unreachable" in dropped.error
    assert back.address == "198.51.100.8"
    assert {"FORWARDED", "DROPPED"} <= set(flows["verdict"])
    assert "198.51.100.8 443/TCP" in printed.getvalue()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
