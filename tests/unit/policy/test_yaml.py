"""YAML with lines: documents, words, anchors, limits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.model.yaml_nodes import Mapping, Node, Scalar, Sequence
from fqdnlab.model.yaml_scalars import plain_value
from fqdnlab.model.yaml_source import MAX_DEPTH, Document, read_documents


def plain(node: Node | None) -> object:
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(value) for value in node.values]
    assert isinstance(node, Scalar)
    return node.value


def one(text: str) -> Document:
    (found,) = read_documents(text)
    return found


TEXT = st.text(alphabet="ab: -#'\"\n\t\\é,{[~01", max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, JSON, min_size=1))
def test_json_is_yaml(value: dict[str, object]) -> None:
    assert plain(one(json.dumps(value)).root) == value


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for document in read_documents(text):
        assert (document.root is None) <= bool(document.faults)


@given(st.text(alphabet="a: -[]{}&*!|>#'\"\n?,%@", max_size=40))
def test_any_punctuation_is_read_or_refused(text: str) -> None:
    for document in read_documents(text):
        assert (document.root is None) <= bool(document.faults)


def test_documents_and_their_lines() -> None:
    text = "# words\n---\na: 1\n---\n---\n# nothing\n---\n- b\n...\n---\n  c:\n    d: 2\n"
    first, second, third = read_documents(text)
    assert (first.index, first.line, plain(first.root)) == (0, 3, {"a": 1})
    assert (second.index, second.line, plain(second.root)) == (1, 8, ["b"])
    assert (third.index, third.line, plain(third.root)) == (2, 11, {"c": {"d": 2}})
    assert plain(one(third.text).root) == {"c": {"d": 2}}


@pytest.mark.parametrize(
    "head", ["", "\n", "\n\n  \n", "# words\n", "# words\n---\n", "---\n", "\ufeff"]
)
def test_the_first_documents_text_has_the_lines_of_the_whole(head: str) -> None:
    """A panel shows the text, an explanation tells its lines: both must mean the same line."""
    first, second = read_documents(f"{head}a: 1\nb:\n  c: 2\n---\n# more\nd: 3\n")
    again = one(first.text)
    assert first.line == head.count("\n") + 1
    assert (again.line, plain(again.root)) == (first.line, plain(first.root))
    assert again.text == first.text
    assert second.text == "d: 3\n"


def test_a_broken_document_hides_no_other() -> None:
    before, broken, after = read_documents("a: 1\n---\nb: [\n---\nc: 3\n")
    assert plain(before.root) == {"a": 1}
    assert plain(after.root) == {"c": 3}
    assert broken.root is None
    ((path, line, what),) = broken.faults
    assert (path, line) == ("", 4)
    assert what.startswith("not YAML: ")


def test_lines_of_keys_and_values() -> None:
    root = one("a:\n  - x\n  -\n    b: 1\n").root
    assert isinstance(root, Mapping)
    assert root.key_lines == {"a": 1}
    (x, second) = root.entries["a"].items()
    assert (x.line, second.line) == (2, 4)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("nUll", "nUll"),
        ("yes", True),
        ("y", True),
        ("On", True),
        ("off", False),
        ("n", False),
        ("oN", "oN"),
        ("12", 12),
        ("-1", -1),
        ("+1", 1),
        ("1_000", 1000),
        ("010", 8),
        ("08", 8.0),
        ("0x1F", 31),
        ("0b11", 3),
        ("0o17", 15),
        ("0", 0),
        ("0_", 0),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("-", "-"),
        (".", "."),
        ("10.0.0.1", "10.0.0.1"),
        ("9" * 5000, "9" * 5000),
        ("٣", "٣"),
    ],
)
def test_what_a_word_means(text: str, value: object) -> None:
    found = plain_value(text)
    assert (found, type(found)) == (value, type(value))


def test_quotes_and_tags() -> None:
    root = one("{a: '1', b: \"yes\", c: !!str 1, d: !!int '1', e: !!null '', f: ! 1}").root
    assert plain(root) == {"a": "1", "b": "yes", "c": "1", "d": 1, "e": None, "f": 1}
    ((path, line, what),) = one("a:\n  b: !!int x\n").faults
    assert (path, line, what) == ("a.b", 2, "'x' is no int")
    assert one("a: !!python/object:os.system x").faults


def test_keys_are_texts_and_stated_once() -> None:
    found = one("a: 1\nb: {c: 1, c: 2}\na: 3\non: 4\n")
    assert plain(found.root) == {"a": 1, "b": {"c": 1}, "true": 4}
    assert found.faults == (
        ("b.c", 2, "stated twice, first on line 2"),
        ("a", 3, "stated twice, first on line 1"),
    )
    assert one("? [a]\n: 1\n").faults == (("", 1, "a text is expected as key"),)


def test_anchors_and_merging() -> None:
    found = one("a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\nd: {<<: [*x, {r: 4}]}\n")
    assert found.faults == ()
    assert plain(found.root) == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 2},
        "c": {"p": 1, "q": 3},
        "d": {"p": 1, "q": 2, "r": 4},
    }
    assert one("a: {<<: 1}").faults == (
        ("a", 1, "a mapping, or a list of them, is expected after <<"),
    )
    assert one("a: {'<<': 1}").faults == ()


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: &x [*x]", "the anchor 'x' holds itself"),
        ("a: *x", "not YAML: there is no anchor 'x' before"),
        ("[" * 100_000, f"lists and mappings nested deeper than {MAX_DEPTH}"),
        ("{a: " * 100_000, f"lists and mappings nested deeper than {MAX_DEPTH}"),
        ("- " * 100_000, f"lists and mappings nested deeper than {MAX_DEPTH}"),
        (
            "a0: &a0 x\n"
            + "".join(f"a{i}: &a{i} [{'*a' + str(i - 1) + ', '}*a{i - 1}]\n" for i in range(1, 40)),
            "more than 500000 values: aliases of aliases?",
        ),
    ],
)
def test_what_is_refused(text: str, what: str) -> None:
    ((_, _, found),) = one(text).faults
    assert found == what
    assert one(text).root is None


def test_control_characters_are_refused() -> None:
    assert one("a: 1\nb: \x00").faults[0][2].startswith("not YAML: ")


def test_nothing_is_no_document() -> None:
    assert read_documents("") == []
    assert read_documents("# words\n---\n---\n\n") == []
