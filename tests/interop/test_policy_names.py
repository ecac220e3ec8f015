"""Cilium's own matcher answers for selectors and names what ours answers."""

from __future__ import annotations

import random
import re

from fqdnlab.model.names import dns_selector_matcher, fqdn_matcher, validate_selector
from fqdnlab.model.policy import FQDNSelector
from tests.interop.policy_peer import ask

PAIRS = 12_000
NAMES_EACH = 6


PARTS = ["a", "b", "x-1", "_y", "*", "**", "a*", "*b", "a*b", "***", "Com", "*-*", "z" * 63]
NAME_PARTS = ["a", "b", "x-1", "_y", "ab", "aXb", "com", "-", "", "é", "z" * 63, "a\\.b", "\u212a"]


def selector(chance: random.Random) -> FQDNSelector:
    text = ".".join(chance.choice(PARTS) for _ in range(chance.randint(1, 4)))
    text += chance.choice(
        ["", "", ".", ".", "..", " ", "$"] if chance.random() < 0.3 else ["", "."]
    )
    if chance.random() < 0.02:
        text = text + "w" * chance.randint(200, 256)
    if chance.random() < 0.3:
        return FQDNSelector(match_name=text if chance.random() < 0.1 else text.replace("*", "a"))
    return FQDNSelector(match_pattern=text)


def name_like(chance: random.Random, wanted: FQDNSelector) -> str:
    """A name that the selector may match: its stars filled in; or any name."""
    if chance.random() < 0.25:
        name = ".".join(chance.choice(NAME_PARTS) for _ in range(chance.randint(0, 4)))
    else:
        text = wanted.match_name or wanted.match_pattern
        fill = chance.choice(["", "a", "ab-", "a.b", ".", "\u212a"])
        name = re.sub(r"\*+", lambda _found: chance.choice(["", "a", "q9_", fill]), text)
    if chance.random() < 0.3:
        name = name.upper()
    return name + chance.choice(["", "", ".", " ", "\\."] if chance.random() < 0.2 else ["", "."])


def test_names_match_as_in_cilium() -> None:
    """Selectors and names by chance: validity, as toFQDNs, as rules.dns."""
    chance = random.Random(20)
    cases = []
    for _ in range(PAIRS // NAMES_EACH):
        wanted = selector(chance)
        cases.append((wanted, [name_like(chance, wanted) for _ in range(NAMES_EACH)]))
    answers = ask(
        {
            "match": {
                "matchName": wanted.match_name,
                "matchPattern": wanted.match_pattern,
                "names": names,
            }
        }
        for wanted, names in cases
    )
    differences = []
    counts = {"pairs": 0, "invalid": 0, "toFQDNs": 0, "rulesDNS": 0}
    for (wanted, names), answer in zip(cases, answers, strict=True):
        problem = validate_selector(wanted)
        if answer["valid"] != (not problem):
            differences.append((wanted, answer, problem))
            continue
        counts["pairs"] += len(names)
        counts["invalid"] += 0 if answer["valid"] else len(names)
        if answer["valid"]:
            learned = [fqdn_matcher(wanted)(name) for name in names]
            asked = [dns_selector_matcher(wanted)(name) for name in names]
            counts["toFQDNs"] += sum(learned)
            counts["rulesDNS"] += sum(asked)
            if (learned, asked) != (answer["toFQDNs"], answer["rulesDNS"]):
                differences.append((wanted, list(zip(names, learned, asked, strict=True)), answer))
    print(f"names: {counts}")
    assert differences == []
    assert counts["pairs"] >= 10_000
    # Both answers came up often, so that agreement says something.
    assert counts["pairs"] - counts["invalid"] - counts["toFQDNs"] > 1_000
    assert min(counts["toFQDNs"], counts["rulesDNS"]) > 1_000


def test_an_empty_selector_is_the_one_difference_in_validity() -> None:
    """Cilium's matcher takes a selector that says nothing; its schema refuses it, and so do we."""
    (answer,) = ask([{"match": {"matchName": "", "matchPattern": "", "names": ["."]}}])
    assert answer["valid"]
    assert validate_selector(FQDNSelector()) != ""
