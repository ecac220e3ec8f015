"""02: wildcards, exactly."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise
from fqdnlab.lessons.expect import word, words
from fqdnlab.lessons.helpers import matches


@exercise("02.1")
def _(answer: Any, _lab: Any) -> str:
    if wrong := word(answer):
        return wrong
    names = ["a.example.com", "a.b.example.com", "example.com", "example.org"]
    got = list(matches([answer], names)[answer])
    for name, said, wanted in zip(names, got, ["yes", "yes", "·", "·"], strict=True):
        if said != wanted:
            return f"{answer} {'matches' if said == 'yes' else 'does not match'} {name}"
    return ""


@exercise("02.2")
def _(answer: Any, _lab: Any) -> str:
    names = ["example.com", "myexample.com", "www.example.com", "example.com.evil.net"]
    table = matches(["*example.com"], names)["*example.com"]
    right = {name for name in names if table[name] == "yes"}
    return words(answer, right, names)
