"""`lab.explain` of a living lab, with each of its processes dead or hung."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pandas as pd
import pytest

from fqdnlab.cli import main
from fqdnlab.demo.policies import WEB_EGRESS
from fqdnlab.errors import UsageError
from fqdnlab.explain import Explanation
from fqdnlab.lab import Lab, machine_service
from fqdnlab.lab.endpoint import Endpoint
from fqdnlab.testing import eventually

OPEN, MOVED = "198.51.100.7", "198.51.100.8"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with machine_service(), Lab(f"explain-{os.getpid()}") as made:
        made.endpoint("web", labels={"app": "web"})
        made.world["api.example.com"] = [OPEN]
        made.apply(WEB_EGRESS)
        yield made


@pytest.fixture
def web(lab: Lab) -> Iterator[Endpoint]:
    yield lab.endpoint("web", labels={"app": "web"})
    lab.world["api.example.com"] = [OPEN]
    for process in (lab.observer, lab.proxy, lab.agent):
        if process.state().state == "stopped":
            process.cont()
        if process.state().state != "running":
            process.start()


def last(lab: Lab, column: str, value: str) -> pd.Series:
    """The newest row with that value; it comes a moment after the packet."""

    def rows() -> list[pd.Series]:
        flows = lab.flows()
        return [row for _, row in flows[flows[column] == value].tail(1).iterrows()]

    return eventually(rows, 10.0, f"a flow of {column} {value}")[0]


def states(said: Explanation) -> dict[str, str]:
    return {step.key: step.state for step in said.steps}


def test_a_flow_that_passed_is_explained_from_the_look_up_on(lab: Lab, web: Endpoint) -> None:
    assert web.connect("api.example.com", 443)
    row = last(lab, "address", OPEN)
    said = lab.explain(row)
    assert (said.verdict, said.source, said.forecast) == ("FORWARDED", "lab", False)
    assert said.rule is not None
    assert said.rule.title == row["rule"]
    assert said.rule.line == 22
    assert states(said) == dict.fromkeys(
        ("query", "query-rule", "mapping", "identity", "maps", "verdict"), "ok"
    )
    assert said.step("query").data["server"] == "10.96.0.10"
    assert lab.explain(str(row["uuid"])) == said
    assert lab.explain(row.to_dict()) == said


def test_a_refused_question_has_a_remedy_of_its_own(lab: Lab, web: Endpoint) -> None:
    lab.world["evil.example.com"] = ["192.0.2.66"]
    assert not web.connect("evil.example.com", 443)
    row = last(lab, "result", "REFUSED")
    said = lab.explain(row)
    assert said.step("query").detail.endswith(f"REFUSED; {row['address']} was not asked")
    assert (said.verdict, said.reason_text) == ("DROPPED", "Name denied by policy")
    assert said.remedy is not None
    lab.apply(said.remedy.policy)
    try:
        assert "unreachable" in web.connect("evil.example.com", 443, timeout=0.3).error
        now = lab.explain(row).remedy
        assert now is not None
        assert "the question would be let through now" in now.text
    finally:
        lab.delete_policy("allow-look-up-web-evil-example-com")


def test_what_has_changed_since_is_said(lab: Lab, web: Endpoint) -> None:
    assert not web.connect("192.0.2.9", 22, timeout=0.2)
    row = last(lab, "address", "192.0.2.9")
    said = lab.explain(row)
    assert said.remedy is not None
    lab.apply(said.remedy.policy)
    try:
        again = lab.explain(row)
        assert "would be FORWARDED now" in again.step("now").detail
        assert again.remedy is not None
        assert again.remedy.action == "none"
    finally:
        lab.delete_policy("allow-web-192-0-2-9")


DENYING = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: denying}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egressDeny:
  - toCIDR: [198.51.100.0/24]
  - toCIDR: [203.0.113.0/24]
"""


def test_a_remedy_of_a_policy_that_was_edited_meanwhile_is_refused(lab: Lab, web: Endpoint) -> None:
    lab.apply(DENYING)
    try:
        said = lab.explain(web, "198.51.100.77", 443)
        edited = DENYING.replace("203.0.113.0/24", "192.0.2.0/24")
        lab.apply(edited)
        with pytest.raises(UsageError, match="it has changed since it was explained"):
            lab.carry_out(said)
        said = lab.explain(web, "192.0.2.77", 443)
        assert said.rule is not None
        assert said.rule.path == "spec.egressDeny[1]", "the newer policy is as it was"
        lab.carry_out(lab.explain(web, "198.51.100.77", 443))
        assert lab.explain(web, "198.51.100.77", 443).verdict == "FORWARDED"
        assert lab.explain(web, "192.0.2.77", 443).verdict == "DROPPED"
    finally:
        lab.delete_policy("denying")
        lab.delete_policy("allow-web-198-51-100-77")


def test_the_remedy_of_a_ping_leaves_the_port_open_that_one_before_opened(
    lab: Lab, web: Endpoint
) -> None:
    assert web.connect("api.example.com", 443)
    assert "timed out" in web.connect(OPEN, 22, timeout=0.3).error
    try:
        lab.carry_out(lab.explain(web, OPEN, 22))
        lab.carry_out(lab.explain(web, OPEN, 8, "ICMPv4"))
        assert "refused" in web.connect(OPEN, 22).error, "it arrives: nobody listens there"
        assert lab.explain(web, OPEN, 8, "ICMPv4").verdict == "FORWARDED"
    finally:
        lab.delete_policy("allow-web-api-example-com")


def test_agent_dead_the_answer_waits_and_a_restart_is_enough(lab: Lab, web: Endpoint) -> None:
    lab.agent.kill()
    lab.world["api.example.com"] = [MOVED]
    assert not web.connect("api.example.com", 443, timeout=0.3)
    said = lab.explain(last(lab, "address", MOVED))
    assert said.verdict == "DROPPED"
    assert states(said)["query"] == "note"  # resolved, and the answer went out early
    assert "agent-dead" in said.step("query").detail
    assert said.step("mapping").detail.startswith(f"api.example.com has {MOVED}: waits")
    assert said.remedy is not None
    assert (said.remedy.action, said.remedy.restart) == ("restart", ("agent",))
    lab.carry_out(said)
    assert web.connect(MOVED, 443)
    with pytest.raises(UsageError, match="nothing to carry out"):
        lab.carry_out(lab.explain(web, MOVED, 443))


def test_agent_hung_it_is_explained_all_the_same(lab: Lab, web: Endpoint) -> None:
    web.connect("api.example.com", 443)
    lab.agent.stop()
    said = lab.explain(web, OPEN, 443)
    assert said.verdict == "FORWARDED"
    assert states(said)["maps"] == "ok"
    assert any("agent" in what for what in said.unknown)


def test_observer_dead_the_maps_and_mappings_still_tell(lab: Lab, web: Endpoint) -> None:
    assert web.connect("api.example.com", 443)
    row = last(lab, "address", OPEN)
    lab.observer.kill()
    for said in (lab.explain(row), lab.explain(web, OPEN, 443)):
        assert said.verdict == "FORWARDED"
        assert states(said)["mapping"] == "ok"
        assert "look-ups since the observer died" in said.unknown
    with Lab.attach(lab.name) as other:  # one that has read nothing before
        said = other.explain("web", OPEN, 443)
    assert states(said)["query"] == "unknown"
    assert "which look-ups were made" in said.unknown


def test_proxy_dead_names_do_not_resolve_and_addresses_go_on(lab: Lab, web: Endpoint) -> None:
    assert web.connect("api.example.com", 443)
    lab.proxy.kill()
    assert lab.explain(web, OPEN, 443).verdict == "FORWARDED"
    said = lab.explain(web, "api.example.com", 443)
    assert (said.verdict, said.reason) == ("DROPPED", "FQDNLAB_NO_PROXY")
    assert said.remedy is not None
    assert said.remedy.restart == ("proxy",)


def test_all_three_dead_the_kernel_is_read_and_right(lab: Lab, web: Endpoint) -> None:
    assert web.connect("api.example.com", 443)
    for process in (lab.agent, lab.proxy, lab.observer):
        process.kill()
    passes, drops = lab.explain(web, OPEN, 443), lab.explain(web, MOVED, 25)
    assert (passes.verdict, drops.verdict) == ("FORWARDED", "DROPPED")
    assert web.connect(OPEN, 443)
    assert not web.connect(MOVED, 25, timeout=0.2)


def test_the_command_line_says_the_same(
    lab: Lab, web: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", lab.name, "web", "192.0.2.9", "22", "-o", "json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert said == json.loads(json.dumps(lab.explain("web", "192.0.2.9", 22).to_dict()))
    assert main(["explain", lab.name, "web", "192.0.2.9", "22"]) == 0
    assert "would be DROPPED (Policy denied)" in capsys.readouterr().out
    assert main(["explain", lab.name, "nobody", "192.0.2.9", "22"]) == 2
    assert "there is no endpoint 'nobody'" in capsys.readouterr().err


def test_what_cannot_be_explained_is_named(lab: Lab, web: Endpoint) -> None:
    with pytest.raises(UsageError, match="there is no flow no-such"):
        lab.explain("no-such")
    with pytest.raises(UsageError, match="no port was given"):
        lab.explain(web, OPEN)
