"""Entries of maps and documents as text: what is written reads back as it was."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.explain import Known
from fqdnlab.explain.decide import Mind
from fqdnlab.model.maptext import (
    CacheEntry,
    EndpointEntry,
    PolicyEntry,
    PolicyKey,
    read_cache,
    read_endpoint,
    read_policy,
    read_policy_key,
)
from fqdnlab.model.ports import PortKey
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.model.yaml_text import plain, write_documents
from tests.explain_kit import policies
from tests.unit.explain.kit import WEB, facts

U32 = st.integers(0, 2**32 - 1)
U16 = st.integers(0, 2**16 - 1)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(bool), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(U32, U32, st.integers(0, 255), U16, st.integers(0, 24))
def test_a_key_of_the_policy_map(
    policy: int, identity: int, proto: int, port: int, bits: int
) -> None:
    key = PolicyKey(policy, identity, PortKey(proto, port, bits))
    assert read_policy_key(key.text) == key


@given(st.sampled_from([1, 3]), U32, st.integers(0, 24))
def test_a_value_of_the_policy_map(verdict: int, rule: int, bits: int) -> None:
    for entry in (PolicyEntry(verdict, 0, rule, bits), PolicyEntry(2, 53, rule, bits)):
        assert read_policy(entry.text) == entry


@given(U32, U32, st.booleans())
def test_a_value_of_the_ipcache(identity: int, established: int, internal: bool) -> None:
    entry = CacheEntry(identity, established, internal)
    assert read_cache(entry.text) == entry


def test_a_value_of_the_endpoints_map() -> None:
    entry = EndpointEntry(1, 3, 257, True, "10.10.0.1", "fd10::1")
    assert read_endpoint(entry.text) == entry
    with pytest.raises(ValueError, match="no entry of a map"):
        read_endpoint("endpoint 1")


@given(st.dictionaries(TEXT.filter(bool), VALUES, min_size=1, max_size=4))
def test_yaml_reads_back(document: dict[str, object]) -> None:
    text = write_documents(document)
    (again,) = read_documents(text)
    assert again.root is not None, (text, again.faults)
    assert plain(again.root) == document, text


@pytest.mark.parametrize("seed", range(6))
def test_policies_and_the_maps_made_of_them_say_the_same(seed: int) -> None:
    rng = random.Random(seed)
    names = ["one.a.test", "x1.b.test", "two.c.test"]
    text = policies(rng, names)
    addresses = [f"198.51.100.{n * 17 + 1}" for n in range(len(names))]
    known = [Known("web", f"{n}.", a, 60, 1.0, 9.0) for n, a in zip(names, addresses, strict=True)]
    made = facts(text, known)
    assert made.maps is not None
    mind = Mind(made)
    for _ in range(150):
        address = rng.choice([*addresses, "198.51.100.40", "192.0.2.1", "10.96.0.10"])
        proto, port = rng.choice((6, 17, 1)), rng.choice((443, 80, 8050, 53, 22, 8))
        found = made.maps.judge(1, address, proto, port)
        decided = mind.judge(WEB, address, proto, port)
        assert found is not None
        rule = made.by_number(found.rule)
        mine = (decided.verdict, decided.reason, decided.rule.path if decided.rule else None)
        assert (found.verdict, found.reason, rule.path if rule else None) == mine, text
