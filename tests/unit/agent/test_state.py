"""What the agent decides: verdicts of the wanted kernel content, and the order of writes."""

from __future__ import annotations

import pytest

from fqdnlab.datapath import abi
from fqdnlab.errors import StateError
from tests.unit.agent.kit import SECOND, WEB, Agent, endpoint

API, CDN = "api.example.com.", "img.cdn.example.com."
A, B, C = "198.51.100.7", "198.51.100.8", "198.51.100.9"


def policy(egress: str, name: str = "more", extra: str = "") -> str:
    return (
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
        f"metadata: {{name: {name}, namespace: default}}\n"
        f"spec:\n  endpointSelector: {{matchLabels: {{app: web}}}}\n{extra}{egress}"
    )


def test_without_a_policy_everything_passes_and_nothing_is_redirected() -> None:
    agent = Agent()
    assert agent.verdict(A, 443) == "allow"
    assert agent.verdict("10.96.0.10", 53, 17) == "allow"


def test_selected_it_is_in_default_deny_and_its_dns_redirected() -> None:
    agent = Agent(WEB)
    assert agent.verdict(A, 443) == "none"
    assert agent.verdict("10.96.0.10", 53, 17) == "redirect"
    assert agent.verdict("10.96.0.10", 53, 6) == "redirect"
    assert agent.verdict("10.96.0.10", 80, 6) == "none"
    assert agent.verdict("1.1.1.1", 53, 17) == "none"


@pytest.mark.parametrize("address", [A, "2001:db8::7"])
def test_a_learned_address_opens_on_the_rules_ports_alone(address: str) -> None:
    agent = Agent(WEB)
    agent.learn(API, address)
    assert agent.verdict(address, 443) == "allow"
    assert agent.verdict(address, 22) == "none"
    assert agent.verdict(address, 443, 17) == "none"


def test_a_name_that_no_selector_has_opens_nothing() -> None:
    agent = Agent(WEB)
    assert agent.learn("tracker.ads.net.", A) == []
    assert agent.verdict(A, 443) == "none"


def test_entries_of_a_new_identity_come_before_the_ipcache_points_to_it() -> None:
    agent = Agent(WEB)
    tables = [o.table for o in agent.learn(API, A)]
    assert tables[-1] == "ipcache"
    assert "policy" in tables[:-1]


def test_a_new_address_of_a_known_name_is_one_write() -> None:
    agent = Agent(WEB)
    agent.learn(API, A)
    assert [o.table for o in agent.learn(API, B)] == ["ipcache"]
    assert agent.learn(API, B) == []


def test_every_endpoint_that_selects_the_name_may_go_there() -> None:
    agent = Agent(WEB)
    agent.run(agent.state.put_endpoint(endpoint(2, app="web", tier="b")))
    agent.learn(API, A, ep=1)
    assert agent.verdict(A, 443, ep=2) == "allow"


def test_an_address_that_gains_a_name_keeps_its_flows() -> None:
    agent = Agent(WEB)
    agent.learn(API, A)
    operations = agent.learn(CDN, A)
    assert [o.table for o in operations][-2:] == ["ipcache", "epoch"]
    assert agent.verdict(A, 443) == "allow"


def test_a_pass_after_its_expiry_closes_an_address_nobody_uses() -> None:
    agent = Agent(WEB)
    agent.learn(API, A, ttl=10)
    agent.collect(9 * SECOND)
    assert agent.verdict(A, 443) == "allow"
    agent.collect(10 * SECOND)
    assert agent.verdict(A, 443) == "none"
    assert len(agent.state.mappings) == 0


def test_an_expired_address_in_use_is_open_to_what_was_there_before() -> None:
    agent = Agent(WEB)
    agent.learn(API, A, ttl=10)
    agent.collect(10 * SECOND, A)
    assert agent.verdict(A, 443) == "none"
    assert agent.verdict(A, 443, established=True) == "allow"
    agent.collect(20 * SECOND)
    assert agent.verdict(A, 443, established=True) == "none"


def test_a_look_up_revives_a_zombie() -> None:
    agent = Agent(WEB)
    agent.learn(API, A, ttl=10)
    agent.collect(10 * SECOND, A)
    agent.learn(API, A, ttl=10, now=11 * SECOND)
    assert agent.verdict(A, 443) == "allow"


def test_grace_keeps_an_idle_zombie_for_established_flows() -> None:
    agent = Agent(WEB, idle_grace=30.0)
    agent.learn(API, A, ttl=10)
    agent.collect(10 * SECOND)
    assert agent.verdict(A, 443, established=True) == "allow"
    agent.collect(39 * SECOND)
    assert agent.verdict(A, 443, established=True) == "allow"
    agent.collect(41 * SECOND)
    assert agent.verdict(A, 443, established=True) == "none"


def test_a_shared_address_stays_open_while_one_name_lives() -> None:
    agent = Agent(WEB)
    agent.learn(API, A, ttl=10)
    agent.learn(CDN, A, ttl=100)
    agent.collect(20 * SECOND)
    assert agent.verdict(A, 443) == "allow"


def test_the_cap_per_name_lets_the_earliest_go() -> None:
    agent = Agent(WEB, max_ips_per_name=1)
    agent.learn(API, A, ttl=10)
    agent.learn(API, B, ttl=20)
    agent.collect(1)
    assert agent.verdict(A, 443) == "none"
    assert agent.verdict(B, 443) == "allow"


def test_an_endpoints_names_are_bounded_and_what_it_has_stays() -> None:
    agent = Agent(WEB, max_mappings=2)
    agent.learn(API, A, ttl=10)
    agent.learn("x.cdn.example.com.", B, ttl=10)
    with pytest.raises(StateError, match="may have 2 mappings"):
        agent.learn("y.cdn.example.com.", C, ttl=10)
    agent.learn(API, A, ttl=20)  # what it has, it may renew
    assert [agent.verdict(address, 443) for address in (A, B, C)] == ["allow", "allow", "none"]
    agent.collect(60 * SECOND)
    agent.learn("y.cdn.example.com.", C, ttl=90)
    assert agent.verdict(C, 443) == "allow"


def test_min_ttl_lengthens_a_life_and_time_scale_shortens_it() -> None:
    agent = Agent(WEB, min_ttl=100, time_scale=10.0)
    agent.learn(API, A, ttl=1)
    agent.collect(9 * SECOND)
    assert agent.verdict(A, 443) == "allow"
    agent.collect(10 * SECOND)
    assert agent.verdict(A, 443) == "none"


def test_what_was_kept_while_the_agent_was_dead_lives_its_whole_ttl() -> None:
    agent = Agent(WEB)
    agent.learn(API, A, ttl=10, now=100 * SECOND, kept=True)
    agent.collect(109 * SECOND)
    assert agent.verdict(A, 443) == "allow"


def test_withdrawing_the_policy_opens_all_again() -> None:
    agent = Agent(WEB)
    agent.run(agent.state.delete_policy(("CiliumNetworkPolicy", "default", "web")))
    assert agent.verdict(A, 22) == "allow"
    assert not agent.state.content.policy


def test_a_changed_policy_is_switched_at_once_and_the_old_rows_go_last() -> None:
    agent = Agent(WEB)
    agent.learn(API, A)
    operations = agent.apply(WEB.replace('"443"', '"8443"'))
    puts = [n for n, o in enumerate(operations) if o.table == "policy" and o.value]
    gone = [n for n, o in enumerate(operations) if o.table == "policy" and not o.value]
    switch = next(n for n, o in enumerate(operations) if o.table == "endpoint")
    assert max(puts) < switch < min(gone)
    assert agent.verdict(A, 8443) == "allow"
    assert agent.verdict(A, 443) == "none"


def test_a_deny_by_cidr_bites_a_learned_address() -> None:
    deny = policy("  egressDeny:\n  - toCIDR: [198.51.100.0/24]\n")
    agent = Agent(WEB, deny)
    agent.learn(API, A, "203.0.113.1")
    assert agent.verdict(A, 443) == "deny"
    assert agent.verdict("203.0.113.1", 443) == "allow"


def test_an_excepted_network_is_not_opened() -> None:
    text = policy(
        "  egress:\n  - toCIDRSet: [{cidr: 198.51.100.0/24, except: [198.51.100.0/28]}]\n"
    )
    agent = Agent(text)
    assert agent.verdict("198.51.100.77", 443) == "allow"
    assert agent.verdict(A, 443) == "none"


def test_entities_and_networks_still_hold_for_a_learned_address() -> None:
    agent = Agent(
        WEB,
        policy(
            "  egress:\n  - toEntities: [world]\n"
            "    toPorts: [{ports: [{port: '22', protocol: TCP}]}]\n"
        ),
    )
    agent.learn(API, A)
    assert agent.verdict(A, 22) == "allow"
    assert agent.verdict("10.96.0.10", 22) == "none"


def test_a_port_range_allows_its_ports_alone() -> None:
    text = policy(
        "  egress:\n  - toEntities: [world]\n"
        "    toPorts: [{ports: [{port: '1000', endPort: 2001, protocol: TCP}]}]\n"
    )
    agent = Agent(text)
    verdicts = {p: agent.verdict(A, p) for p in (999, 1000, 1500, 2001, 2002)}
    assert verdicts == {999: "none", 1000: "allow", 1500: "allow", 2001: "allow", 2002: "none"}


def test_a_wide_deny_beats_a_narrow_allow() -> None:
    deny = policy(
        "  egressDeny:\n  - toEntities: [world]\n"
        "    toPorts: [{ports: [{port: '0', protocol: TCP}]}]\n"
    )
    agent = Agent(WEB, deny)
    agent.learn(API, A)
    assert agent.verdict(A, 443) == "deny"
    assert agent.verdict(A, 443, 17) == "none"


def test_without_default_deny_all_passes_but_what_is_denied() -> None:
    text = policy(
        "  egressDeny:\n  - toCIDR: [198.51.100.7/32]\n",
        extra="  enableDefaultDeny: {egress: false}\n",
    )
    agent = Agent(text)
    assert agent.verdict(A, 443) == "deny"
    assert agent.verdict(B, 443) == "allow"
    assert agent.verdict(B, 0, 1) == "allow"


def test_a_name_that_resolves_into_the_cluster_opens_nothing() -> None:
    agent = Agent(WEB)
    agent.run(agent.state.put_endpoint(endpoint(2, app="db")))
    for inside in ("10.10.0.2", "10.96.0.10", "10.10.255.254", "127.0.0.1"):
        agent.learn(API, inside)
        assert agent.verdict(inside, 443) == "none", inside


def test_an_endpoint_that_goes_takes_its_mappings_along() -> None:
    agent = Agent(WEB)
    agent.learn(API, A)
    agent.run(agent.state.remove_endpoint(1))
    agent.run(agent.state.put_endpoint(endpoint(1)))
    assert agent.verdict(A, 443) == "none"


def test_an_identity_without_addresses_loses_its_rows() -> None:
    agent = Agent(WEB)
    before = dict(agent.state.content.policy)
    agent.learn(API, A, ttl=10)
    assert agent.state.content.policy != before
    agent.collect(10 * SECOND)
    assert agent.state.content.policy == before


def test_a_restart_needs_no_write() -> None:
    agent = Agent(WEB)
    agent.learn(API, A)
    assert agent.state.rebuild() == []


def test_the_rule_that_decides_is_named() -> None:
    agent = Agent(WEB)
    agent.learn(API, A)
    rules = {
        abi.POLICY_VALUE.unpack(v)[0]
        for k, v in agent.state.content.policy.items()
        if abi.POLICY_KEY.unpack(k)[4] == (443).to_bytes(2, "big")
    }
    named = {agent.state.rules.key(n) for n in rules}
    assert [(r.policy[2], r.path) for r in named if r] == [("web", "spec.egress[1]")]
