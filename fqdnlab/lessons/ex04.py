"""04: addresses change."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise

_NEW = "198.51.100.9"


@exercise("04.1")
def _(answer: Any, lab: Any) -> str:
    # First, and with no look-up of its own: that would do the exercise.
    if _NEW not in set(lab.mappings()["ip"]):
        return f"the kernel does not know {_NEW} yet: move the name, then look it up in web (dig)"
    if not (tried := lab.endpoint("web").connect(_NEW, 443)):
        return f"web does not reach {_NEW}: {tried.error}"
    return "" if answer is True else f"{_NEW} is reachable: put True in the place of ..."
