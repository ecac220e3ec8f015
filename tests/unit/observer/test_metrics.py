"""Counters and the socket they are read at."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from fqdnlab.metrics import Family, exposition, serve_metrics
from fqdnlab.model.dnsrecord import Outcome, pack_record
from fqdnlab.observer.counters import Counters, families
from fqdnlab.observer.history import Kind
from fqdnlab.observer.names import NameHistory
from fqdnlab.observer.records import RecordReader
from tests.observer_data import API, answer, dns_record, question
from tests.unit.observer.kit import NOW, dropped, event


class Kernel:
    """Counters of an enforcer that has let 40 packets pass by rules 0, 5 and denied 3."""

    def drops(self) -> dict[int, tuple[int, int]]:
        return {133: (9, 900), 181: (3, 300)}

    def rules(self, indices: Iterable[int]) -> dict[int, tuple[int, int]]:
        return {i: {0: (10, 1), 5: (30, 1), 6: (3, 1)}[i] for i in indices}


def read(counters: Counters) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Series as a Prometheus client reads them: (name, labels) → value."""
    text = exposition(families(counters, Kernel(), [5, 6]))
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def value(counters: Counters, name: str, **labels: str) -> float:
    return read(counters)[name, tuple(sorted(labels.items()))]


def test_packets() -> None:
    counters = Counters()
    for raw in (event(), event(), dropped(133), dropped(133, dir=1), dropped(132, proto=17)):
        counters.count_packet(raw)
    flows = "hubble_flows_processed_total"
    tcp = {"protocol": "TCP", "subtype": ""}
    assert value(counters, flows, type="PolicyVerdict", verdict="FORWARDED", **tcp) == 2
    assert value(counters, flows, type="PolicyVerdict", verdict="DROPPED", **tcp) == 2
    assert value(counters, flows, type="Drop", verdict="DROPPED", **tcp) == 2
    assert value(counters, "hubble_drop_total", reason="POLICY_DENIED", protocol="TCP") == 4
    assert value(counters, "hubble_drop_total", reason="INVALID_SOURCE_IP", protocol="UDP") == 1
    assert value(counters, "hubble_tcp_flags_total", flag="SYN", family="IPv4") == 2


def test_packets_by_protocol_verdict_and_flag() -> None:
    counters = Counters()
    for raw in (
        event(verdict=2, dport=53, proxy_port=53),  # redirected TCP
        event(tcp_flags=0x12, family=6),
        event(tcp_flags=0x05),
        event(proto=1, tcp_flags=0),
        event(proto=58, family=6, tcp_flags=0),
        event(proto=132, tcp_flags=0),
        event(proto=47, tcp_flags=0),
        dropped(181, proto=17),
        dropped(244),
        dropped(240),
        dropped(99),
    ):
        counters.count_packet(raw)
    seen = read(counters)

    def count(name: str, **labels: str) -> float:
        return seen.get((name, tuple(sorted(labels.items()))), 0)

    flows, flags, drops = (
        "hubble_flows_processed_total",
        "hubble_tcp_flags_total",
        "hubble_drop_total",
    )
    kind = {"type": "PolicyVerdict", "subtype": ""}
    assert count(flows, protocol="TCP", verdict="REDIRECTED", **kind) == 1
    for protocol in ("ICMPv4", "ICMPv6", "SCTP", "Unknown L4"):
        assert count(flows, protocol=protocol, verdict="FORWARDED", **kind) == 1, protocol
    assert count(flags, flag="SYN", family="IPv4") == 1
    assert count(flags, flag="SYN-ACK", family="IPv6") == 1
    assert count(flags, flag="FIN", family="IPv4") == count(flags, flag="RST", family="IPv4") == 1
    # a policy drop is two flows, and Hubble counts both; another is one
    assert count(drops, reason="POLICY_DENY", protocol="UDP") == 2
    assert count(drops, reason="FQDNLAB_ZOMBIE_NEW_FLOW", protocol="TCP") == 2
    assert count(drops, reason="FQDNLAB_NO_PROXY", protocol="TCP") == 1
    assert count(drops, reason="99", protocol="TCP") == 1


def test_what_was_lost() -> None:
    counters = Counters()
    counters.events_lost, counters.records_lost = 3, 4
    lost = "hubble_lost_events_total"
    assert value(counters, lost, source="perf_event_ring_buffer") == 3
    assert value(counters, lost, source="observer_events_queue") == 4


def test_the_kernel_s_own_counts() -> None:
    counters = Counters()
    counters.count_packet(dropped(133, dir=1))
    drops = "cilium_drop_count_total"
    assert value(counters, drops, reason="Policy denied", direction="EGRESS") == 8
    assert value(counters, drops, reason="Policy denied", direction="INGRESS") == 1
    assert value(counters, drops, reason="Policy denied by denylist", direction="EGRESS") == 3
    assert value(counters, "cilium_forward_count_total", direction="EGRESS") == 40


def test_dns() -> None:
    counters, names = Counters(), NameHistory()
    reader = RecordReader(counters, names)
    records = [
        dns_record(answer("a.org", [API, "198.51.100.8"]), at=NOW),
        dns_record(answer("b.org", [], rcode=3), at=NOW, lost=4),
        dns_record(question("c.org", 28), Outcome.DENIED, at=NOW),
        dns_record(question("d.org"), Outcome.FAILED, at=NOW),
    ]
    taken = reader.take(b"".join(map(pack_record, records)))
    assert [s.kind for s in taken.slots] == [
        Kind.DNS_REQUEST,
        Kind.DNS_RESPONSE,
        Kind.DNS_REQUEST,
        Kind.DNS_RESPONSE,
        Kind.DNS_REQUEST,
        Kind.DNS_REQUEST,
        Kind.DNS_RESPONSE,
    ]
    assert (taken.lost, taken.malformed) == (4, 0)
    assert names.names(1, API, NOW) == ["a.org"]
    asked, told = "hubble_dns_queries_total", "hubble_dns_responses_total"
    assert value(counters, asked, rcode="", qtypes="A", ips_returned="0") == 3
    assert value(counters, asked, rcode="Policy denied", qtypes="AAAA", ips_returned="0") == 1
    assert value(counters, told, rcode="No Error", qtypes="A", ips_returned="2") == 1
    assert value(counters, told, rcode="Non-Existent Domain", qtypes="A", ips_returned="0") == 1
    assert value(counters, told, rcode="Server Failure", qtypes="A", ips_returned="0") == 1
    assert value(counters, "hubble_dns_response_types_total", type="A", qtypes="A") == 2
    flows = {"protocol": "DNS", "type": "L7", "subtype": "DNS"}
    for verdict, count in (("FORWARDED", 5), ("DROPPED", 1), ("ERROR", 1)):
        assert value(counters, "hubble_flows_processed_total", verdict=verdict, **flows) == count
    drops = {"reason": "DROP_REASON_UNKNOWN", "protocol": "DNS"}
    assert value(counters, "hubble_drop_total", **drops) == 1


def test_datagrams_that_are_cut_short() -> None:
    reader = RecordReader(Counters(), NameHistory())
    whole = pack_record(dns_record(answer("a.org", [API]), at=NOW))
    taken = reader.take(whole + whole[:-1])
    assert (len(taken.slots), taken.malformed) == (2, 1)
    assert reader.take(b"\x05\x00short").malformed == 1


def test_text_format() -> None:
    text = exposition(
        [
            Family("a_total", "counter", "one\ntwo", [({"x": 'q"\\\n'}, 3.0), ({}, 0.5)]),
            Family("h", "histogram", "h", [("_bucket", {"le": "+Inf"}, 2), ("_count", {}, 2)]),
        ]
    )
    assert text == (
        "# HELP a_total one\\ntwo\n# TYPE a_total counter\n"
        'a_total{x="q\\"\\\\\\n"} 3\na_total 0.5\n'
        '# HELP h h\n# TYPE h histogram\nh_bucket{le="+Inf"} 2\nh_count 2\n'
    )


def ask(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "x.sock"
    with serve_metrics(path, lambda: "up 1\n"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ask(path).endswith(b"\r\n\r\nup 1\n")
    assert not path.exists()


def test_a_successor_takes_the_place_of_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    first = serve_metrics(path, lambda: "first")
    with serve_metrics(path, lambda: "second"):
        first.close()
        first.close()
        assert ask(path).endswith(b"second")  # it did not take the other's socket along


def test_a_fault_is_told_and_ends_nothing(tmp_path: Path) -> None:
    answers = iter([ZeroDivisionError("x"), "fine"])

    def render() -> str:
        one = next(answers)
        if isinstance(one, Exception):
            raise one
        return one

    with serve_metrics(tmp_path / "x.sock", render):
        assert b"500" in ask(tmp_path / "x.sock").splitlines()[0]
        assert ask(tmp_path / "x.sock").endswith(b"fine")
