"""06: upgrades with surge."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise
from fqdnlab.lessons.expect import word


@exercise("06.1")
def _(answer: Any, _lab: Any) -> str:
    if wrong := word(answer):
        return wrong
    if answer not in ("all", "some", "none"):
        return 'answer "all", "some" or "none"'
    if answer != "all":
        return "compare surge.started with seen"
    return ""
