"""08: the first-packet race."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise
from fqdnlab.lessons.expect import number
from fqdnlab.model.settings import LabSettings


@exercise("08.1")
def _(answer: Any, _lab: Any) -> str:
    right = LabSettings().hold * 1000
    return number(answer, right, "by default, and in milliseconds: settings have seconds")


@exercise("08.2")
def _(answer: Any, _lab: Any) -> str:
    if not isinstance(answer, bool):
        return f"that is a {type(answer).__name__}: answer True or False"
    if answer:
        return "the kernel has the address already: there is nothing to wait for"
    return ""
