"""What documents are taken, and where each fault of the others is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.errors import PolicyError
from fqdnlab.model.policy_parser import check_documents, parse_policies
from tests.unit.policy.kit import HEAD, NEXT, check, document, faults


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ("egress: []", "spec", "a rule in at least one of"),
        ("ingress: []\negress: []", "spec", "a rule in at least one of"),
        ("description: x", "spec", "at least one of egress"),
        ("egress: [{}]\nnodeSelector: {}", "spec", "exactly one of endpointSelector"),
        ("egress: [{}]\nfoo: 1", "spec.foo", "unknown field"),
        (
            "egress: [{}]\nenableDefaultDeny: {egress: 'no'}",
            "spec.enableDefaultDeny.egress",
            "true",
        ),
        ('egress: [{}]\nlog: {value: "a\\tb"}', "spec.log.value", "printable"),
        (
            "egressDeny: [{toFQDNs: [{matchName: a}], toCIDR: ['::/0']}]",
            "spec.egressDeny[0].toFQDNs",
            "Cilium denies nothing by name",
        ),
        (
            "egressDeny: [{toPorts: [{ports: [{port: '53'}], rules: {dns: []}}]}]",
            "spec.egressDeny[0].toPorts[0].rules",
            "ports alone",
        ),
        (
            "ingress: [{toPorts: [{ports: [{port: '53'}], rules: {dns: [{matchName: a}]}}]}]",
            "spec.ingress[0].toPorts[0].rules.dns",
            "for egress",
        ),
        ("ingress: [{fromFQDNs: []}]", "spec.ingress[0].fromFQDNs", "unknown field"),
        ("ingress: [{fromCIDR: [x/8]}]", "spec.ingress[0].fromCIDR[0]", "a network"),
    ],
)
def test_refused_specs(spec: str, path: str, words: str) -> None:
    found = faults(document(spec))
    assert path in found
    assert any(words in what for _, _, what in check(document(spec)).faults)
    assert set(found) <= {path, "spec", "spec.nodeSelector"}


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("kind: Pod", "kind", "one of CiliumNetworkPolicy"),
        ("a: 1", "kind", "one of CiliumNetworkPolicy"),
        ("kind: CiliumNetworkPolicy", "apiVersion", "cilium.io/v2 is expected"),
        (HEAD.replace("v2", "v1"), "apiVersion", "cilium.io/v2 is expected"),
        (HEAD.replace("cilium.io/v2", "networking.k8s.io/v1"), "apiVersion", "cilium.io/v2"),
        ("[1]", "", "a mapping is expected, not list"),
        ("words", "", "a mapping is expected, not text"),
        (document("egress: [{}]").replace("{name: web}", "{}"), "metadata.name", "required"),
        (document("egress: [{}]").replace("{name: web}", "{name: ''}"), "metadata.name", "a name"),
        (document("egress: [{}]").replace("name: web", "name: 1"), "metadata.name", "quotes"),
        (document("egress: [{}]") + "description: x", "description", "belongs into spec"),
        (
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}",
            "",
            "spec, sp",
        ),
    ],
)
def test_refused_documents(text: str, path: str, words: str) -> None:
    found = faults(text)
    assert words in found[path][1]


def test_node_policies_are_for_the_clusterwide_kind() -> None:
    text = document("egress: [{}]").replace("endpointSelector", "nodeSelector")
    assert "clusterwide" in faults(text)["spec.nodeSelector"][1]
    assert check(text.replace("CiliumNetwork", "CiliumClusterwideNetwork")).accepted


def test_every_fault_has_its_line() -> None:
    text = document(
        """\
        egress:
        - toFQDNs:
          - matchName: a b
        - toCIDR:
          - nowhere
          toPorts:
          - ports:
            - port: 80
              foo: 1
        """
    )
    assert [(path, line) for path, line, _ in check(text).faults] == [
        ("spec.egress[0].toFQDNs[0].matchName", NEXT + 2),
        ("spec.egress[1].toCIDR[0]", NEXT + 4),
        ("spec.egress[1].toPorts[0].ports[0].port", NEXT + 7),
        ("spec.egress[1].toPorts[0].ports[0].foo", NEXT + 8),
    ]


def test_all_or_nothing_with_all_places() -> None:
    good = document("egress: [{}]")
    bad = document("egress: [{toCIDR: [x/1]}, {x: 1}]")
    with pytest.raises(PolicyError) as caught:
        parse_policies(f"{good}---\n{bad}---\nkind: Pod\n", "some.yaml")
    first = good.count("\n") + 1
    assert [place[:2] for place in caught.value.places] == [
        ("spec.egress[0].toCIDR[0]", first + NEXT),
        ("spec.egress[1].x", first + NEXT),
        ("kind", first + bad.count("\n") + 2),
    ]
    assert f"some.yaml:{first + NEXT}: spec.egress[1].x: unknown field" in str(caught.value)
    with pytest.raises(PolicyError, match="no policy in it"):
        parse_policies("# nothing\n")


def test_documents_are_judged_one_by_one() -> None:
    text = f"{document('egress: [{}]')}---\nkind: Pod\n---\na: [\n---\n{document('egress: []')}"
    found = check_documents(text, "f.yaml")
    assert [(d.document, d.accepted) for d in found] == [
        (0, True),
        (1, False),
        (2, False),
        (3, False),
    ]
    assert {d.file for d in found} == {"f.yaml"}


def test_what_a_policy_knows_of_itself() -> None:
    text = "# first\n" + document("egress: [{}]")
    (found,) = parse_policies(text, "f.yaml", default_namespace="shop")
    assert found.key == ("CiliumNetworkPolicy", "shop", "web")
    assert (found.file, found.document, found.line) == ("f.yaml", 0, 2)
    (again,) = parse_policies(found.yaml, "g.yaml", default_namespace="shop")
    assert (again.key, again.specs[0].subject) == (found.key, found.specs[0].subject)
    (other,) = parse_policies(text.replace("name: web", "name: web, namespace: x"))
    assert other.namespace == "x"
    (wide,) = parse_policies(text.replace("CiliumNetwork", "CiliumClusterwideNetwork"))
    assert wide.namespace == ""


WORDS = st.sampled_from(
    ["egress", "toFQDNs", "toPorts", "ports", "port", "rules", "dns", "matchName", "toCIDR", "x"]
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=15,
)


@given(TREES)
def test_no_tree_is_too_strange(tree: object) -> None:
    """Whatever stands in a spec: faults with places, or a policy; never another error."""
    for key in ("egress", "egressDeny", "ingress"):
        text = HEAD + f"  {key}: {json.dumps(tree, ensure_ascii=False)}\n"
        for found in check_documents(text):
            assert found.accepted == (not found.faults)
            assert all(line >= 1 for _, line, _ in found.faults)
