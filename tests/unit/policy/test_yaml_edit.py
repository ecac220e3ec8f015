"""YAML changed piece by piece: values are right, and what was not changed stands as it stood."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fqdnlab.model.yaml_edit import rewritten
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.model.yaml_text import flow_text, plain

TEXT = """\
# whom it is for
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: web-egress  # its name
  annotations: {owner: "me", note: 'as is'}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  # look-ups
  - toEndpoints:
    - matchLabels: {k8s-app: kube-dns}
    toPorts:
    - ports:
      - port: "53"   # DNS
        protocol: ANY
      rules: {dns: [{matchPattern: "*.example.com"}]}
  # the rest
  - toFQDNs:
    - matchName: api.example.com   # the API
    - matchPattern: '*.cdn.example.com'
"""


def value_of(text: str, index: int = 0) -> Any:
    document = read_documents(text)[index]
    assert document.root is not None
    assert not document.faults
    return plain(document.root)


def changed(text: str, change: Any) -> tuple[str, Any]:
    value = value_of(text)
    change(value)
    made = rewritten(text, 0, value)
    assert value_of(made) == value
    return made, value


def test_a_scalar_is_changed_in_its_place() -> None:
    made, _ = changed(TEXT, lambda v: v["metadata"].update(name="other"))
    assert made == TEXT.replace("name: web-egress", "name: other")


def test_a_scalar_in_brackets_too() -> None:
    made, _ = changed(
        TEXT, lambda v: v["spec"]["endpointSelector"]["matchLabels"].update(app="api")
    )
    assert made == TEXT.replace("{app: web}", "{app: api}")


def test_an_item_is_added_to_a_block() -> None:
    made, _ = changed(
        TEXT, lambda v: v["spec"]["egress"][1]["toFQDNs"].append({"matchName": "x.example.com"})
    )
    assert made == TEXT + "    - matchName: x.example.com\n"


def test_an_item_is_added_between_others_and_to_brackets() -> None:
    def change(value: Any) -> None:
        value["spec"]["egress"][1]["toFQDNs"].insert(1, {"matchName": "x.example.com"})
        value["spec"]["egress"][0]["toPorts"][0]["rules"]["dns"].append({"matchName": "y"})

    made, _ = changed(TEXT, change)
    assert "# the API\n    - matchName: x.example.com\n    - matchPattern" in made
    assert 'dns: [{matchPattern: "*.example.com"}, {matchName: "y"}]' in made


def test_an_item_goes_and_the_comment_of_the_next_one_stays() -> None:
    made, _ = changed(TEXT, lambda v: v["spec"]["egress"].pop(0))
    assert "# the rest\n  - toFQDNs" in made
    assert "kube-dns" not in made


def test_a_key_comes_and_a_key_goes() -> None:
    made, _ = changed(TEXT, lambda v: v["spec"].update(description="what it is for"))
    assert made == TEXT + '  description: "what it is for"\n'
    again, _ = changed(made, lambda v: v["spec"].pop("description"))
    assert again == TEXT


def test_another_document_is_left_alone() -> None:
    two = TEXT + "---\n# second\nkind: Other   # odd\nlist: [1,2]\n"
    value = value_of(two, 1)
    value["list"].append(3)
    made = rewritten(two, 1, value)
    assert made == two.replace("[1,2]", "[1,2, 3]")


def test_what_an_alias_stands_for_is_changed_there_alone() -> None:
    text = "a: &x {k: 1}\nb: *x\nc: <<\nd: {<<: *x, m: 2}\n"
    made, _ = changed(text, lambda v: v["b"].update(k=2))
    assert made.startswith("a: &x {k: 1}\nb: {k: 2}\n")
    made, _ = changed(text, lambda v: v["d"].update(k=3))
    assert made.endswith("d: {<<: *x, m: 2, k: 3}\n")


def test_what_an_anchor_stands_for_is_not_changed_elsewhere() -> None:
    text = "a: &x {k: 1}\nb: *x\n"
    made, value = changed(text, lambda v: v["a"].update(k=2))
    assert value == {"a": {"k": 2}, "b": {"k": 1}}
    assert value_of(made) == value


@pytest.mark.parametrize("text", ["a: [", "", "# nothing\n", "a: *none\n", "'\n"])
def test_what_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"YAML|document|expected|found|while|anchor"):
        rewritten(text, 0, {"a": 1})


# ---------------------------------------------------------------- whatever the text

_WORDS = st.one_of(
    st.sampled_from(["web", "53", "*.example.com", "443", "on", "null", "", "a b", "é: ü", "x#y"]),
    st.text(alphabet="ab: #'\"\\-é☃\n", max_size=6),
)
_SCALARS = st.one_of(_WORDS, st.booleans(), st.integers(-5, 70_000), st.none())
_KEYS = st.sampled_from(["name", "port", "toFQDNs", "x-y", "53", "é", "a b"])
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=14,
)
_MAPS = st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=4)


def written(value: Any, draw: Any, indent: str = "") -> list[str]:
    """Lines of a block as a person might write them: brackets here and there, comments."""
    lines = []
    for key, inner in value.items() if isinstance(value, dict) else [(None, v) for v in value]:
        if draw(st.booleans()):
            lines.append(f"{indent}# about {len(lines)}")
        head = "-" if key is None else f"{flow_text(key)}:"
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            deeper = written(inner, draw, indent + "  ")
            if key is None and isinstance(inner, dict) and not deeper[0].strip().startswith("#"):
                lines += [f"{indent}- {deeper[0].strip()}", *deeper[1:]]
            else:
                lines += [f"{indent}{head}", *deeper]
        else:
            lines.append(f"{indent}{head} {flow_text(inner)}{draw(st.sampled_from(['', '  # é']))}")
    return lines


def mutated(value: Any, draw: Any) -> Any:
    """The same with something changed, somewhere."""
    value = copy.deepcopy(value)
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return draw(_VALUES)
    how = draw(st.sampled_from(["in", "in", "in", "out", "more"]))
    if isinstance(value, dict):
        key = draw(st.sampled_from(sorted(value)))
        if how == "in":
            value[key] = mutated(value[key], draw)
        elif how == "out":
            del value[key]
        else:
            value[draw(_KEYS)] = draw(_VALUES)
        return value
    at = draw(st.integers(0, len(value) - 1))
    if how == "in":
        value[at] = mutated(value[at], draw)
    elif how == "out":
        del value[at]
    else:
        value.insert(at + draw(st.integers(0, 1)), draw(_VALUES))
    return value


@settings(max_examples=250, deadline=None)
@given(_MAPS, st.data())
def test_values_are_right_whatever_the_text(value: dict[str, Any], data: Any) -> None:
    text = "\n".join(written(value, data.draw)) + data.draw(
        st.sampled_from(["", "\n", "\n\n# end\n"])
    )
    assert value_of(text) == value
    new = value
    for _ in range(data.draw(st.integers(1, 3))):
        new = mutated(new, data.draw)
    if not isinstance(new, dict) or not new:
        new = {"name": new}
    assert value_of(rewritten(text, 0, new)) == new
    assert rewritten(text, 0, value) == text, "what is the same stays, to the letter"


@settings(max_examples=200, deadline=None)
@given(_MAPS, _WORDS, st.data())
def test_no_comment_is_lost_by_another_scalar(value: dict[str, Any], word: str, data: Any) -> None:
    text = "\n".join(written(value, data.draw)) + "\n"
    new = copy.deepcopy(value)
    at: Any = new
    while True:
        keys = sorted(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key]:
            break
        at = at[key]
    at[key] = word
    made = rewritten(text, 0, new)
    assert value_of(made) == new
    assert [line for line in made.splitlines() if line.lstrip().startswith("# about")] == [
        line for line in text.splitlines() if line.lstrip().startswith("# about")
    ]
