"""The proxy as a client in an endpoint sees it: transports, families, servers, ports."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dnslib import QTYPE

from fqdnlab.lab import machine_service
from fqdnlab.testing import eventually
from tests import proxy_kit
from tests.proxy_kit import API, API6, NAME, RESOLVER, RESOLVER6, ProxyLab, Upstream, question

NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
BOTH = pytest.mark.parametrize("server", [RESOLVER, RESOLVER6])
WAYS = pytest.mark.parametrize("transport", ["udp", "tcp"])


@pytest.fixture(scope="module")
def shared() -> Iterator[ProxyLab]:
    with machine_service(), proxy_kit.proxy_lab("pq", hold=2.0) as made:
        yield made


@pytest.fixture
def bench(shared: ProxyLab) -> ProxyLab:
    shared.reset()
    return shared


@BOTH
@WAYS
@pytest.mark.parametrize(("kind", "address"), [("A", API), ("AAAA", API6)])
def test_each_transport_and_family(
    bench: ProxyLab, server: str, transport: str, kind: str, address: str
) -> None:
    """The answer comes from the asked server and port; the world sees the endpoint's address."""
    got = bench.one(kind=kind, server=server, transport=transport)
    assert (got.rcode, got.addresses) == (NOERROR, [address])
    assert (got.source, got.port) == (server, 53)
    (asked,) = bench.asked(NAME)
    mine = bench.web.ip6 if ":" in server else bench.web.ip4
    assert (asked.client, asked.server, asked.transport) == (mine, server, transport)
    wanted = {"server": server, "transport": transport, "qtype": kind}
    row = eventually(lambda: bench.rows(NAME, **wanted)[0], 5, "a record of it")
    assert (row["early"], row["result"], row["ips"]) == (False, "RESOLVED", [address])


@BOTH
@WAYS
def test_a_denied_name_is_refused_and_never_forwarded(
    bench: ProxyLab, server: str, transport: str
) -> None:
    before = bench.metric("cilium_policy_l7_total", rule="denied")
    got = bench.one("tracker.ads.net", server=server, transport=transport)
    assert (got.rcode, got.source) == (REFUSED, server)
    assert bench.upstream() == 0
    assert bench.metric("cilium_policy_l7_total", rule="denied") == before + 1


def test_real_clients(bench: ProxyLab) -> None:
    for words in (["dig", "+tries=1", "+short", NAME], ["kdig", "+short", "+tcp", NAME]):
        assert bench.web.run(words).stdout.split() == [API], words
    kept = bench.web.run(["kdig", "+tcp", "+keepopen", "+short", NAME, NAME, "AAAA"])
    assert kept.stdout.split().count(API) >= 1


@pytest.mark.parametrize("size", [512, 1232, 4096])
def test_edns_goes_through_as_it_is(bench: ProxyLab, size: int) -> None:
    (got,) = bench.ask(question(edns=size))
    assert got.addresses == [API]
    assert any(rr.rtype == QTYPE.OPT for rr in got.record.ar)
    (refused,) = bench.ask(question("tracker.ads.net", edns=size))
    assert (refused.rcode, len(refused.record.ar)) == (REFUSED, 1)


def test_truncated_over_udp_whole_over_tcp(bench: ProxyLab) -> None:
    """All that the client was shown is open, the part in the truncated answer too."""
    many = [f"198.51.101.{n}" for n in range(200)]
    bench.world.set("many.example.com", many, ttl=60)
    got = bench.one("many.example.com")
    assert got.record.header.tc == 1
    assert len(got.data) <= 512
    assert bench.asked("many.example.com")[-1].transport == "udp"
    whole = bench.one("many.example.com", transport="tcp")
    assert sorted(whole.addresses) == sorted(many)
    assert whole.record.header.tc == 0
    found = bench.web.run(["dig", "+tries=1", "+short", "many.example.com"]).stdout.split()
    assert sorted(found) == sorted(many)
    table = bench.lab.mappings()
    known = set(table[table["name"] == "many.example.com."]["ip"])
    assert known == set(many)


@WAYS
def test_the_case_of_a_name_is_kept_both_ways(bench: ProxyLab, transport: str) -> None:
    """0x20 (draft-vixie-dnsext-dns0x20): a resolver checks it letter for letter."""
    odd = "aPi.ExAmPlE.cOm"
    got = bench.one(odd, transport=transport)
    assert str(got.record.q.qname) == f"{odd}."
    assert bench.asked()[-1].name == odd
    table = bench.lab.mappings()
    assert f"{NAME}." in set(table["name"])


def test_the_addresses_of_a_chain_are_the_queried_name_s(bench: ProxyLab) -> None:
    """The lowest TTL of the chain is the mapping's; only the first name has to be allowed."""
    bench.world.cname("www.example.com", "edge.cdn.net", ttl=300)
    bench.world.cname("edge.cdn.net", "pop.cdn.net", ttl=17)
    bench.world.set("pop.cdn.net", ["198.51.100.99"], ttl=120)
    got = bench.one("www.example.com")
    assert got.addresses == ["198.51.100.99"]
    table = bench.lab.mappings()
    mine = table[table["ip"] == "198.51.100.99"]
    assert list(mine["name"]) == ["www.example.com."]
    assert list(mine["ttl"]) == [17]
    assert bench.one("pop.cdn.net").rcode == REFUSED
    assert bench.web.connect("www.example.com", 80)


@pytest.mark.parametrize("kind", ["TXT", "MX", "HTTPS", "SRV"])
def test_types_play_no_part(bench: ProxyLab, kind: str) -> None:
    bench.world.put(NAME, "TXT", ['"hello"'])
    assert bench.one(kind=kind).rcode == NOERROR
    assert bench.one("tracker.ads.net", kind).rcode == REFUSED


def test_errors_of_the_server_pass_and_are_not_learned_from(bench: ProxyLab) -> None:
    before = len(bench.lab.mappings())
    assert bench.one("nowhere.example.com").rcode == NXDOMAIN
    for rcode, number in (("SERVFAIL", 2), ("REFUSED", 5), ("NOTIMP", 4)):
        bench.world.fault(NAME, rcode=rcode)
        assert bench.one().rcode == number
    assert len(bench.lab.mappings()) <= before + 1


def test_a_thousand_in_flight_each_gets_its_own(bench: ProxyLab) -> None:
    names = [f"n{n}.example.com" for n in range(1000)]
    lines = [f"{name}. 60 IN A 198.18.{n // 250}.{1 + n % 250}" for n, name in enumerate(names)]
    bench.world.load("\n".join(["$ORIGIN .", *lines]) + "\n")
    got = bench.ask(
        *(question(name, number=n + 1) for n, name in enumerate(names)), timeout=30, window=60
    )
    assert len(got) == 1000
    found = {g.record.header.id: (str(g.record.q.qname), g.addresses) for g in got}
    for n, name in enumerate(names):
        assert found[n + 1] == (f"{name}.", [f"198.18.{n // 250}.{1 + n % 250}"])
    assert bench.upstream() == 1000


def test_pipelined_over_tcp_and_out_of_order(bench: ProxyLab) -> None:
    """A slow one holds up no quick one; ids of the client may repeat."""
    bench.world.set("slow.example.com", ["198.51.100.77"], ttl=60)
    bench.world.fault("slow.example.com", delay=3.0)
    asked = [question("slow.example.com", number=1)]
    asked += [question(NAME, number=2) for _ in range(40)]
    got = bench.ask(*asked, transport="tcp", timeout=15)
    assert [g.record.header.id for g in got] == [2] * 40 + [1]
    assert got[-1].seconds >= 3.0
    assert got[0].seconds < 3.0


def test_a_client_that_closes_its_half_gets_its_answers(bench: ProxyLab) -> None:
    bench.world.fault(NAME, delay=0.5)
    got = bench.ask(question(), question(), transport="tcp", half_close=True, timeout=10)
    assert [g.addresses for g in got] == [[API], [API]]


def test_one_id_from_two_ports_is_two_questions(bench: ProxyLab) -> None:
    """And the same question again, before its answer, is answered again: nothing is cached."""
    bench.world.fault(NAME, delay=0.3)
    got = bench.ask(question(), question(), question(kind="AAAA"), timeout=10)
    assert sorted(g.addresses for g in got) == [[API], [API], [API6]]
    assert bench.upstream() == 3
    for port in (40001, 40002):
        assert bench.ask(question(), source_port=port)[0].addresses == [API]


def test_never_from_a_cache(bench: ProxyLab) -> None:
    """Upstream questions are allowed questions, one for one, whatever the TTL."""
    names = (NAME, "tracker.ads.net")
    asked = [question(names[n % 2], number=n) for n in range(100)]
    assert len(bench.ask(*asked)) == 100
    assert len(bench.ask(*asked[:20], transport="tcp")) == 20
    assert bench.upstream() == 60
    assert {c.name for c in bench.world.counts()} == {NAME}


# --- servers and ports


@pytest.mark.parametrize("server", [proxy_kit.OTHER, proxy_kit.OTHER6])
@WAYS
def test_another_server_on_another_port(bench: ProxyLab, server: str, transport: str) -> None:
    """`rules.dns` on 5353: the answer comes from that server and that port."""
    address = "198.51.100.53"
    answer = partial(proxy_kit.address_record, address=address)
    with Upstream(bench, server, 5353, lambda query: [answer(query)]) as up:
        got = bench.one("odd.example.com", server=server, port=5353, transport=transport)
        assert (got.source, got.port, got.addresses) == (server, 5353, [address])
        refused = bench.one("tracker.ads.net", server=server, port=5353, transport=transport)
        assert (refused.rcode, refused.source, refused.port) == (REFUSED, server, 5353)
    assert [client for client, _ in up.seen] == [bench.web.ip6 if ":" in server else bench.web.ip4]
    table = bench.lab.mappings()
    assert "odd.example.com." in set(table["name"])


def test_each_server_has_its_own_names(bench: ProxyLab) -> None:
    bench.world.set("third.example.com", ["198.51.100.54"], ttl=60)
    got = bench.one("third.example.com", server=proxy_kit.THIRD)
    assert (got.source, got.addresses) == (proxy_kit.THIRD, ["198.51.100.54"])
    assert bench.one(NAME, server=proxy_kit.THIRD).rcode == REFUSED
    assert {q.server for q in bench.asked()} == {proxy_kit.THIRD}


@pytest.mark.parametrize("server", [proxy_kit.STRANGER, proxy_kit.STRANGER6])
@WAYS
def test_a_server_that_no_rule_names_is_silence_not_refused(
    bench: ProxyLab, server: str, transport: str
) -> None:
    """Dropped by L3/L4: the proxy never sees it."""
    before = bench.metric("cilium_policy_l7_total", rule="received")
    assert bench.ask(question(), server=server, transport=transport, timeout=0.7) == []
    assert bench.metric("cilium_policy_l7_total", rule="received") == before
    assert bench.upstream() == 0
    drop = eventually(lambda: _drops(bench, server)[-1], 5, f"a drop of {server}")
    assert drop["reason"] == "POLICY_DENIED"


def _drops(bench: ProxyLab, server: str) -> list[dict[str, Any]]:
    rows = bench.lab.flows().to_dict("records")
    return [r for r in rows if r["address"] == server and r["verdict"] == "DROPPED"]


def test_a_port_or_protocol_that_no_rule_names(bench: ProxyLab) -> None:
    assert bench.ask(question(), port=5353, timeout=0.5) == []
    assert bench.ask(question(), server=proxy_kit.OTHER, port=53, timeout=0.5) == []
    assert bench.ask(question(), server=proxy_kit.THIRD, transport="tcp", timeout=0.5) == []
    assert bench.upstream() == 0


def test_who_has_no_policy_is_not_redirected(bench: ProxyLab) -> None:
    free = bench.lab.endpoint("free", labels={"app": "free"})
    before = bench.metric("cilium_policy_l7_total", rule="received")
    bench.world.set("tracker.ads.net", ["192.0.2.66"], ttl=60)
    assert bench.one("tracker.ads.net", endpoint=free).addresses == ["192.0.2.66"]
    assert bench.metric("cilium_policy_l7_total", rule="received") == before


def test_many_servers_take_few_descriptors(bench: ProxyLab) -> None:
    """One endpoint may ask many servers, and starve nobody of sockets."""
    policy = proxy_kit.POLICY.replace(
        "  - toFQDNs:",
        '  - toCIDR: [198.19.0.0/16]\n    toPorts:\n    - ports: [{port: "53", protocol: UDP}]\n'
        '      rules: {dns: [{matchPattern: "*"}]}\n  - toFQDNs:',
    )
    bench.lab.apply(policy)
    try:
        script = (
            "import socket\n"
            f"q = bytes.fromhex('{question().hex()}')\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)\n"
            "for n in range(700):\n"
            "    s.sendto(q, (f'198.19.{n // 250}.{1 + n % 250}', 53)); s.recv(999)\n"
            "print('done')\n"
        )
        assert bench.web.run(["python3", "-c", script]).stdout == "done\n"
        pid = bench.lab.proxy.state().pid
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) < 400
        assert bench.one().addresses == [API]
    finally:
        bench.lab.apply(proxy_kit.POLICY)
