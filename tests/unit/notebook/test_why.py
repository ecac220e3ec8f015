"""What the explanation's panel shows and offers, of explanations of real facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fqdnlab.errors import UsageError
from fqdnlab.explain import Remedy, forecast
from fqdnlab.notebook.why import explained, label_of, shown
from tests.unit.explain.kit import facts


@pytest.mark.parametrize(
    ("remedy", "label"),
    [
        (Remedy("none", "None was found."), ""),
        (Remedy("restart", "…", ("agent",)), "Restart agent"),
        (
            Remedy("restart", "…", ("proxy",), name="a.example.com."),
            "Restart DNS proxy and look up a.example.com",
        ),
        (Remedy("look-up", "…", name="a.example.com."), "Look up a.example.com"),
        (Remedy("apply", "…", policy="kind: x\n"), "Apply policy"),
        (
            Remedy("apply", "…", ("proxy", "agent"), "kind: x\n", "a.example.com."),
            "Restart DNS proxy, restart agent, apply policy and look up a.example.com",
        ),
    ],
)
def test_the_button_says_all_that_it_does(remedy: Remedy, label: str) -> None:
    assert label_of(remedy) == label


def test_a_drop_before_it_is_sent() -> None:
    made = shown(forecast(facts(), "web", "api.example.com", 80))
    assert made["title"] == "What would become of it?"
    assert not made["passes"]
    assert [s["title"] for s in made["steps"]][-1] == "Verdict"
    assert made["steps"][-1]["state"] == "denied"
    assert made["remedy"]["label"].startswith("Apply policy")
    assert "api.example.com" in made["remedy"]["policy"]


def test_what_passes_offers_nothing() -> None:
    made = shown(forecast(facts(), "web", "api.example.com", 443))
    assert made["passes"]
    assert made["remedy"] is None


def test_entries_of_the_kernel_are_shown_as_they_are() -> None:
    made = shown(forecast(facts(), "web", "api.example.com", 443))
    maps = next(s for s in made["steps"] if s["title"] == "Kernel's maps")
    assert any(e.startswith("policy[policy ") and " = allow" in e for e in maps["more"])


def test_what_cannot_be_known_is_said() -> None:
    gone = replace(facts(), zones=None)
    assert shown(forecast(gone, "web", "api.example.com", 443))["unknown"]


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"endpoint": "web", "target": "", "port": "443"}, "destination"),
        ({"endpoint": "web", "target": "api.example.com", "port": "x"}, "no port"),
        ({"endpoint": "web", "target": "api.example.com", "port": "70000"}, "no port"),
        ({"endpoint": "nobody", "target": "api.example.com", "port": "1"}, "no endpoint"),
    ],
)
def test_what_cannot_be_asked_is_an_error_in_words(about: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        explained(facts(), about)
