"""A policy text by itself and beside what is applied: faults, remarks, templates, difference."""

from __future__ import annotations

import pytest

from fqdnlab.lab.applied import Applied
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.notebook.policy_applied import applied_says, difference, keys_of, reverted, standing
from fqdnlab.notebook.policy_check import check
from fqdnlab.notebook.policy_templates import TEMPLATES, template
from fqdnlab.pb import control_pb2 as pb

WEB = template("names", {"app": "web"})
PROD = WEB.replace("name: allow-names", "name: allow-names\n  namespace: prod").replace("443", "80")
WIDE = WEB.replace("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy").replace("443", "1")
APPLIED = {p.key: p.yaml for text in (WEB, PROD, WIDE) for p in parse_policies(text)}
KEY = ("CiliumNetworkPolicy", "default", "allow-names")


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_policies_of_their_own_names(name: str) -> None:
    (policy,) = parse_policies(template(name, {"app": "web", "tier": "ab"}))
    assert policy.selects({"k8s:app": "web", "k8s:tier": "ab"} | SPACE)
    (other,) = parse_policies(template(name, {"app": "web"}, [policy.name, f"{policy.name}-2"]))
    assert other.name == f"{policy.name}-3"


SPACE = {"k8s:io.kubernetes.pod.namespace": "default"}


def test_templates_say_what_they_are_for() -> None:
    found = {name: check(template(name, {"app": "web"}), 0, "cilium") for name in TEMPLATES}
    words = {n: {s["profile"]: s["enforced"] for s in c["status"]} for n, c in found.items()}
    assert words["unsupported"] == {"cilium": False, "acns": False}
    assert words["dns"] == {"cilium": True, "acns": False}
    assert words["names"] == {"cilium": True, "acns": True}
    assert found["names"]["remarks"] == []
    (mind,) = found["fails"]["remarks"]
    assert (mind["kind"], mind["line"]) == ("mind", 14)
    assert "no rules.dns in this policy" in mind["text"]


def test_a_remark_has_its_line_its_reason_and_the_profiles() -> None:
    text = template("unsupported", {"app": "web"})
    (void,) = check(text, 0, "cilium")["remarks"]
    assert void["kind"] == "void"
    assert void["profiles"] == ["cilium", "acns"]
    assert text.splitlines()[void["line"] - 1].strip() == "- method: GET"
    assert void["path"] == "spec.egress[1].toPorts[0].rules.http"
    stars = template("dns", {"app": "web"})
    (void,) = check(stars, 0, "cilium")["remarks"]
    assert void["profiles"] == ["acns"]
    assert text.splitlines()[void["line"] - 1].strip().startswith("- matchPattern")


def test_faults_have_places_in_all_documents() -> None:
    text = WEB + "---\n" + PROD.replace("matchName", "matchNam")
    found = check(text, 1, "cilium")
    assert not found["valid"]
    assert found["documents"] == ["allow-names", "document 2"]
    lines = text.splitlines()
    assert {lines[f["line"] - 1].strip() for f in found["faults"]} == {
        "- matchNam: api.example.com"
    }
    broken = check("a: [", 0, "cilium")
    assert (broken["valid"], len(broken["faults"])) == (False, 1)
    assert check("", 0, "cilium")["valid"] is False


def test_the_same_name_in_another_namespace_or_kind_is_another_policy() -> None:
    assert len(APPLIED) == 3
    assert difference(WEB, APPLIED) == ""
    assert difference(PROD, APPLIED) == ""
    assert reverted(PROD.replace('"80"', '"81"'), APPLIED) == PROD
    assert reverted(WIDE.replace('"1"', '"2"'), APPLIED) == WIDE
    edited = difference(PROD.replace('"80"', '"81"'), APPLIED).splitlines()
    assert edited[0] == "--- prod/allow-names, applied"
    assert [line for line in edited[2:] if line[0] in "+-"] == [
        '-    - ports: [{port: "80", protocol: TCP}]',
        '+    - ports: [{port: "81", protocol: TCP}]',
    ]


def test_what_was_renamed_or_is_broken_is_found_by_what_it_began_as() -> None:
    renamed = WEB.replace("allow-names", "other")
    assert reverted(renamed, APPLIED) == ""
    assert reverted(renamed, APPLIED, KEY) == WEB
    assert "+  name: other" in difference(renamed, APPLIED, KEY)
    assert reverted("", APPLIED, KEY) == WEB
    assert reverted("spec: [", APPLIED, KEY) == WEB


def test_several_documents() -> None:
    both = WEB + "---\n" + PROD
    assert [key for key, _ in keys_of(both)] == [KEY, ("CiliumNetworkPolicy", "prod", KEY[2])]
    assert reverted(both.replace("TCP", "UDP"), APPLIED) == both
    assert standing(both, APPLIED) == "as applied"
    assert (
        standing(both + "---\n" + WEB.replace("allow-", "new-"), APPLIED) == "edited, not applied"
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (WEB, "as applied"),
        (WEB + "\n\n", "as applied"),
        (WEB.replace("443", "444"), "edited, not applied"),
        (WEB.replace("allow-", "other-"), "new, not applied"),
        ("", "empty"),
        ("a: [", "new, not applied"),
    ],
)
def test_how_it_stands(text: str, word: str) -> None:
    assert standing(text, APPLIED) == word


def test_what_is_said_of_applying_has_what_is_likely_not_meant() -> None:
    def said(count: int, note: str = "", late: tuple[str, ...] = ()) -> str:
        lint = [pb.FieldStatus(line=14 + n, reason="no rules.dns") for n in range(count)]
        one = pb.PolicyStatus(name="web", enforced=True, lint=lint)
        return applied_says(Applied((one,), 3, note, late))

    assert said(0) == "Applied, revision 3. web: enforced."
    assert said(1) == "Applied, revision 3. web: enforced; but: line 14: no rules.dns."
    assert said(2, "DNS waits", ("proxy",)) == (
        "Applied, revision 3. web: enforced; but: line 14: no rules.dns (and 1 more remark). "
        "DNS waits Late: proxy."
    )
