"""Bursts: every datagram whole, in order, from whom and to whom; what cannot be sent is told."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fqdnlab.dns.proxy.datagrams import FAMILIES, Receiver, Sender
from fqdnlab.testing import eventually

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
PKTINFO = {
    socket.AF_INET: (socket.SOL_IP, 8),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 49),
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def udp(stack: ExitStack, family: int) -> socket.socket:
    made = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
    made.bind((LOOPBACK[family], 0))
    made.settimeout(5)
    return made


def never(place: int, number: int) -> bool:
    raise AssertionError(f"datagram {place}: {errno.errorcode[number]}")


def test_a_burst_of_more_than_a_call_takes(stack: ExitStack) -> None:
    here, there = udp(stack, socket.AF_INET), udp(stack, socket.AF_INET)
    here.connect(there.getsockname())
    there.connect(here.getsockname())
    sizes = (1, 40, 0, 1232, 9000, 65_505, 12, 13, 14)
    sent = [(n * 1000, bytes([n]) * size) for n, size in enumerate(sizes)]
    Sender(4).send(here.fileno(), sent, never)
    receiver = Receiver(4)
    got: list[tuple[int, bytes]] = []

    def all_came() -> bool:
        got.extend(receiver.receive(there.fileno()))
        return len(got) >= len(sent)

    eventually(all_came, what="the burst")
    assert got == sent
    assert receiver.receive(there.fileno()) == []  # nothing has come: no error, no stale one


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_from_whom_and_to_which_address(stack: ExitStack, family: int) -> None:
    """And the answer goes to the one, from the other."""
    server, client = udp(stack, family), udp(stack, family)
    receiver, layout = Receiver(8, FAMILIES[family]), FAMILIES[family]
    server.setsockopt(*PKTINFO[family], 1)
    for n in range(3):
        client.sendto(bytes([n, 9]) + bytes([n]) * n, server.getsockname())
    came: list[tuple[bytes, int, int]] = []

    def all_came() -> bool:
        came.extend(receiver.receive_from(server.fileno()))
        return len(came) == 3

    eventually(all_came, what="questions")
    asked = socket.inet_pton(family, LOOPBACK[family])
    for n, (octets, number, port) in enumerate(came):
        assert layout.split(octets) == (asked, asked, bytes([n]) * n)
        assert number.to_bytes(2, "little") == bytes([n, 9])
        assert socket.ntohs(port) == client.getsockname()[1]
    assert came[0][0] + b"\1" == came[1][0]  # nothing else in them differs
    server.setsockopt(*PKTINFO[family], 0)
    client.sendto(b"untold", server.getsockname())
    ((octets, _, _),) = eventually(lambda: receiver.receive_from(server.fileno()), what="another")
    assert (
        layout.split(octets)[1] == b""
    )  # the asked address of an earlier one is not taken for its
    (octets, number, port) = came[0]
    back = layout.back(octets, asked)
    sender = Sender(2, layout)
    sender.send_to(server.fileno(), [(port, back, n, bytes([n]) * n) for n in range(5)], never)
    assert [client.recvfrom(100) for _ in range(5)] == [
        (bytes([n, 0]) + bytes([n]) * n, server.getsockname()) for n in range(5)
    ]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("size", [0, 1])
def test_shorter_than_an_id(stack: ExitStack, family: int, size: int) -> None:
    """It has no rest, and harms no other."""
    server, client = udp(stack, family), udp(stack, family)
    receiver, layout = Receiver(8, FAMILIES[family]), FAMILIES[family]
    server.setsockopt(*PKTINFO[family], 1)
    client.sendto(bytes(size), server.getsockname())
    ((octets, _, _),) = eventually(lambda: receiver.receive_from(server.fileno()), what="it")
    assert layout.split(octets)[2] == b""
    client.connect(server.getsockname())
    server.connect(client.getsockname())
    client.send(bytes(size))
    ((_, rest),) = eventually(lambda: Receiver(8).receive(server.fileno()), what="it")
    assert rest == b""


def test_one_that_cannot_be_sent_keeps_no_other(stack: ExitStack) -> None:
    here, there = udp(stack, socket.AF_INET), udp(stack, socket.AF_INET)
    here.connect(there.getsockname())
    failed: list[tuple[int, int]] = []

    def once_more(place: int, number: int) -> bool:
        failed.append((place, number))
        return failed.count((place, number)) == 1

    burst = [(1, b"a"), (2, b"b" * 65_530), (3, b"c")]  # longer than UDP has room for
    Sender(8).send(here.fileno(), burst, once_more)
    assert failed == [(1, errno.EMSGSIZE)] * 2
    assert [there.recv(100) for _ in range(2)] == [b"\1\0a", b"\3\0c"]


def test_a_refused_datagram_is_an_error(stack: ExitStack) -> None:
    here, there = udp(stack, socket.AF_INET), udp(stack, socket.AF_INET)
    here.connect(there.getsockname())
    there.close()
    here.send(b"nobody is there")
    receiver = Receiver(8)

    def refused() -> bool:
        with pytest.raises(ConnectionRefusedError):
            receiver.receive(here.fileno())
        return True

    eventually(refused, what="the ICMP error")
    assert receiver.receive(here.fileno()) == []
