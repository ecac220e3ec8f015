"""What would change if a policy were applied: the same as the agent's own maps then say."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from fqdnlab.agent.cluster import cluster_labels
from fqdnlab.explain import Known, Workload
from fqdnlab.explain.case import PROTOCOLS
from fqdnlab.model.mapstate import DENY
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.notebook.policy_flows import places, retold
from fqdnlab.notebook.policy_forecast import Change, Forecast, applied_over, forecast_of
from fqdnlab.notebook.policy_ports import Port, ports_of
from fqdnlab.notebook.policy_shown import effect_of
from fqdnlab.notebook.policy_targets import OTHER
from fqdnlab.notebook.policy_templates import TEMPLATES, template
from fqdnlab.notebook.policy_touched import Touched
from tests.unit.explain.kit import API, POLICY, WEB, facts, with_maps
from tests.unit.notebook.kit import row

DB = Workload(2, "db", "default", cluster_labels("default", {"app": "db"}), ("10.10.0.2", ""))
ZONES = {
    "api.example.com": ["198.51.100.7"],
    "img.cdn.example.com": ["203.0.113.19"],
    "tracker.ads.net": ["192.0.2.66"],
}
IMG = Known("web", "img.cdn.example.com.", "203.0.113.19", 60, 100.0, 160.0)
NOW = facts(zones=ZONES, endpoints=(WEB, DB))
OPEN = POLICY.replace('"*.example.com"', '"**.example.com"').replace("443", "80")
DENY_API = template("deny", {"app": "web"}).replace("192.0.2.0/24", "198.51.100.0/24")


def told(found: Forecast, kind: str) -> list[tuple[str, str, str]]:
    return [
        (c.target, c.what if c.what == "look-up" else " ".join(c.ports), c.after.word)
        for c in found.changes
        if c.kind == kind
    ]


@pytest.mark.parametrize(
    "text",
    [POLICY, OPEN, DENY_API, *(template(n, {"app": "web"}) for n in TEMPLATES)],
)
def test_it_is_what_the_agent_would_write_into_the_kernel(text: str) -> None:
    proposed = parse_policies(text)
    found = forecast_of(NOW, proposed)
    learned = [API]
    questions = [c for c in (*found.changes, *found.stays) if c.what == "look-up"]
    for c in questions:
        if "web" in c.endpoints and c.after.word == "answered, learned":
            learned += [Known("web", f"{n}.", a) for n in c.targets for a in ZONES.get(n, ())]
    then = with_maps(replace(NOW, policies=applied_over(NOW, proposed)), learned)
    assert then.maps is not None
    judged = 0
    for c in (*found.changes, *found.stays):
        if c.what != "packet" or "web" not in c.endpoints or c.ports == ("all ports",):
            continue
        for address, port in product(c.addresses, c.ports):
            number, protocol = port.split("/")
            if number != "other":
                kernel = then.maps.judge(1, address, PROTOCOLS[protocol], int(number))
                assert kernel is not None
                assert (kernel.verdict != DENY) == c.after.passes, (c, address, port)
                judged += 1
    assert judged or text == template("deny", {"app": "web"})


def test_closings_come_first_and_say_who_decides() -> None:
    found = forecast_of(NOW, parse_policies(OPEN))
    assert [c.kind for c in found.changes] == ["closes", "opens", "opens"]
    closed = found.changes[0]
    assert (closed.endpoints, closed.target, closed.ports) == (
        ("web",),
        "api.example.com",
        ("443/TCP",),
    )
    assert closed.before.rule is not None
    assert closed.before.rule.path == "spec.egress[1]"
    assert closed.after.rule is None
    assert told(found, "opens") == [
        ("api.example.com", "80/TCP", "allowed"),
        ("img.cdn.example.com", "look-up", "answered, learned"),
    ]


def test_a_denial_of_another_policy_still_decides() -> None:
    """203.0.113.0/24 is denied by the policy that is there: a name there opens nothing."""
    text = template("wildcard", {"app": "web"})
    found = forecast_of(NOW, parse_policies(text))
    assert told(found, "opens") == [("img.cdn.example.com", "look-up", "answered, learned")]
    web = [c for c in found.stays if c.endpoints == ("web",)]
    (stays,) = [c for c in web if "img.cdn.example.com" in c.targets and c.what == "packet"]
    assert stays.after.word == "denied"
    assert stays.after.rule is not None
    assert stays.after.rule.policy[2] == "web-egress"


def test_an_endpoint_that_nothing_selected_comes_under_a_policy() -> None:
    text = template("names", {"app": "db"})
    found = forecast_of(NOW, parse_policies(text))
    assert found.selected == ("db",)
    (closed,) = [c for c in found.changes if c.kind == "closes" and OTHER in c.targets]
    assert closed.ports == ("all ports",)
    assert closed.before.rule is None
    assert "tracker.ads.net" in closed.targets
    assert "api.example.com" not in closed.targets
    wide = parse_policies(POLICY.replace("{app: web}", "{app: nobody}"))
    assert forecast_of(NOW, wide).released == ("web",)


def test_what_nobody_has_learned_opens_after_a_look_up() -> None:
    text = template("names", {"app": "db"})
    now = replace(NOW, mappings=(), policies=())
    found = forecast_of(now, parse_policies(text))
    api = [c for c in (*found.changes, *found.stays) if "api.example.com" in c.targets]
    (open_,) = [c for c in api if "443/TCP" in c.ports and "db" in c.endpoints]
    assert open_.after.passes
    assert open_.asks
    known = forecast_of(replace(now, mappings=(API,)), parse_policies(text))
    again = [c for c in known.stays if "api.example.com" in c.targets and "443/TCP" in c.ports]
    assert [c.asks for c in again if "db" in c.endpoints] == [False]


def test_names_without_rules_dns_open_nothing() -> None:
    now = replace(NOW, mappings=(), policies=())
    found = forecast_of(now, parse_policies(template("fails", {"app": "web"})))
    passing = {
        (target, c.what)
        for c in (*found.changes, *found.stays)
        for target in c.targets
        if c.after.passes and c.endpoints == ("web",)
    }
    assert ("api.example.com", "packet") not in passing
    steers = [c for c in found.stays if c.what == "look-up" and c.endpoints == ("web",)]
    assert {c.after.word for c in steers} == {"answered, not learned"}


def test_what_is_not_enforced_changes_nothing() -> None:
    found = forecast_of(NOW, parse_policies(template("unsupported", {"app": "web"})))
    assert found.changes == ()


def test_ports_of_ranges_and_one_for_all_others() -> None:
    text = POLICY.replace('{port: "443", protocol: TCP}', '{port: "8000", endPort: 60000}')
    ports = ports_of(parse_policies(text), [Port("UDP", 9)], Touched((), ())).found
    assert {Port("TCP", 8000), Port("UDP", 60000), Port("UDP", 9), Port("TCP", 443)} < {*ports}
    others = [p for p in ports if p.other]
    assert [p.text for p in others] == [
        f"other/{p}" for p in ("TCP", "UDP", "SCTP", "ICMP", "ICMP")
    ]
    assert {p.number for p in others if "ICMP" not in p.protocol} == {7999}


FLOWS = [
    *[row(at=150.0) for _ in range(3)],
    row(at=190.0, port=80, verdict="DROPPED", result="DENIED"),
    row(at=199.0, is_reply=True),
    row(at=199.0, endpoint="gone"),
    row(at=199.0, kind="dns", query="img.cdn.example.com", result="REFUSED"),
    row(at=199.0, kind="dns", query="img.cdn.example.com", result="ASKED"),
]


def test_flows_that_were_seen_are_judged_anew() -> None:
    found = retold(NOW, parse_policies(OPEN), FLOWS)
    assert (found.flows, found.seconds) == (6, 50.0)
    assert [(c.target, c.port, c.times, c.after.passes) for c in found.changes] == [
        ("api.example.com", "443/TCP", 3, False),
        ("api.example.com", "80/TCP", 1, True),
        ("img.cdn.example.com", "", 1, True),
    ]
    assert (found.would(False), found.would(True)) == (3, 2)
    assert places(FLOWS)[0] == ("198.51.100.7", Port("TCP", 443))


def test_it_is_said_in_sentences_with_lines_of_the_text() -> None:
    made = effect_of(NOW, parse_policies(OPEN), FLOWS)
    assert made["says"] == [
        "Takes the place of default/web-egress.",
        "Of 6 flows of the last 50 s, 3 would now be dropped and 2 would now pass.",
    ]
    opened = next(c for c in made["changes"] if c["where"] == "80/TCP")
    assert (opened["before"]["by"], opened["before"]["line"]) == ("no rule allows it", 0)
    assert opened["after"] == {"word": "allowed", "by": "web-egress egress[1]", "line": 17}
    same = effect_of(NOW, parse_policies("\n\n" + POLICY), FLOWS)
    assert same["says"] == [
        "default/web-egress is applied already, and says the same.",
        "No verdict would change.",
        "Of 6 flows of the last 50 s, each would be judged as before.",
    ]
    assert same["flows"] == []


def test_what_cannot_be_known_is_said() -> None:
    made = effect_of(
        replace(NOW, policies=None, missing=("the agent's saved state: gone",)), (), ()
    )
    assert made["trouble"] == "Not known: the agent's saved state: gone"
    dead = effect_of(replace(NOW, processes={"agent": "dead"}), parse_policies(POLICY), ())
    assert "The agent does not run" in dead["says"][-1]


def test_each_selector_and_what_it_matches() -> None:
    now = replace(NOW, mappings=(API, IMG))
    made = effect_of(now, parse_policies(OPEN), ())["matches"]
    assert [(m["what"], m["text"], m["words"], m["line"]) for m in made] == [
        ("selects", "app=web", "1 endpoint", 1),
        ("opens", "k8s-app=kube-dns", "1 endpoint", 9),
        ("look-ups", "**.example.com", "2 names", 9),
        ("opens", "**.example.com", "2 names, 2 addresses", 17),
        ("denies", "203.0.113.0/24", "1 address", 21),
    ]
    assert made[3]["items"] == [
        "api.example.com",
        "img.cdn.example.com",
        "198.51.100.7",
        "203.0.113.19",
    ]
    nothing = effect_of(now, parse_policies(template("names", {"app": "none"})), ())["matches"]
    assert nothing[0]["words"] == "nothing now"


def test_endpoints_of_equal_labels_are_told_together() -> None:
    twin = replace(WEB, id=3, name="web2", addresses=("10.10.0.3", ""))
    found = forecast_of(replace(NOW, endpoints=(WEB, twin)), parse_policies(OPEN))
    assert {c.endpoints for c in found.changes} == {("web", "web2")}


def kinds(found: Forecast) -> set[str]:
    return {c.kind for c in found.changes}


def test_a_change_of_the_way_is_told_as_one() -> None:
    """Look-ups that went through the proxy pass it by, and nothing is learned from them."""
    text = POLICY.replace('      rules:\n        dns: [{matchPattern: "*.example.com"}]\n', "")
    found = forecast_of(NOW, parse_policies(text))
    assert "steers" in kinds(found)
    steered = [c for c in found.changes if c.kind == "steers"]
    assert any(isinstance(c, Change) and c.after.word == "answered, not learned" for c in steered)
