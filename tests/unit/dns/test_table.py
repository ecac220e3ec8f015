"""Way 2.4: endpoint × server × port × protocol × name."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.dns.proxy.table import Decision, PolicyTable
from fqdnlab.model.names import dns_matcher
from fqdnlab.pb import fqdndata_pb2 as pb
from tests.unit.dns.strategies import wire_name
from tests.unit.policy.model_names import as_dns

UDP, TCP = 17, 6
WEB, DB = "10.10.0.1", "10.10.0.2"
RESOLVER, OTHER = "10.96.0.10", "192.0.2.53"


def snapshot(
    *rules: tuple[int, int, int, int, list[str], list[int]],
    prefixes: dict[str, int] | None = None,
) -> pb.PolicyState:
    """Rules are (endpoint, identity of the server, port, protocol, patterns, numbers)."""
    state = pb.PolicyState()
    for endpoint, identity, port, proto, patterns, numbers in rules:
        rule = state.egress_l7_dns_policy.add(
            source_endpoint_id=endpoint, dns_pattern=patterns, fqdnlab_rule=numbers
        )
        rule.dns_servers.add(
            dns_server_identity=identity, dns_server_port=port, dns_server_proto=proto
        )
    for number, addresses in ((1, (WEB, "fd10::1")), (2, (DB,))):
        one = state.identity_to_endpoint_mapping.add(identity=300 + number)
        one.endpoint_info.add(id=number, ip=[ip_address(a).packed for a in addresses])
    dns = state.identity_to_endpoint_mapping.add(identity=400)
    dns.endpoint_info.add(id=0, ip=[ip_address(a).packed for a in (RESOLVER, "fd96::10")])
    for text, identity in (prefixes or {}).items():
        network = ip_network(text)
        octets = network.network_address.packed + bytes([network.prefixlen])
        state.identity_to_prefix_mapping.add(identity=identity, prefix=[octets])
    return state


def ask(
    table: PolicyTable,
    name: str = "api.example.com",
    client: str = WEB,
    server: str = RESOLVER,
    port: int = 53,
    proto: int = UDP,
) -> Decision:
    addresses = ip_address(client).packed, ip_address(server).packed
    return table.decide(*addresses, port << 8 | proto, wire_name(name))


ONE = snapshot((1, 400, 53, UDP, ["api.example.com", "*.cdn.example.com"], [7, 8]))


def test_all_five_must_agree() -> None:
    table = PolicyTable(ONE)
    assert ask(table) == Decision(True, 7, 1)
    assert ask(table, client="fd10::1", server="fd96::10") == Decision(True, 7, 1)
    assert ask(table, "x.cdn.example.com") == Decision(True, 8, 1)
    assert ask(table, client=DB) == Decision(False, 0, 2)
    assert ask(table, client="10.10.0.9") == Decision(False, 0, 0)
    assert not ask(table, server=OTHER).allowed
    assert not ask(table, port=5353).allowed
    assert not ask(table, proto=TCP).allowed
    assert not ask(table, "other.example.com").allowed
    assert not ask(table, "cdn.example.com").allowed


def test_a_second_time_is_the_same() -> None:
    table = PolicyTable(ONE)
    assert [ask(table), ask(table, "x.y")] == [ask(table), ask(table, "x.y")]


def test_endpoint_0_is_nobody() -> None:
    """A rule for endpoint 0 gives nothing to a source that is nobody's."""
    table = PolicyTable(snapshot((0, 400, 53, UDP, ["*"], [1])))
    assert not ask(table, client="10.10.0.9").allowed


def test_no_pattern_is_every_name() -> None:
    assert ask(PolicyTable(snapshot((1, 400, 53, UDP, [], [])))) == Decision(True, 0, 1)


def test_stars_alone_let_odd_octets_pass_and_other_patterns_do_not() -> None:
    odd = b"\3a b\7example\3com\0"
    for pattern, allowed in (("*", True), ("**.", True), ("*.example.com", False)):
        table = PolicyTable(snapshot((1, 400, 53, UDP, [pattern], [1])))
        found = table.decide(
            ip_address(WEB).packed, ip_address(RESOLVER).packed, 53 << 8 | UDP, odd
        )
        assert found.allowed is allowed, pattern


def test_rules_of_one_server_add_up() -> None:
    table = PolicyTable(
        snapshot((1, 400, 53, UDP, ["a.io"], [1]), (1, 400, 53, UDP, ["b.io"], [2]))
    )
    assert [ask(table, "a.io").rule, ask(table, "b.io").rule] == [1, 2]


def test_the_named_rule_comes_before_the_open_one() -> None:
    table = PolicyTable(snapshot((1, 400, 53, UDP, ["*", "a.io", "*.io"], [1, 2, 3])))
    assert [ask(table, n).rule for n in ("a.io", "b.io", "b.org")] == [2, 3, 1]


def test_the_longest_network_is_the_server_s() -> None:
    networks = {"0.0.0.0/0": 9, "192.0.2.0/24": 10, "192.0.2.53/32": 11, "2001:db8::/32": 12}
    rules = [(1, identity, 53, UDP, [f"n{identity}.io"], [identity]) for identity in range(9, 13)]
    table = PolicyTable(snapshot(*rules, prefixes=networks))
    for server, identity in (
        ("203.0.113.1", 9),
        ("192.0.2.1", 10),
        ("192.0.2.53", 11),
        ("2001:db8::1", 12),
    ):
        allowed = [i for i in range(9, 13) if ask(table, f"n{i}.io", server=server).allowed]
        assert allowed == [identity], server
    assert not ask(table, "n9.io", server="2001:db9::1").allowed  # 0.0.0.0/0 is of IPv4 alone


def test_an_endpoint_s_address_is_of_no_network() -> None:
    table = PolicyTable(snapshot((1, 9, 53, UDP, ["*"], [1]), prefixes={"0.0.0.0/0": 9}))
    assert ask(table, server=OTHER).allowed
    assert not ask(table, server=RESOLVER).allowed


_number = st.integers(0, (1 << 32) - 1)


@given(
    st.dictionaries(
        st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 32)),
        st.integers(1, 50),
        max_size=12,
    ),
    st.integers(0, (1 << 32) - 1),
)
def test_networks_against_a_plain_search(
    networks: dict[tuple[int, int], int], address: int
) -> None:
    known = {}
    for (number, bits), identity in networks.items():
        known[str(ip_network((number >> (32 - bits) << (32 - bits), bits)))] = identity
    rules = [(1, i, 53, UDP, [f"n{i}.io"], [i]) for i in range(1, 51)]
    table = PolicyTable(snapshot(*rules, prefixes=known))
    text = str(ip_address(address))
    inside = [n for n in known if ip_address(address) in ip_network(n)]
    longest = max(inside, key=lambda n: ip_network(n).prefixlen, default=None)
    if text in (RESOLVER, WEB, DB):
        return
    for identity in range(1, 51):
        wanted = longest is not None and known[longest] == identity
        assert ask(table, f"n{identity}.io", server=text).allowed is wanted


_part = st.text("ab*-", min_size=1, max_size=4)
_pattern = st.lists(_part, min_size=1, max_size=4).map(".".join)
_name = st.lists(st.text("abAB-", min_size=1, max_size=4), min_size=1, max_size=4).map(".".join)


@given(st.lists(_pattern, min_size=1, max_size=5), _name)
def test_names_as_the_model_has_them(patterns: list[str], name: str) -> None:
    """Agreement with `model.names`, and with the slow and independent matcher."""
    numbers = list(range(1, len(patterns) + 1))
    table = PolicyTable(snapshot((1, 400, 53, UDP, patterns, numbers)))
    found = ask(table, name)
    matching = [n for p, n in zip(patterns, numbers, strict=True) if as_dns(p, name)]
    assert matching == [n for p, n in zip(patterns, numbers, strict=True) if dns_matcher(p)(name)]
    assert found.allowed is bool(matching)
    assert (found.rule in matching) is found.allowed


def test_ports_to_serve() -> None:
    table = PolicyTable(snapshot((1, 400, 5353, UDP, ["*"], [1]), (2, 400, 8053, TCP, ["*"], [1])))
    assert table.ports == {53, 5353, 8053}


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_cannot_be(port: int) -> None:
    with pytest.raises(ValueError, match="cannot be served"):
        PolicyTable(snapshot((1, 400, port, UDP, ["*"], [1])))


@pytest.mark.parametrize(
    "octets", [b"", b"\x18", b"\1\2\3\4\x21", b"\1\2\3\4\5\x08", bytes(16) + b"\x81"]
)
def test_a_network_that_cannot_be(octets: bytes) -> None:
    state = snapshot()
    state.identity_to_prefix_mapping.add(identity=1, prefix=[octets])
    with pytest.raises(ValueError, match="no network"):
        PolicyTable(state)


def test_decisions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are the clients' choice."""
    monkeypatch.setattr("fqdnlab.dns.proxy.table._MOST_DECISIONS", 10)
    table = PolicyTable(ONE)
    for number in range(35):
        ask(table, f"n{number}.example.com")
    assert len(table._decisions) <= 10
    assert ask(table).allowed
