"""The proxy and the servers that it asks: slow, silent, forged, malformed, too many."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from dnslib import RR, A, DNSRecord

from fqdnlab.lab import machine_service
from fqdnlab.testing import eventually
from tests import proxy_kit
from tests.proxy_kit import API, NAME, RESOLVER, RESOLVER6, ProxyLab, Upstream, question

SERVFAIL = 2
BOTH = pytest.mark.parametrize("server", [RESOLVER, RESOLVER6])
WAYS = pytest.mark.parametrize("transport", ["udp", "tcp"])
FORGED, FORGED6 = "203.0.113.66", "2001:db8:bad::66"  # the world's own choice


@pytest.fixture(scope="module", autouse=True)
def machine() -> Iterator[None]:
    with machine_service():
        yield


@pytest.fixture(scope="module")
def shared(machine: None) -> Iterator[ProxyLab]:
    with proxy_kit.proxy_lab("pu", upstream_timeout=1.0) as made:
        yield made


@pytest.fixture
def bench(shared: ProxyLab) -> ProxyLab:
    shared.reset()
    return shared


MALFORMED = ["empty", "short", "counts", "pointer", "garbage", "oversized"]


def learned(bench: ProxyLab) -> set[str]:
    return set(bench.lab.mappings()["ip"])


# --- wrong answers


@pytest.mark.parametrize("word", ["id", "name", "type", "port", "address"])
@BOTH
def test_a_forged_answer_is_not_believed_and_the_true_one_is(
    bench: ProxyLab, word: str, server: str
) -> None:
    """Forged ones come first: by id, name and type the proxy sees it, by port and server the
    kernel, to which its socket is connected."""
    bench.world.fault(NAME, wrong=[word])
    kinds = ("A", "AAAA")
    before = bench.metric("fqdnlab_proxy_unbelieved_total")
    got = bench.ask(*(question(kind=k) for k in kinds), server=server)
    assert {a for g in got for a in g.addresses} == {API, proxy_kit.API6}
    assert all(g.source == server for g in got)
    assert not learned(bench) & {FORGED, FORGED6}
    assert bench.web.run(["true"]).ok
    if word in ("id", "name", "type"):
        assert bench.metric("fqdnlab_proxy_unbelieved_total") == before + len(kinds)


@pytest.mark.parametrize("word", ["id", "name", "type", "port", "address"])
def test_forged_answers_alone_are_none(bench: ProxyLab, word: str) -> None:
    bench.world.fault(NAME, wrong=[word], instead=True)
    got = bench.one(timeout=4)
    assert (got.rcode, got.addresses) == (SERVFAIL, [])
    assert not learned(bench) & {FORGED, FORGED6}


def test_all_forgeries_at_once_a_hundred_times(bench: ProxyLab) -> None:
    bench.world.fault(NAME, wrong=["id", "name", "type", "port", "address"])
    got = bench.ask(*(question(number=n) for n in range(100)), timeout=20, window=16)
    assert [g.addresses for g in got] == [[API]] * 100
    assert not learned(bench) & {FORGED, FORGED6}


def test_the_additional_section_is_not_learned_from(bench: ProxyLab) -> None:
    bench.world.fault(NAME, extra=["www.example.com 203.0.113.77"])
    assert bench.one().addresses[0] == API
    assert "203.0.113.77" not in learned(bench)
    assert not bench.web.connect("203.0.113.77", 80, timeout=0.5)


@WAYS
def test_another_opcode_or_no_response_bit_is_no_answer(bench: ProxyLab, transport: str) -> None:
    def answer(query: bytes) -> list[bytes]:
        good = proxy_kit.address_record(query, FORGED)
        wrong = [good[:2] + bytes([second]) + good[3:] for second in (0x01, 0xA9, 0x91)]
        two_questions = good[:4] + b"\0\2" + good[6:]
        return [*wrong, two_questions, good[:11], proxy_kit.address_record(query, "198.51.100.9")]

    with Upstream(bench, proxy_kit.OTHER, 5353, answer):
        got = bench.one("odd.example.com", server=proxy_kit.OTHER, port=5353, transport=transport)
    assert got.addresses == ["198.51.100.9"]
    assert FORGED not in learned(bench)


def test_ports_and_ids_of_questions_are_unpredictable(bench: ProxyLab) -> None:
    bench.ask(*(question(number=7) for _ in range(64)))
    assert len({q.id for q in bench.asked()}) > 60  # the client's were all 7
    ids = [q.id for q in bench.asked()]
    assert ids != sorted(ids)
    ports = set()
    for server in (RESOLVER, RESOLVER6):
        for _ in range(2):
            bench.one(server=server)
    ports = {q.client_port for q in bench.asked()}
    assert len(ports) >= 2
    assert all(port >= 1024 for port in ports)


# --- malformed answers


@WAYS
@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_answer_is_servfail_and_not_learned_from(
    bench: ProxyLab, kind: str, transport: str
) -> None:
    bench.world.fault(NAME, malformed=kind)
    address = f"198.51.102.{MALFORMED.index(kind) * 2 + (transport == 'tcp') + 1}"
    bench.world.set(NAME, [address], ttl=60)
    got = bench.one(transport=transport, timeout=5)
    assert (got.rcode, got.addresses) == (SERVFAIL, [])
    assert address not in learned(bench)
    bench.world.clear_faults()
    assert bench.one(transport=transport).addresses == [address]


def test_answers_too_large_for_one_packet_are_not_asked_for(bench: ProxyLab) -> None:
    """They would come in fragments; the client is told to ask over TCP."""
    addresses = [f"198.51.103.{n}" for n in range(200)]

    def answer(query: bytes) -> list[bytes]:
        asked = DNSRecord.parse(query)
        made = asked.reply()
        made.add_answer(*(RR(asked.q.qname, ttl=60, rdata=A(a)) for a in addresses))
        if len(made.pack()) > (asked.ar[0].edns_len if asked.ar else 512):
            made = asked.reply()
            made.header.tc = 1
        return [bytes(made.pack())]

    where = {"server": proxy_kit.OTHER, "port": 5353}
    with Upstream(bench, proxy_kit.OTHER, 5353, answer) as up:
        (got,) = bench.ask(question("big.example.com", edns=4096), **where, timeout=3)
        assert got.record.header.tc == 1
        assert DNSRecord.parse(up.seen[0][1]).ar[0].edns_len == 1232


# --- time-outs


@WAYS
@BOTH
def test_a_silent_server_is_servfail_in_time(bench: ProxyLab, transport: str, server: str) -> None:
    bench.world.fault(NAME, silent=True)
    before = bench.metric("fqdnlab_proxy_failed_total")
    got = bench.one(transport=transport, server=server, timeout=6)
    assert got.rcode == SERVFAIL
    assert 0.9 <= got.seconds < 3
    assert bench.metric("fqdnlab_proxy_failed_total") == before + 1
    wanted = {"server": server, "transport": transport, "verdict": "ERROR"}
    eventually(lambda: bench.rows(NAME, **wanted), 5, "a record of the failure")


def test_an_answer_after_the_time_out_is_believed_no_more(bench: ProxyLab) -> None:
    bench.world.set("late.example.com", ["198.51.100.210"], ttl=60)
    bench.world.fault("late.example.com", delay=2.6)
    before = bench.metric("fqdnlab_proxy_unbelieved_total")
    got = bench.ask(question("late.example.com"), timeout=4, expect=2)
    assert [g.rcode for g in got] == [SERVFAIL]
    assert "198.51.100.210" not in learned(bench)
    seen = lambda: bench.metric("fqdnlab_proxy_unbelieved_total") == before + 1  # noqa: E731
    eventually(seen, 5, "the late answer")


def test_a_server_that_is_not_there(bench: ProxyLab) -> None:
    """Refused by ICMP and by RST; a later question to it is asked all the same."""
    where = {"server": proxy_kit.OTHER, "port": 5353}
    assert bench.one(**where, timeout=5).rcode == SERVFAIL
    got = bench.one(**where, transport="tcp", timeout=5)
    assert (got.rcode, got.seconds < 0.9) == (SERVFAIL, True)
    with Upstream(bench, proxy_kit.OTHER, 5353, lambda q: [proxy_kit.address_record(q)]):
        assert bench.one(**where).addresses == [API]
        assert bench.one(**where, transport="tcp").addresses == [API]


def test_a_server_that_closes_between_questions(bench: ProxyLab) -> None:
    """Each of the client's connections survives its server's."""
    got = bench.ask(*(question(number=n) for n in range(5)), transport="tcp")
    assert len(got) == 5
    bench.world.fault(NAME, silent=True, times=1)
    slow = bench.ask(question(number=1), question(number=2), transport="tcp", timeout=5)
    assert sorted((g.record.header.id, g.rcode) for g in slow) in (
        [(1, SERVFAIL), (2, 0)],
        [(1, 0), (2, SERVFAIL)],
    )


def test_a_timed_out_thousand_does_not_slow_the_rest(bench: ProxyLab) -> None:
    bench.world.fault("dead.example.com", silent=True)
    data = [question("dead.example.com", number=n) for n in range(1000)]
    got = bench.ask(*data, timeout=10, window=1000, expect=1000)
    assert len(got) > 900  # a client's own burst may overflow a queue: counted below
    lost = bench.metric("fqdnlab_proxy_receive_drops_total")
    assert len(got) + lost >= 1000
    assert all(g.rcode == SERVFAIL for g in got)
    assert bench.one().addresses == [API]


# --- settings


def test_silence_at_the_time_out_where_the_lab_wants_it(machine: None) -> None:
    with proxy_kit.proxy_lab(
        "pu-s", upstream_timeout=0.5, upstream_timeout_answer="silent"
    ) as bench:
        bench.world.fault(NAME, silent=True)
        assert bench.ask(question(), timeout=1.5) == []
        assert bench.ask(question(), transport="tcp", timeout=1.5) == []
        assert bench.metric("fqdnlab_proxy_failed_total") == 2
        assert bench.one("tracker.ads.net").rcode == 5


def test_the_node_s_address_and_nxdomain(machine: None) -> None:
    """`transparent: false`: servers see the node; `reject_code: nameError`."""
    with proxy_kit.proxy_lab("pu-n", transparent=False, reject_code="nameError") as bench:
        for server in (RESOLVER, RESOLVER6):
            for transport in ("udp", "tcp"):
                assert bench.one(server=server, transport=transport).addresses == [API]
                assert bench.one("tracker.ads.net", transport=transport).rcode == 3
        clients = {q.client for q in bench.asked()}
        assert not clients & {bench.web.ip4, bench.web.ip6}
        assert {ip_address(c).version for c in clients} == {4, 6}
        assert len(clients) == 2


@WAYS
def test_over_the_concurrency_limit(machine: None, transport: str) -> None:
    """Shed with SERVFAIL and counted; with grace, those that find room in time are not."""
    metric = "cilium_fqdn_semaphore_rejected_total"
    settings = {"concurrency_limit": 4, "upstream_timeout": 6.0}
    with proxy_kit.proxy_lab(f"pu-c-{transport}", **settings) as bench:
        bench.world.fault(NAME, delay=1.5)
        data = [question(number=n) for n in range(10)]
        got = bench.ask(*data, transport=transport, timeout=10)
        assert sorted(g.rcode for g in got) == [0] * 4 + [SERVFAIL] * 6
        assert bench.metric(metric) == 6
        assert bench.upstream() == 4
    with proxy_kit.proxy_lab(f"pu-g-{transport}", concurrency_grace=2.4, **settings) as bench:
        bench.world.fault(NAME, delay=1.5)
        got = bench.ask(*data, transport=transport, timeout=10)
        assert sorted(g.rcode for g in got) == [0] * 8 + [SERVFAIL] * 2
        assert bench.metric(metric) == 2
