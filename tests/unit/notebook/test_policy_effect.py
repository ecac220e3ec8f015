"""What a policy matches and changes."""

from __future__ import annotations

from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.notebook.policy_effect import changes, matches
from fqdnlab.notebook.policy_form import Form, written

ENDPOINTS = {"web": {"k8s:app": "web", "k8s:io.kubernetes.pod.namespace": "default"}}
KNOWN = {"api.example.com": ["198.51.100.1"], "other.test": ["198.51.100.2"]}
API = parse_policies(written(Form("p", labels=(("app", "web"),), names=("*.example.com",))))
OTHER = parse_policies(written(Form("p", labels=(("app", "db"),), names=("other.test",))))


def test_what_it_matches() -> None:
    assert matches(API, ENDPOINTS, KNOWN)[0] == "endpoints: web"
    assert "api.example.com (1 addresses)" in matches(API, ENDPOINTS, KNOWN)[1]
    assert matches(OTHER, ENDPOINTS, KNOWN)[0] == "endpoints: none"


def test_what_would_change() -> None:
    assert changes((), API, ENDPOINTS, KNOWN) == [
        "selected by it: web",
        "allowed by it: api.example.com 198.51.100.1",
    ]
    assert changes(API, OTHER, ENDPOINTS, KNOWN) == [
        "selected no more: web",
        "allowed by it: other.test 198.51.100.2",
        "allowed by it no more: api.example.com 198.51.100.1",
    ]
    assert changes(API, API, ENDPOINTS, KNOWN) == []
