"""What is found for a name, against a slow and plain reading of RFC 1034 and RFC 4592."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fqdnlab.errors import UsageError
from fqdnlab.world.store import DEFAULT_TTL, Edit, Store
from fqdnlab.world.wire import AAAA, CNAME, SOA, A, name_text, name_wire
from fqdnlab.world.zone import Zone
from tests.unit.world.strategies import ADDRESSES, FEW, NAMES

HERE = b"\x0a\0\0\1"


def plain_find(owners: set[str], name: str) -> str | None:
    """Who answers for `name`: itself, "" (exists without data), a wildcard, or None."""
    exists = {""}
    for owner in owners:
        labels = owner.split(".")
        exists |= {".".join(labels[at:]) for at in range(len(labels))}
    if name in owners:
        return name
    if name in exists:
        return ""
    labels = name.split(".")
    encloser = next(
        above
        for above in (".".join(labels[at:]) for at in range(1, len(labels) + 1))
        if above in exists
    )
    star = f"*.{encloser}" if encloser else "*"
    return star if star in owners else None


@given(st.sets(FEW, max_size=8), FEW)
@example({"*.a", "b.c.a"}, "x.c.a")
@example({"*.a"}, "b.*.a")
@settings(max_examples=400)
def test_found_as_the_plain_reading_finds_it(owners: set[str], name: str) -> None:
    store = Store()
    numbers = {owner: f"10.0.0.{n}" for n, owner in enumerate(sorted(owners), 1)}
    store.apply(Edit("set", owner, values=(address,)) for owner, address in numbers.items())
    found = store.find(HERE, name_wire(name), A)
    who = plain_find(owners, name)
    if who:
        assert found.answer[0].rdata == bytes(map(int, numbers[who].split(".")))
        assert name_text(found.answer[0].name) == name
    else:
        assert found.answer == []
        assert [r.type for r in found.authority] == [SOA]
    assert found.rcode == (3 if who is None else 0)


@given(st.lists(st.tuples(FEW, st.booleans()), max_size=30))
def test_names_above_go_with_the_last_below(steps: list[tuple[str, bool]]) -> None:
    zone = Zone()
    there: set[bytes] = set()
    for text, put in steps:
        name = name_wire(text)
        zone.put_node(name, {} if put else None)
        (there.add if put else there.discard)(name)
    again = Zone()
    for name in there:
        again.put_node(name, {})
    assert zone.__dict__.keys() == again.__dict__.keys()
    assert {n for n, _ in zone.names()} == there
    assert zone._below == again._below


def chain(*names: str) -> Store:
    store = Store()
    store.apply(Edit("put", one, "CNAME", (two,), 5) for one, two in itertools.pairwise(names))
    return store


def test_chains_are_followed_to_their_end() -> None:
    store = chain("a.example", "b.example", "c.example")
    store.apply([Edit("set", "c.example", values=("10.0.0.1",))])
    found = store.find(HERE, name_wire("a.example"), A)
    assert [(name_text(r.name), r.type) for r in found.answer] == [
        ("a.example", CNAME),
        ("b.example", CNAME),
        ("c.example", A),
    ]
    assert len(store.find(HERE, name_wire("a.example"), CNAME).answer) == 1
    no_data = store.find(HERE, name_wire("a.example"), AAAA)
    assert (no_data.rcode, len(no_data.answer), len(no_data.authority)) == (0, 2, 1)


def test_chains_that_end_nowhere_or_never() -> None:
    found = chain("a.example", "gone.test").find(HERE, name_wire("a.example"), A)
    assert (found.rcode, len(found.answer)) == (3, 1)
    loop = chain("a.example", "b.example", "a.example").find(HERE, name_wire("a.example"), A)
    assert (loop.rcode, len(loop.answer)) == (0, 2)
    assert chain("self.example", "self.example").find(HERE, name_wire("self.example"), A).answer
    long = chain(*(f"n{n}.example" for n in range(40)))
    assert len(long.find(HERE, name_wire("n0.example"), A).answer) == 16


def test_the_nearest_soa_tells_how_long_nothing_lives() -> None:
    store = Store()
    store.apply([Edit("put", "example", "SOA", ("ns.example. h.example. 1 2 3 4 9",), 100)])
    found = store.find(HERE, name_wire("no.example"), A)
    assert (name_text(found.authority[0].name), found.authority[0].ttl) == ("example", 9)
    assert name_text(store.find(HERE, name_wire("no.test"), A).authority[0].name) == "."


# --- Changes ----------------------------------------------------------------------------------


def state(store: Store) -> list[tuple[str, bytes, dict[int, tuple[int, tuple[bytes, ...]]]]]:
    return [
        (server, name, {kind: (r.ttl, tuple(r.rdata)) for kind, r in node.items()})
        for server, name, node in store.sets()
    ]


@given(NAMES, ADDRESSES, ADDRESSES, st.none() | st.integers(0, 9999))
def test_set_add_remove(name: str, first: list[str], more: list[str], ttl: int | None) -> None:
    store = Store()
    store.apply([Edit("set", name, values=tuple(first), ttl=ttl)])
    before = state(store)
    store.apply([Edit("add", name, values=tuple(more))])
    new = tuple(one for one in more if one not in first)
    found = [one for kind in (A, AAAA) for one in store.find(HERE, name_wire(name), kind).answer]
    assert len(found) == len(first) + len(new)
    assert {r.ttl for r in found} <= {DEFAULT_TTL if ttl is None or not first else ttl}
    store.apply([Edit("remove", name, values=new)])
    assert state(store) == before


@given(st.lists(st.integers(1, 250), min_size=1, max_size=9, unique=True), st.integers(-9, 30))
def test_rotate(numbers: list[int], steps: int) -> None:
    store = Store()
    store.apply([Edit("set", "a.example", values=tuple(f"10.0.0.{n}" for n in numbers))])
    store.apply([Edit("rotate", "a.example", steps=steps)])
    got = [r.rdata[3] for r in store.find(HERE, name_wire("a.example"), A).answer]
    by = steps % len(numbers)
    assert got == numbers[by:] + numbers[:by]


BAD = [
    Edit("set", "a..b", values=("10.0.0.1",)),
    Edit("set", "a.example", values=("10.0.0.256",)),
    Edit("set", "a.example", ttl=-1),
    Edit("remove", "a.example", values=("10.9.9.9",)),
    Edit("rotate", "not.there"),
    Edit("put", "a.example", "MX", ("mail",)),
    Edit("put", "a.example", "NOTYPE", ("x",)),
    Edit("put", "a.example", "A", ("10.0.0.1\nb.example. 5 IN A 10.0.0.2",)),
    Edit("put", "a.example", "TXT", ('"x"\nb.example. 5 IN A 10.0.0.2',)),
    Edit("delete", "a.example", "MX"),
    Edit("sing", "a.example"),
    Edit("set", ""),
    Edit("set", "a.example", server="nobody"),
]


@pytest.mark.parametrize("bad", BAD)
def test_all_changes_or_none(bad: Edit) -> None:
    store = Store()
    store.apply([Edit("set", "a.example", values=("10.0.0.1", "2001:db8::1"), ttl=7)])
    before, revision = state(store), store.revision
    good = [
        Edit("add", "a.example", values=("10.0.0.2",)),
        Edit("set", "new.example", values=("10.0.0.3",)),
        Edit("set", "own.example", values=("10.0.0.3",), server="192.0.2.1"),
        Edit("cname", "x"),
    ]
    with pytest.raises(UsageError):
        store.apply([*good[:3], bad])
    assert (state(store), store.revision) == (before, revision)
    assert not store.servers
    with pytest.raises(UsageError, match="no change"):
        store.apply([Edit("clear"), good[3]])
    assert state(store) == before


def test_an_alias_stands_alone() -> None:
    store = Store()
    store.apply([Edit("put", "a.example", "MX", ("5 m.example.",))])
    store.apply([Edit("put", "a.example", "CNAME", ("b.example",))])
    assert list(store.everywhere.node(name_wire("a.example")) or {}) == [CNAME]
    store.apply([Edit("set", "a.example", values=("10.0.0.1",))])
    assert list(store.everywhere.node(name_wire("a.example")) or {}) == [A]


def test_a_server_s_own_names_come_first() -> None:
    store = Store()
    there = bytes([192, 0, 2, 1])
    store.apply(
        [
            Edit("set", "a.example", values=("10.0.0.1",)),
            Edit("set", "b.example", values=("10.0.0.2",)),
            Edit("set", "a.example", values=("10.0.0.3",), server="192.0.2.1"),
        ]
    )

    def asked(server: bytes, name: str) -> list[int]:
        return [r.rdata[3] for r in store.find(server, name_wire(name), A).answer]

    assert (asked(HERE, "a.example"), asked(there, "a.example")) == ([1], [3])
    assert asked(there, "b.example") == [2]
