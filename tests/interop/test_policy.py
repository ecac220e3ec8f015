"""Cilium's own validator accepts the documents that we accept, or the difference has its reason."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

from fqdnlab.model.policy_parser import CheckedDocument, check_documents
from tests.interop.policy_documents import Maker
from tests.interop.policy_peer import ask, examples

DOCUMENTS = 3_000
#: One value in so many may be wrong.
ODDS = (25, 60, 150)


#: What a reason must show: a document, and what the peer must say of it.  None: it is no reason.
Proof = tuple[str, bool] | None
Reason = Callable[[dict[str, Any], CheckedDocument], Proof]

#: What the API server of Kubernetes refuses before Cilium's parser, which relies on it, sees a
#: NetworkPolicy.  The peer has no API server.  Rules: k8s.io/api/networking/v1 and its reference.
API_SERVER = re.compile(
    r"""one\ of\ (Ingress,\ Egress|TCP,\ UDP,\ SCTP|In,\ NotIn,.*)\ is\ expected
    | (In|NotIn)\ expects\ values | (Exists|DoesNotExist)\ takes\ no\ values
    | a\ name\ is\ expected,\ not\ an\ empty\ one | this\ field\ is\ required
    | .*\ is\ expected,\ not\ (number|null|mapping|text|list|true\ or\ false).*
    | a\ number\ from\ 1\ to\ 65535\ is\ expected | no\ less\ than\ the\ port\ is\ expected
    | .*in\ a\ label's\ key.* | .*are\ expected\ as\ source.* | .*is\ expected\ before\ the\ '/'
    | .*a\ label's\ name\ is\ 1\ to\ 63.* | a\ label's\ value\ is\ expected.*
    | at\ most\ 63\ characters\ are\ expected.* | a\ network\ .*is\ expected.*
    | a\ part\ of\ .*\ is\ expected.* | a\ port\ that\ is\ a\ number\ is\ expected\ beside\ it
    | at\ least\ one\ of\ podSelector,\ namespaceSelector,\ ipBlock\ is\ expected
    | the\ name\ of\ a\ port\ .*is\ expected.*
    """,
    re.VERBOSE,
)


def refused_by_the_api_server(document: dict[str, Any], ours: CheckedDocument) -> Proof:
    """A NetworkPolicy with faults that the API server finds, and no others."""
    named = all(API_SERVER.match(what) for _, _, what in ours.faults)
    if document["kind"] != "NetworkPolicy" or ours.accepted or not named:
        return None
    return json.dumps(document), True


def unknown_field_without_content(document: dict[str, Any], ours: CheckedDocument) -> Proof:
    """The peer finds an unknown field by what a round trip loses: of an empty one, nothing.

    With content in the field it must refuse too.
    """
    words = ("unknown field", "deny rule")
    unknown = [path for path, _, what in ours.faults if any(word in what for word in words)]
    if not unknown or len(unknown) != len(ours.faults):
        return None
    filled = copy.deepcopy(document)
    for path in unknown:
        put(filled, path, [{"matchName": "a"}] if path.endswith("toFQDNs") else {"x": {"y": "z"}})
    return json.dumps(filled), False


def lost_on_the_round_trip(document: dict[str, Any], ours: CheckedDocument) -> Proof:
    """The peer compares a document with what it has read: a 0 or a default is a difference there.

    The API server does not do so.  Without such values it must accept.
    """
    return (json.dumps(without_defaults(document)), True) if ours.accepted else None


REASONS: tuple[Reason, ...] = (
    refused_by_the_api_server,
    unknown_field_without_content,
    lost_on_the_round_trip,
)


def put(document: Any, path: str, value: Any) -> None:
    """Set what stands at ``spec.egress[0].x``."""
    *steps, last = re.findall(r"[^.\[\]]+", path)
    for step in steps:
        document = document[int(step) if isinstance(document, list) else step]
    document[last] = value


def without_defaults(value: Any) -> Any:
    """`value` without what says nothing, and with the listener's defaults written out."""
    if isinstance(value, list):
        return [without_defaults(item) for item in value]
    if not isinstance(value, dict):
        return value
    nothing = (("endPort", 0), ("description", ""))
    found = {k: without_defaults(v) for k, v in value.items() if (k, v) not in nothing}
    if "envoyConfig" in found:
        found["envoyConfig"].setdefault("kind", "CiliumEnvoyConfig")
        found.setdefault("priority", 1)
    return found


def test_documents_are_judged_as_by_cilium() -> None:
    """Documents by chance: accepted by both or by neither, but for the reasons above."""
    texts = [Maker(seed, ODDS[seed % len(ODDS)]).document() for seed in range(DOCUMENTS)]
    answers = ask({"document": text} for text in texts)
    counts = {"both accept": 0, "both refuse": 0, **{r.__name__: 0 for r in REASONS}}
    unexplained, proofs = [], []
    for text, answer in zip(texts, answers, strict=True):
        (ours,) = check_documents(text)
        if answer["valid"] == ours.accepted:
            counts["both accept" if ours.accepted else "both refuse"] += 1
            continue
        found = ((r.__name__, r(json.loads(text), ours)) for r in REASONS)
        name, proof = next(((name, proof) for name, proof in found if proof), ("", None))
        if proof is None:
            unexplained.append((text, answer, ours.faults))
        else:
            counts[name] += 1
            proofs.append((*proof, text))
    print(f"documents: {counts}")
    assert unexplained == []
    shown = ask({"document": text} for text, _, _ in proofs)
    wrong = [proof for proof, seen in zip(proofs, shown, strict=True) if seen["valid"] != proof[1]]
    assert wrong == []
    assert min(counts["both accept"], counts["both refuse"]) > len(texts) / 5
    assert min(counts.values()) > 0, "a reason that is not needed"


#: YAML as people write it: what a plain word means decides what the schema says.
SPELLINGS = [
    "enableDefaultDeny: {egress: no}",
    "enableDefaultDeny: {egress: 'no'}",
    "enableDefaultDeny: {egress: off}",
    "enableDefaultDeny: {egress: 0}",
    "enableDefaultDeny: {egress: n}",
    "enableDefaultDeny: {egress: ~}",
    "description: 1",
    "description: 1_000",
    "description: 0x1F",
    "description: 0o17",
    "description: 017",
    "description: 1e3",
    "description: 1.",
    "description: .5",
    "description: +1",
    "description: -",
    "description: 1:30",
    "description: 2001-01-01",
    "description: 2001-01-01T00:00:00Z",
    "description: yes",
    "description: Yes",
    "description: yEs",
    "description: null",
    "description: NuLL",
    "description: .inf",
    "description: !!str 1",
    "description: '1'",
    "description: |\n    two\n    lines",
    "description: >-\n    one\n    line",
    "description: &a x\n  labels: [{key: *a, source: *a, value: *a}]",
    "description: a\n  description: b",
    "description: <<",
    "on: 1",
    "enableDefaultDeny: &d {egress: true}\n  labels: [{<<: {key: a, source: b, value: c}}]",
    "<<: {description: x}",
    "enableDefaultDeny: {<<: {egress: true}, ingress: false}",
    "enableDefaultDeny: {<<: [{egress: true}, {ingress: true}]}",
    "enableDefaultDeny: {egress: True}",
    "enableDefaultDeny: {egress: tRUE}",
]


def test_yaml_is_read_as_by_kubernetes() -> None:
    texts = [
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\n"
        f"spec:\n  endpointSelector: {{}}\n  egress: [{{}}]\n  {spelling}\n"
        for spelling in SPELLINGS
    ]
    answers = ask({"document": text} for text in texts)
    ours = [check_documents(text)[0] for text in texts]
    differences = [
        (spelling, answer, document.faults)
        for spelling, answer, document in zip(SPELLINGS, answers, ours, strict=True)
        if answer["valid"] != document.accepted
    ]
    assert differences == []


def test_published_policies_are_judged_as_by_cilium() -> None:
    """Every document of the policies that Cilium publishes with its sources."""
    ours, parts = [], []
    for path in examples():
        text = path.read_text()
        parts += [part for part in re.split(r"(?m)^---.*$", text) if part.strip()]
        ours += check_documents(text, path.name)
        assert len(ours) == len(parts), path
    differences = []
    counts = {"both accept": 0, "both refuse": 0, "lost on the round trip": 0}
    answers = ask({"document": part} for part in parts)
    for document, part, answer in zip(ours, parts, answers, strict=True):
        if document.accepted == answer["valid"]:
            counts["both accept" if document.accepted else "both refuse"] += 1
        elif document.accepted and accepted_without(part, 'description: ""'):
            counts["lost on the round trip"] += 1
        else:
            differences.append((document.file, document.document, answer, document.faults))
    print(f"published policies: {counts}")
    assert differences == []
    assert counts["both accept"] >= 50


def accepted_without(text: str, words: str) -> bool:
    """Whether the peer accepts `text` without the line of `words`."""
    shorter = "".join(line for line in text.splitlines(keepends=True) if line.strip() != words)
    return shorter != text and ask([{"document": shorter}])[0]["valid"]
