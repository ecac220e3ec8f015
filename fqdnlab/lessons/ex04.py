"""04: addresses change."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise

_NEW = "198.51.100.9"


@exercise("04.1")
def _(_answer: Any, lab: Any) -> str:
    web = lab.endpoint("web")
    if _NEW not in web.run(["dig", "+short", "@10.96.0.10", "api.example.com"]).stdout and (
        _NEW not in set(lab.mappings()["ip"])
    ):
        return f"api.example.com is not at {_NEW}: lab.world[...] = [...] moves it"
    return ""
