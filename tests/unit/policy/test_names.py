"""Matching of names, against the slow model and by example."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fqdnlab.model.names import (
    MatchSet,
    dns_matcher,
    dns_selector_matcher,
    fqdn_matcher,
    matches_everything,
    normalise,
    validate_selector,
)
from fqdnlab.model.policy import FQDNSelector
from tests.unit.policy import model_names

# Few characters, so that patterns and names meet often.
PATTERNS = st.text(alphabet="ab-*.", min_size=1, max_size=12) | st.lists(
    st.sampled_from(["*", "**", "a", "b", "a*", "*b", "***", "-"]), min_size=1, max_size=4
).map(".".join)
NAMES = st.text(alphabet="abA-._\\ é", max_size=12) | st.lists(
    st.sampled_from(["a", "b", "ab", "aab", "-", "", "B"]), max_size=5
).map(".".join)


def pattern(text: str) -> FQDNSelector:
    return FQDNSelector(match_pattern=text)


@settings(max_examples=1500)
@given(PATTERNS, NAMES)
def test_to_fqdns_agrees_with_the_model(text: str, name: str) -> None:
    assert fqdn_matcher(pattern(text))(name) == model_names.as_fqdn(text, name)


@settings(max_examples=1500)
@given(PATTERNS, NAMES)
def test_rules_dns_agrees_with_the_model(text: str, name: str) -> None:
    expected = model_names.as_dns(text, name)
    assert dns_matcher(text)(name) == expected
    assert dns_selector_matcher(pattern(text))(name) == expected


@given(st.text(alphabet="ab.\\A ", max_size=8))
def test_normalise_agrees_with_the_model(name: str) -> None:
    assert normalise(name) == model_names.canonical(name)
    if "\\" not in name:
        assert normalise(normalise(name)) == normalise(name)


@settings(max_examples=300)
@given(st.lists(PATTERNS, max_size=8), st.lists(NAMES, max_size=5))
def test_a_set_answers_as_its_members(texts: list[str], names: list[str]) -> None:
    selectors = [pattern(text) for text in texts] + [
        FQDNSelector(match_name=text) for text in texts if "*" not in text
    ]
    found = MatchSet(selectors)
    for name in names:
        assert set(found.match(name)) == {s for s in selectors if fqdn_matcher(s)(name)}
        assert len(found.match(name)) == len(set(found.match(name)))


@settings(max_examples=100)
@given(st.lists(PATTERNS, min_size=1, max_size=8), st.data())
def test_a_set_forgets(texts: list[str], data: st.DataObject) -> None:
    found = MatchSet(map(pattern, texts))
    gone = pattern(data.draw(st.sampled_from(texts)))
    found.discard(gone)
    found.discard(gone)
    assert gone not in found
    left = {pattern(text) for text in texts} - {gone}
    assert set(found) == left
    assert len(found) == len(left)
    assert all(gone not in found.match(name) for name in ("a.", "a.b.", "."))
    found.add(gone)
    assert set(found.match("a.b")) == {s for s in {*left, gone} if fqdn_matcher(s)("a.b")}


@pytest.mark.parametrize(
    ("text", "name", "learned", "asked"),
    [
        ("*.x.io", "a.x.io", True, True),
        ("*.x.io", "x.io", False, False),
        ("*.x.io", "a.b.x.io", False, False),
        ("a*.x.io", "a.x.io", True, True),
        ("a*.x.io", "ABC.x.io.", True, True),
        ("**.x.io", "a.b.x.io", True, True),
        ("**.x.io", "x.io", False, False),
        ("***.x.io", "a.x.io", True, True),
        ("a.**.io", "a.b.io", True, True),
        ("a.**.io", "a.b.c.io", False, False),
        ("a**.io", "abc.io", True, True),
        ("*x.io", "x.io", True, True),
        ("*", ".", True, True),
        ("**.", "a.b", True, True),
        ("*", "a\\032b.io", False, True),
        ("*", "é.io", False, True),
        ("*", "a b", False, True),
        ("*.io", "é.io", False, False),
        ("x.io", "x.io\n", False, False),
        ("*.io", "a.io\n", False, False),
        ("X.io.", "x.IO", True, True),
        ("*.io", "\u212a.io", True, True),  # the Kelvin sign is a k in lower case, in Go too
    ],
)
def test_by_example(text: str, name: str, learned: bool, asked: bool) -> None:
    assert fqdn_matcher(pattern(text))(name) is learned
    assert dns_matcher(text)(name) is asked


def test_a_name_is_a_pattern_without_stars() -> None:
    assert dns_selector_matcher(FQDNSelector(match_name="API.example.com"))("api.example.com.")
    assert fqdn_matcher(FQDNSelector(match_name="api.example.com"))("API.EXAMPLE.COM")
    assert not fqdn_matcher(FQDNSelector(match_name="api.example.com"))("xapi.example.com")
    assert not fqdn_matcher(FQDNSelector(match_name="api.example.com"))("apixexample.com")


@pytest.mark.timeout(10)
def test_many_stars_cost_no_more_than_their_product() -> None:
    many = fqdn_matcher(pattern("a*" * 120 + "b"))
    assert not many("a" * 250)
    assert many("a" * 250 + "b")
    deep = fqdn_matcher(pattern("**." + "*a*.*a*." * 20 + "b"))
    assert not deep("a.a.a." * 40 + "c")


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (FQDNSelector(), "exactly one"),
        (FQDNSelector("a", "b"), "exactly one"),
        (FQDNSelector("a b"), "letters"),
        (FQDNSelector(" a"), "letters"),
        (FQDNSelector("*.a"), "letters"),
        (FQDNSelector("a\n"), "letters"),
        (FQDNSelector("é"), "letters"),
        (pattern("a/b"), "letters"),
        (pattern("*.a "), "letters"),
        (FQDNSelector("a" * 255), "at most 255"),
        (pattern("*" * 256), "at most 255"),
    ],
)
def test_what_is_no_selector(selector: FQDNSelector, words: str) -> None:
    assert words in validate_selector(selector)


@pytest.mark.parametrize(
    "selector",
    [
        FQDNSelector("a" * 254),
        FQDNSelector("a" * 254 + "."),
        FQDNSelector("_a-b.C9."),
        FQDNSelector("a..b"),
        pattern("*" * 255),
        pattern("**.a*b"),
    ],
)
def test_what_is_a_selector(selector: FQDNSelector) -> None:
    assert validate_selector(selector) == ""


def test_stars_alone() -> None:
    assert all(map(matches_everything, ["*", "**", "*.", "***."]))
    assert not any(map(matches_everything, ["", ".", "*..", "*.*", "a*", "*\n"]))
