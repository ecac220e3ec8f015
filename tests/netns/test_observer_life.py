"""The observer's process over the real kernel's events: its sockets, its life, what it loses."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator

import grpc
import pytest

from fqdnlab.model.dnsrecord import Outcome, pack_record
from fqdnlab.paths import PROXY_GID
from fqdnlab.pb import flow_pb2, observer_pb2
from fqdnlab.testing import eventually
from tests.bpf.packets import TCP, ip, tcp
from tests.observer_data import API, EP4, answer, dns_record, question
from tests.observer_kit import Kit, observer_kit

OTHER = "203.0.113.5"


@pytest.fixture
def kit() -> Iterator[Kit]:
    with observer_kit() as made:
        yield made


def test_who_may_reach_it(kit: Kit) -> None:
    def seen(path: os.PathLike[str]) -> tuple[int, int, int]:
        found = os.stat(path)
        assert stat.S_ISSOCK(found.st_mode)
        return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid

    assert seen(kit.paths.observer_socket) == (0o600, 0, 0)
    assert seen(kit.paths.records_socket) == (0o660, 0, PROXY_GID)
    assert seen(kit.paths.metrics_socket("observer")) == (0o600, 0, 0)


def test_the_socket_is_its_directory_owner_s() -> None:
    kit = Kit(f"obs-{os.getpid()}-own")
    try:
        os.chown(kit.paths.client, 12345, 12346)
        kit.start()
        found = kit.paths.observer_socket.stat()
        assert (found.st_uid, found.st_gid) == (12345, 12346)
    finally:
        kit.close()


def test_a_second_observer_is_refused(kit: Kit) -> None:
    done = subprocess.run(kit.command(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "another observer reads this lab's events" in done.stderr
    kit.send(ip(EP4, API, TCP, tcp(50000, 443)))
    kit.wait_for(1)  # the first one goes on, with its own sockets
    kit.tell(dns_record(question("x.org"), Outcome.DENIED))
    kit.wait_for(2)


def test_without_pins_it_says_so() -> None:
    command = Kit.command_for(f"obs-{os.getpid()}-none", "{}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "not pinned" in done.stderr


def test_sigterm_ends_it_cleanly(kit: Kit) -> None:
    follower = kit.stub().GetFlows(observer_pb2.GetFlowsRequest(follow=True))
    ended = threading.Thread(target=lambda: list(_until_error(follower)))
    ended.start()
    kit.send(ip(EP4, API, TCP, tcp(50000, 443)))
    kit.wait_for(1)
    assert kit.stop() == 0
    ended.join(5)
    assert not ended.is_alive()
    for path in (
        kit.paths.observer_socket,
        kit.paths.records_socket,
        kit.paths.metrics_socket("observer"),
    ):
        assert not path.exists(), path


def _until_error(stream: Iterator[object]) -> Iterator[object]:
    try:
        yield from stream
    except grpc.RpcError:
        return


def test_after_a_kill_the_next_one_goes_on(kit: Kit) -> None:
    """Events that happened meanwhile waited in the kernel."""
    kit.stop(signal.SIGKILL)
    kit.send(ip(EP4, API, TCP, tcp(50000, 443)))
    kit.start()
    (flow,) = kit.wait_for(1)
    assert flow.IP.destination == API
    kit.tell(dns_record(question("x.org"), Outcome.DENIED))
    kit.wait_for(2)


def test_names_outlive_an_observer(kit: Kit) -> None:
    """Killed, not stopped; the new one knows what the endpoint had resolved before."""
    kit.tell(dns_record(answer("api.example.com", [API])))
    kit.wait_for(2)
    file = kit.paths.state("observer") / "names.jsonl"
    eventually(lambda: API in file.read_text(encoding="utf-8"), 3.0, "the name on disk")
    kit.stop(signal.SIGKILL)
    with open(file, "a", encoding="utf-8") as journal:
        journal.write('[1,"198.51.')  # as a kill may leave it
    kit.send(ip(EP4, API, TCP, tcp(50000, 443)))
    kit.start()
    (flow,) = kit.wait_for(1)
    assert list(flow.destination_names) == ["api.example.com"]


def test_events_without_room_are_counted_and_told() -> None:
    """A ring of one page holds some fifty events; the rest of eighty is lost while nobody reads."""
    with observer_kit(events_bytes=4096) as kit:
        kit.stop(signal.SIGKILL)
        for port in range(80):
            kit.send(ip(EP4, OTHER, TCP, tcp(50000 + port, 443)))
        lost = kit.maps.lost_events()
        assert 0 < lost < 80
        kit.start()
        kit.wait_for(2 * (80 - lost))

        def told() -> list[tuple[int, int]]:
            found = [r.lost_events for r in kit.responses() if r.HasField("lost_events")]
            return [(x.source, x.num_events_lost) for x in found]

        assert eventually(told, 3.0, "a lost event") == [(flow_pb2.PERF_EVENT_RING_BUFFER, lost)]
        assert (
            f'hubble_lost_events_total{{source="perf_event_ring_buffer"}} {lost}' in kit.metrics()
        )
        kit.stop()
        kit.start()  # a new observer does not tell the same loss again
        kit.send(ip(EP4, OTHER, TCP, tcp(60000, 443)))
        kit.wait_for(1)
        assert told() == []


def test_lost_dns_records_are_told(kit: Kit) -> None:
    kit.tell(dns_record(answer("a.org", [API]), lost=17))

    def told() -> list[int]:
        return [r.lost_events.num_events_lost for r in kit.responses() if r.HasField("lost_events")]

    assert eventually(told, 3.0, "a lost event") == [17]


def test_a_burst_of_records_finds_room(kit: Kit) -> None:
    """Two thousand datagrams at once, from a sender that does not wait."""
    record = pack_record(dns_record(answer("a.org", [API])))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 32, 8 << 20)  # SO_SNDBUFFORCE
        sock.setblocking(False)
        sock.connect(str(kit.paths.records_socket))
        kit.pause()
        for _ in range(2000):
            sock.send(record)
        kit.resume()
    kit.wait_for(4000)


def test_rubbish_on_the_records_socket_is_counted(kit: Kit) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        for octets in (b"", b"\x00", b"\xff" * 400, os.urandom(3000), b"\x60\x00" + b"z" * 96):
            sock.sendto(octets, str(kit.paths.records_socket))
    kit.tell(dns_record(question("x.org"), Outcome.DENIED))
    kit.wait_for(1, whitelist=[flow_pb2.FlowFilter(dns_query=["x.org"])])
    assert "fqdnlab_observer_malformed_total 0" not in kit.metrics()
