"""Way 2.11: records framed, batched, never waited for, losses counted."""

from __future__ import annotations

import socket
from pathlib import Path

from fqdnlab.dns.proxy.records import Records
from fqdnlab.model.dnsrecord import DnsRecord, Early, Outcome, split_datagram
from tests.unit.dns.kit import Loop, ask

ID = b"\0\7"  # the client's: the message is what the client got


class Observer:
    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))

    def read(self) -> list[DnsRecord]:
        found = []
        while True:
            try:
                datagram = self.socket.recv(1 << 18)
            except BlockingIOError:
                return found
            octets, whole = split_datagram(datagram)
            assert whole
            found += [DnsRecord.unpack(one) for one in octets]


def records(path: Path) -> tuple[Records, Loop]:
    loop = Loop()
    return Records(loop, path, 3), loop  # type: ignore[arg-type]


def test_a_record_as_the_observer_reads_it(tmp_path: Path) -> None:
    observer = Observer(tmp_path / "s")
    made, loop = records(tmp_path / "s")
    t = ask()
    t.early = Early.HOLD_OFF
    made.add(t, Outcome.ANSWERED, b"message")
    assert observer.read() == []  # it waits for company
    loop.pass_time(0.02)
    (found,) = observer.read()
    assert (found.client[-4:], found.client_port) == (bytes([10, 10, 0, 1]), 5000)
    assert found.client[:12] == found.server[:12] == bytes(10) + b"\xff\xff"
    assert (found.server[-4:], found.server_port, found.transport) == (
        bytes([10, 96, 0, 10]),
        53,
        17,
    )
    assert (found.endpoint, found.rule, found.generation) == (1, 3, 3)
    assert (found.outcome, found.early, found.message) == (1, Early.HOLD_OFF, ID + b"message")
    assert found.time - found.latency == t.start
    made.close()


def test_sixteen_octets_are_kept(tmp_path: Path) -> None:
    observer = Observer(tmp_path / "s")
    made, _ = records(tmp_path / "s")
    t = ask()
    client, server = t.question.client, t.question.server = bytes(range(16)), bytes(range(16, 32))
    made.add(t, Outcome.DENIED, t.question.octets)
    made.close()
    assert [(r.client, r.server) for r in observer.read()] == [(client, server)]


def test_many_come_in_order_and_whole(tmp_path: Path) -> None:
    observer = Observer(tmp_path / "s")
    made, loop = records(tmp_path / "s")
    messages = [bytes([n % 256]) * (n * 7 % 900) for n in range(300)]
    found = []
    for message in messages:
        made.add(ask(), Outcome.ANSWERED, message)
        found += observer.read()
    loop.pass_time(1)
    found += observer.read()
    assert [r.message for r in found] == [ID + message for message in messages]
    assert made.lost == 0
    made.close()


def test_the_largest_message_is_cut_to_what_a_record_holds(tmp_path: Path) -> None:
    observer = Observer(tmp_path / "s")
    made, _ = records(tmp_path / "s")
    made.add(ask(), Outcome.ANSWERED, bytes(65535))
    made.flush()
    (found,) = observer.read()
    assert 65000 < len(found.message) < 65535
    made.close()


def test_nobody_there_is_counted_and_told_to_the_next(tmp_path: Path) -> None:
    made, _ = records(tmp_path / "s")
    for _ in range(3):
        made.add(ask(), Outcome.ANSWERED, b"")
    made.flush()
    assert made.lost == 3
    observer = Observer(tmp_path / "s")
    for _ in range(2):
        made.add(ask(), Outcome.ANSWERED, b"")
    made.flush()
    assert [r.lost for r in observer.read()] == [3, 0]
    assert made.lost == 3
    made.close()


def test_a_new_observer_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = Observer(path)
    made, _ = records(path)
    made.add(ask(), Outcome.ANSWERED, b"1")
    made.flush()
    assert len(first.read()) == 1
    first.socket.close()
    path.unlink()
    second = Observer(path)
    made.add(ask(), Outcome.ANSWERED, b"2")
    made.flush()
    assert [r.message for r in second.read()] == [ID + b"2"]
    assert made.lost == 0
    made.close()


def test_one_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    Observer(tmp_path / "s")
    observer = Observer(tmp_path / "t")
    made, _ = records(tmp_path / "t")
    for _ in range(20_000):
        made.add(ask(), Outcome.ANSWERED, bytes(400))
    made.flush()
    read = len(observer.read())
    assert read + made.lost == 20_000
    assert made.lost > 0
    made.close()
