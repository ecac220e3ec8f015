"""What a remedy opens, it opens for good: nothing that passed is dropped after the next one."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from fqdnlab.agent.cluster import cluster_labels
from fqdnlab.explain import Explanation, Facts, explain_again, explain_row, forecast
from fqdnlab.explain.decide import Mind
from fqdnlab.explain.facts import Known, Workload
from fqdnlab.model.policy_parser import parse_policies
from tests.explain_kit import PORTS, policies
from tests.remedy_kit import Packet, carried_out, losses
from tests.unit.explain.kit import POLICY, WEB, facts

ADDRESS = "198.51.100.7"
NAMES = [f"{first}.{zone}.test" for zone in "abc" for first in ("one", "two", "x1", "x2")]
RESOLVER = "10.96.0.10"


def workload(number: int, name: str, labels: dict[str, str]) -> Workload:
    addresses = (f"10.10.0.{number}", f"fd10::{number}")
    return Workload(number, name, "default", cluster_labels("default", labels), addresses)


#: Beside web: one that has its labels too, another, and one that nobody gave any.
OTHERS = (
    workload(2, "canary", {"app": "web", "track": "canary"}),
    workload(3, "db", {"app": "db"}),
    workload(4, "bare", {}),
)


def helped(
    made: Facts, target: str, port: int, who: str = "web", protocol: str = "TCP"
) -> tuple[Facts, Explanation]:
    """Carry out the remedy of a drop; the packet passes."""
    said = forecast(made, who, target, port, protocol)
    assert said.verdict == "DROPPED"
    after = carried_out(made, said)
    passed = forecast(after, who, target, port, protocol)
    assert passed.verdict in ("FORWARDED", "REDIRECTED"), f"{said}\n{passed}"
    return after, said


def verdict(made: Facts, target: str, port: int, who: str = "web") -> str:
    return forecast(made, who, target, port).verdict


def test_the_second_port_of_a_name_leaves_the_first_open() -> None:
    made, _ = helped(facts(), ADDRESS, 22)
    made, said = helped(made, ADDRESS, 80)
    assert verdict(made, ADDRESS, 22) == "FORWARDED"
    assert said.remedy is not None
    (policy,) = parse_policies(said.remedy.policy)
    assert len(list(policy.rules())) == 2


def test_names_that_look_alike_in_a_policys_name_are_both_open() -> None:
    zones = {"a-b.com": ["192.0.2.1"], "a.b.com": ["192.0.2.2"]}
    made = facts(known=(), zones=zones)
    for name in zones:
        made, _ = helped(made, name, 443)
    assert [verdict(made, name, 443) for name in zones] == ["FORWARDED"] * 2


def test_questions_that_look_alike_are_both_allowed() -> None:
    row = {
        "kind": "dns",
        "endpoint": "web",
        "verdict": "DROPPED",
        "address": RESOLVER,
        "time": 150.0,
        "protocol": "UDP",
        "ips": [],
        "result": "REFUSED",
    }
    made = facts(known=())
    for name in ("a-b.com.", "a.b.com."):
        said = explain_row(made, {**row, "query": name})
        assert said.remedy is not None
        assert said.remedy.action == "apply"
        made = carried_out(made, said)
    outcomes = [Mind(made).ask(WEB, RESOLVER, n).outcome for n in ("a-b.com.", "a.b.com.")]
    assert outcomes == ["allowed", "allowed"]


MINE = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: allow-web-api-example-com
  labels: {of: mine}
spec:
  description: edited by hand
  endpointSelector: {matchLabels: {app: SELECTED}}
  egress:
  - toCIDR: [192.0.2.0/24]
"""


@pytest.mark.parametrize(
    ("selected", "name"),
    [("web", "allow-web-api-example-com"), ("db", "allow-web-api-example-com-2")],
)
def test_a_policy_of_the_users_under_that_name_keeps_what_it_has(selected: str, name: str) -> None:
    made = facts(f"{POLICY}---\n{MINE.replace('SELECTED', selected)}", endpoints=(WEB, OTHERS[1]))
    made, said = helped(made, ADDRESS, 22)
    assert said.remedy is not None
    (policy,) = parse_policies(said.remedy.policy)
    assert policy.name == name
    assert verdict(made, "192.0.2.9", 443, selected) == "FORWARDED"
    if selected == "web":
        assert "edited by hand" in said.remedy.policy
        assert "of: mine" in said.remedy.policy


def test_one_that_is_not_enforced_is_no_place_for_a_rule() -> None:
    void = (
        MINE.replace("SELECTED", "web")
        + "    toPorts:\n    - ports: [{port: '80', protocol: TCP}]\n"
    )
    void += "      rules: {http: [{method: GET}]}\n"
    _, said = helped(facts(f"{POLICY}---\n{void}"), ADDRESS, 22)
    assert "allow-web-api-example-com-2" in said.remedy.policy  # type: ignore[union-attr]


def test_who_is_selected_too_and_was_not_isolated_stays_so() -> None:
    """An endpoint without labels: the policy for it selects its whole namespace."""
    everything = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: no-label}
spec:
  endpointSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}
  egress: [{}]
"""
    made = facts(everything, known=(), endpoints=(WEB, *OTHERS))
    assert verdict(made, "192.0.2.9", 1) == "FORWARDED"
    made, said = helped(made, "192.0.2.9", 443, "bare")
    assert verdict(made, "192.0.2.9", 1) == "FORWARDED"
    assert "enableDefaultDeny" in said.remedy.policy  # type: ignore[union-attr]


WIDE = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: wide}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toEntities: [cluster]
"""


@pytest.mark.parametrize("profile", ["cilium", "acns"])
def test_names_that_were_asked_for_past_the_proxy_still_are(profile: str) -> None:
    made = facts(WIDE, known=())
    made = replace(made, settings=replace(made.settings, profile=profile))  # type: ignore[arg-type]
    made, said = helped(made, "api.example.com", 443)
    assert "toFQDNs" in said.remedy.policy  # type: ignore[union-attr]
    for proto in (17, 6):
        assert Mind(made).ask(WEB, RESOLVER, "other.test.", proto).outcome == "allowed"


def test_a_policy_for_ingress_too_keeps_its_default_deny() -> None:
    both = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: both}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress: [{fromEntities: [all]}]
  egressDeny: [{toCIDR: [198.51.100.0/24]}]
"""
    made, _ = helped(facts(both), ADDRESS, 443)
    assert verdict(made, "192.0.2.9", 443) == "DROPPED"


def test_a_look_up_that_is_to_follow_needs_the_proxy() -> None:
    made = facts(known=(), zones={"other.test": ["192.0.2.2"]})
    made = replace(made, processes={**made.processes, "proxy": "dead"})
    _, said = helped(made, "192.0.2.2", 443)
    assert said.remedy is not None
    assert (said.remedy.action, said.remedy.restart) == ("apply", ("proxy",))


def test_the_same_question_is_asked_of_other_facts() -> None:
    said = forecast(facts(), "web", ADDRESS, 22, "UDP")
    assert explain_again(facts(), said) == said
    assert explain_again(carried_out(facts(), said), said).verdict == "FORWARDED"
    row = {"kind": "packet", "endpoint": "web", "verdict": "DROPPED", "address": ADDRESS}
    row |= {"time": 150.0, "port": 22, "protocol": "TCP", "reason": "POLICY_DENIED"}
    seen = explain_row(facts(), row)
    again = explain_again(carried_out(facts(), seen), seen)
    assert (seen.remedy.action, again.remedy.action) == ("apply", "none")  # type: ignore[union-attr]
    assert "asked" not in seen.to_dict()


# ---------------------------------------------------------------- generated


def bench(rng: random.Random) -> Facts:
    """Four endpoints, generated policies, names of which some are known."""
    zones = {n: [f"198.51.100.{i * 9 + 1}"] for i, n in enumerate(NAMES)}
    known = [Known("web", f"{n}.", zones[n][0]) for n in rng.sample(NAMES, 6)]
    more = rng.choice(("", f"---\n{WIDE}", f"---\n{WIDE.replace('[cluster]', '[all]')}"))
    text = policies(rng, NAMES, rng.random() < 0.9) + more
    return facts(text, known, zones, endpoints=(WEB, *OTHERS), maps=None)


def packets() -> list[Packet]:
    hosts = [f"198.51.100.{i * 9 + 1}" for i in range(len(NAMES))]
    hosts += ["198.51.100.40", "203.0.113.7", RESOLVER, "10.10.0.3"]
    return [(h, proto, port) for h in hosts for proto in (6, 17) for port in PORTS]


def many_remedies(seed: int) -> Counter[str]:
    """One after the other, each checked against all that passed before it; what they were."""
    rng = random.Random(seed)
    made, every, done = bench(rng), packets(), Counter[str]()
    for _ in range(12):
        target = rng.choice([*NAMES, rng.choice(every)[0]])
        who = rng.choice(made.endpoints).name
        case = (who, target, rng.choice(PORTS), rng.choice(("TCP", "TCP", "UDP")))
        said = forecast(made, *case)
        if said.verdict != "DROPPED":
            continue
        assert said.remedy is not None
        done[said.remedy.action] += 1
        if said.remedy.action == "none":
            continue
        after = carried_out(made, said)
        passed = forecast(after, *case)
        assert passed.verdict != "DROPPED", f"seed {seed}: {said}\n{passed}"
        lost = losses(made, after, every, NAMES)
        assert not lost, f"seed {seed}: {len(lost)} lost, as {lost[:3]}: {said}"
        made = after
    return done


def test_nothing_that_passed_is_dropped_after_a_remedy() -> None:
    done = sum((many_remedies(seed) for seed in range(40)), Counter[str]())
    assert done["apply"] >= 120, done
    assert done["none"] * 20 <= done.total(), done
