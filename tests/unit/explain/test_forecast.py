"""Forecasts and their remedies, from facts alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fqdnlab.errors import UsageError
from fqdnlab.explain import Explanation, Facts, forecast
from fqdnlab.explain.decide import Mind
from fqdnlab.model.policy_parser import parse_policies
from tests.unit.explain.kit import API, POLICY, WEB, facts

ADDRESS = "198.51.100.7"


def told(made: Facts, target: str = ADDRESS, port: int = 443, protocol: str = "TCP") -> Explanation:
    return forecast(made, "web", target, port, protocol)


def test_a_mapping_opens_its_address_on_the_ports_of_the_rule() -> None:
    said = told(facts())
    assert (said.verdict, said.reason, said.remedy) == ("FORWARDED", "", None)
    assert said.rule is not None
    assert said.rule.title == "default/web-egress egress[1] matchPattern *.example.com 443/TCP"
    assert said.rule.place == "policy.yaml:17"
    assert said.step("mapping").state == "ok"
    assert [entry[0] for entry in said.step("maps").data["entries"]] == [
        "endpoints",
        "ipcache_host",
        "policy",
    ]


def test_another_port_is_denied_by_default_and_a_policy_would_help() -> None:
    said = told(facts(), port=22)
    assert (said.verdict, said.reason, said.rule) == ("DROPPED", "POLICY_DENIED", None)
    assert said.remedy is not None
    assert said.remedy.action == "apply"
    (policy,) = parse_policies(said.remedy.policy)
    (rule,) = policy.rules()  # the look-up is allowed already: one rule is enough
    assert [p.text for p in rule.peers or ()] == ["matchName api.example.com"]
    assert not said.remedy.name  # the mapping is there


def test_a_deny_rule_is_named_and_taken_out_alone() -> None:
    deny = POLICY.replace("203.0.113.0/24", "198.51.100.0/24")
    said = told(facts(deny))
    assert (said.verdict, said.reason) == ("DROPPED", "POLICY_DENY")
    assert said.rule is not None
    assert "egressDeny[0]" in said.rule.text
    assert said.remedy is not None
    (policy,) = parse_policies(said.remedy.policy)
    assert policy.name == "web-egress"
    assert [r.path for r in policy.rules()] == ["spec.egress[0]", "spec.egress[1]"]


def test_the_last_deny_rule_of_a_policy_leaves_its_default_deny() -> None:
    only = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: no-world}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egressDeny:
  - toEntities: [world]
"""
    made = facts(only, known=())
    said = told(made)
    assert said.remedy is not None
    policies = parse_policies(said.remedy.policy)
    assert {p.name for p in policies} == {"no-world", "allow-web-api-example-com"}
    assert Mind(made, policies).judge(WEB, "192.0.2.1", 6, 443).reason == 133


def test_a_name_without_rules_for_its_look_up_lacks_them_and_nothing_else() -> None:
    """The users' most common mistake."""
    bare = POLICY.replace(
        '{matchPattern: "*.example.com"}]\n  - toFQDNs', "{matchName: a.b}]\n  - toFQDNs"
    )
    said = told(facts(bare, known=()), "api.example.com")
    assert (said.verdict, said.reason, said.reason_text) == ("DROPPED", "", "Name denied by policy")
    assert said.step("query-rule").state == "denied"
    assert said.remedy is not None
    (policy,) = parse_policies(said.remedy.policy)
    (rule,) = policy.rules()
    assert rule.ports is not None
    assert [s.text for s in rule.ports[0].dns] == ["matchName api.example.com"]


def test_a_name_that_is_allowed_needs_no_mapping_yet() -> None:
    assert told(facts(known=()), "api.example.com").verdict == "FORWARDED"
    said = told(facts(known=()))
    assert (said.verdict, said.reason) == ("DROPPED", "POLICY_DENIED")
    assert said.remedy is not None
    assert (said.remedy.action, said.remedy.name) == ("look-up", "api.example.com.")


def test_a_name_that_has_moved_on_is_no_remedy_for_its_old_address() -> None:
    made = facts(known=(replace(API, state="zombie"),), zones={"api.example.com": ["192.0.2.7"]})
    said = told(replace(made, maps=None))
    assert said.remedy is not None
    assert (said.remedy.action, said.remedy.name) == ("apply", "")
    assert "198.51.100.7/32" in said.remedy.policy


def test_a_zombie_is_closed_to_new_flows() -> None:
    made = facts(known=())
    made = replace(made, mappings=(replace(API, state="zombie"),), maps=None)
    said = told(made)
    assert (said.verdict, said.reason) == ("DROPPED", "FQDNLAB_ZOMBIE_NEW_FLOW")
    assert said.remedy is not None
    assert said.remedy.action == "look-up"


def test_with_the_agent_dead_a_kept_answer_waits_for_it() -> None:
    made = facts(known=(), kept=(replace(API, state="waits"),))
    made = replace(made, processes={**made.processes, "agent": "dead"})
    said = told(made)
    assert said.verdict == "DROPPED"
    assert said.remedy is not None
    assert (said.remedy.action, said.remedy.restart) == ("restart", ("agent",))
    assert any("agent" in what for what in said.unknown)
    assert told(made, "api.example.com").verdict == "DROPPED"


def test_with_the_agent_dead_a_policy_is_applied_once_it_is_back() -> None:
    made = facts()
    made = replace(made, processes={**made.processes, "agent": "stopped"})
    said = told(made, port=22)
    assert said.remedy is not None
    assert (said.remedy.action, said.remedy.restart) == ("apply", ("agent",))


def test_with_the_proxy_dead_nothing_is_redirected_or_resolved() -> None:
    made = facts()
    made = replace(made, processes={**made.processes, "proxy": "dead"})
    for said in (told(made, "10.96.0.10", 53, "UDP"), told(made, "api.example.com")):
        assert (said.verdict, said.reason) == ("DROPPED", "FQDNLAB_NO_PROXY")
        assert said.remedy is not None
        assert said.remedy.restart == ("proxy",)
    assert told(made).verdict == "FORWARDED"


def test_a_server_that_no_rule_names_is_a_time_out() -> None:
    said = told(facts(), "192.0.2.53", 53, "UDP")
    assert (said.verdict, said.reason) == ("DROPPED", "POLICY_DENIED")


def test_the_node_is_closed_and_nothing_opens_it() -> None:
    said = told(facts(), "10.10.255.254")
    assert (said.verdict, said.reason) == ("DROPPED", "FQDNLAB_INTERNAL_ADDRESS")
    assert said.remedy is not None
    assert said.remedy.action == "none"


def test_ping_needs_a_rule_of_its_own() -> None:
    said = told(facts(), ADDRESS, 8, "ICMPv4")
    assert said.remedy is not None
    assert "icmps" in said.remedy.policy


def test_an_unselected_endpoint_may_all() -> None:
    made = facts(POLICY.replace("{app: web}", "{app: other}"))
    said = told(made, "192.0.2.9", 1)
    assert said.verdict == "FORWARDED"
    assert "no policy selects" in said.step("verdict").detail


def test_an_unsupported_policy_is_said_to_be_without_effect() -> None:
    http = POLICY.replace(
        'ports: [{port: "443", protocol: TCP}]',
        'ports: [{port: "443", protocol: TCP}]\n      rules: {http: [{method: GET}]}',
    )
    said = told(facts(http))
    assert said.verdict == "FORWARDED"
    assert "accepted and not enforced" in said.step("not-enforced").detail


def test_a_name_of_unknown_address_is_decided_all_the_same() -> None:
    said = told(facts(known=(), zones={"other.test": ["192.0.2.2"]}), "new.example.com")
    assert said.verdict == "FORWARDED"
    assert "address unknown" in said.about
    said = told(facts(known=(), zones={"other.test": ["192.0.2.2"]}), "new.example.com", 22)
    assert said.remedy is not None
    assert said.remedy.action == "apply"


def test_what_nobody_tells_is_unknown() -> None:
    made = replace(facts(), maps=None, queries=None, mappings=None, missing=("the maps: gone",))
    said = told(made)
    states = {s.key: s.state for s in said.steps}
    assert (states["query"], states["mapping"], states["maps"]) == ("unknown",) * 3
    assert "the maps: gone" in said.unknown
    assert "which look-ups were made" in said.unknown


def test_without_policies_no_remedy_is_made_up() -> None:
    said = told(replace(facts(), policies=None), port=22)
    assert said.remedy is not None
    assert (said.remedy.action, said.remedy.policy) == ("none", "")


@pytest.mark.parametrize(
    ("endpoint", "target", "port", "protocol", "what"),
    [
        ("nobody", ADDRESS, 443, "TCP", "there is no endpoint"),
        ("web", ADDRESS, 70000, "TCP", "is no port"),
        ("web", ADDRESS, 443, "GRE", "is no protocol"),
    ],
)
def test_bad_input_is_named(
    endpoint: str, target: str, port: int, protocol: str, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        forecast(facts(), endpoint, target, port, protocol)


def test_it_goes_through_json_and_reads_well() -> None:
    said = told(facts(), port=22)
    again = json.loads(json.dumps(said.to_dict()))
    assert again["remedy"]["policy"] == said.remedy.policy  # type: ignore[union-attr]
    text = str(said)
    assert text.splitlines()[0] == f"web → {ADDRESS} 22/TCP: would be DROPPED (Policy denied)"
    assert "✓ Mapping: api.example.com has 198.51.100.7" in text


def test_its_page_has_no_script_and_escapes() -> None:
    hostile = replace(API, name="<script>x</script>.example.com.")
    page = told(facts(known=(hostile,)))._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "prefers-color" not in page  # the colours of the page around it are inherited
    assert "color:inherit" in page
