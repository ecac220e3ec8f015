"""A lab by its client, and plain sockets in its endpoints: what real packets meet there."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from dnslib import DNSRecord

from fqdnlab.lab import Lab
from fqdnlab.node import netns as namespaces
from fqdnlab.paths import netns

T = TypeVar("T")

RESOLVER = "10.96.0.10"
#: Long enough for any packet that passes; a dropped one is waited for no longer than SILENCE.
PATIENCE, SILENCE = 10.0, 0.3


class Asked(NamedTuple):
    """What came of a question; rcode ``TIMEOUT`` if nothing came."""

    rcode: str
    addresses: tuple[str, ...] = ()


class Site:
    """A lab with endpoints, for tests."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def inside(self, endpoint: str, function: Callable[[], T]) -> T:
        """Call `function` in an endpoint's network namespace, whoever is dead."""
        return namespaces.inside(netns(self.lab.name, f"ep-{endpoint}"), function)

    def socket(self, endpoint: str, address: str, kind: int, proto: int = 0) -> socket.socket:
        """A socket of the endpoint, of the address's family."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return self.inside(endpoint, lambda: socket.socket(family, kind, proto))

    # ------------------------------------------------------------ TCP

    def tcp(self, endpoint: str, *wanted: tuple[str, int], patience: float = SILENCE) -> list[str]:
        """Connect to all at once; for each ``open``, ``refused`` or ``dropped``."""
        socks = [self.socket(endpoint, address, socket.SOCK_STREAM) for address, _ in wanted]
        try:
            for sock, where in zip(socks, wanted, strict=True):
                sock.setblocking(False)
                sock.connect_ex(where)
            return _outcomes(socks, patience)
        finally:
            for sock in socks:
                sock.close()

    def check(self, endpoint: str, wanted: Mapping[tuple[str, int], str]) -> None:
        """Connect to each (address, port); fail unless the outcomes are those."""
        passing = [where for where, word in wanted.items() if word != "dropped"]
        silent = [where for where, word in wanted.items() if word == "dropped"]
        seen = dict(zip(passing, self.tcp(endpoint, *passing, patience=PATIENCE), strict=True))
        seen |= dict(zip(silent, self.tcp(endpoint, *silent), strict=True))
        assert seen == dict(wanted), f"from {endpoint}"

    def hold(self, endpoint: str, address: str, port: int = 80) -> Held:
        """A connection that stays open and can be asked whether it is alive."""
        sock = self.socket(endpoint, address, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        sock.connect((address, port))
        return Held(sock, address)

    def listen(self, endpoint: str, port: int, address: str = "::") -> socket.socket:
        """A TCP server in an endpoint, for both families; nobody need accept."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        both = address == "::"
        return self.inside(
            endpoint,
            lambda: socket.create_server((address, port), family=family, dualstack_ipv6=both),
        )

    # ------------------------------------------------------------ DNS, ICMP

    def ask(
        self,
        endpoint: str,
        name: str,
        kind: str = "A",
        server: str = RESOLVER,
        port: int = 53,
        patience: float = PATIENCE,
    ) -> Asked:
        """One question by UDP."""
        query = DNSRecord.question(name, kind)
        with self.socket(endpoint, server, socket.SOCK_DGRAM) as sock:
            sock.settimeout(patience)
            sock.connect((server, port))
            try:
                sock.send(query.pack())
                answer = DNSRecord.parse(sock.recv(65535))
            except TimeoutError:
                return Asked("TIMEOUT")
        rcode = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}[answer.header.rcode]
        return Asked(rcode, tuple(str(r.rdata) for r in answer.rr if r.rtype in (1, 28)))

    def learn(self, endpoint: str, name: str, *addresses: str, ttl: int | None = None) -> None:
        """Let the world say so, and the endpoint ask for it."""
        self.lab.world.set(name, addresses, ttl)
        for kind, family in (("A", "."), ("AAAA", ":")):
            told = {a for a in addresses if family in a}
            if told:
                assert set(self.ask(endpoint, name, kind).addresses) == told

    def ping(self, endpoint: str, address: str, patience: float = SILENCE) -> bool:
        """Whether an echo request is answered."""
        v6 = ":" in address
        proto = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
        with self.socket(endpoint, address, socket.SOCK_RAW, proto) as sock:
            request = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, os.getpid() & 0xFFFF, 1)
            if not v6:
                request = request[:2] + struct.pack("!H", _checksum(request)) + request[4:]
            sock.connect((address, 0))
            sock.send(request)
            end = time.monotonic() + patience
            while select.select([sock], [], [], max(0.0, end - time.monotonic()))[0]:
                got = sock.recv(2048)
                if got[0 if v6 else (got[0] & 15) * 4] == (129 if v6 else 0):
                    return True
        return False

    # ------------------------------------------------------------ policies

    @contextlib.contextmanager
    def policy(self, *texts: str) -> Iterator[Any]:
        """Have these policies, applied together; they are withdrawn afterwards."""
        applied = self.lab.apply("---\n".join(texts))
        assert not applied.late, applied
        try:
            yield applied
        finally:
            for one in applied.policies:
                self.lab.delete_policy(one.name, one.namespace, one.kind)

    def forget(self) -> None:
        """No policy, no records."""
        for one in self.lab.policy_statuses():
            self.lab.delete_policy(one.name, one.namespace, one.kind)
        self.lab.world.clear()


class Held:
    """An established connection to a web server of the world."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.sock = sock
        self._address = address

    def alive(self, patience: float = PATIENCE) -> bool:
        """Whether a request on it is answered."""
        host = f"[{self._address}]" if ":" in self._address else self._address
        self.sock.settimeout(patience)
        try:
            self.sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            answer = http.client.HTTPResponse(self.sock, method="GET")
            answer.begin()
            assert answer.read(), "an answer without a body"
        except TimeoutError:
            return False
        return answer.status == 200

    def close(self) -> None:
        """Close it."""
        self.sock.close()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _outcomes(socks: list[socket.socket], patience: float) -> list[str]:
    end = time.monotonic() + patience
    open_yet = {s.fileno(): n for n, s in enumerate(socks)}
    words = ["dropped"] * len(socks)
    poll = select.poll()
    for fd in open_yet:
        poll.register(fd, select.POLLOUT)
    while open_yet and (left := end - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            number = open_yet.pop(fd)
            poll.unregister(fd)
            error = socks[number].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            words[number] = {0: "open", errno.ECONNREFUSED: "refused"}.get(
                error, os.strerror(error)
            )
    return words


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


# ---------------------------------------------------------------- policies as values

WEB = {"matchLabels": {"app": "web"}}
KUBE_DNS = {"k8s:io.kubernetes.pod.namespace": "kube-system", "k8s:k8s-app": "kube-dns"}


def dns(*patterns: str, port: str = "53") -> dict[str, Any]:
    """A rule that redirects DNS to the lab's resolver and allows these patterns."""
    rules = [{"matchPattern" if "*" in p else "matchName": p} for p in patterns]
    ports = [{"port": port, "protocol": "ANY"}]
    return {
        "toEndpoints": [{"matchLabels": KUBE_DNS}],
        "toPorts": [{"ports": ports, "rules": {"dns": rules}}],
    }


def ports(*wanted: str, protocol: str = "TCP", end: int = 0) -> list[dict[str, Any]]:
    """``toPorts`` of plain ports."""
    more = {"endPort": end} if end else {}
    return [{"ports": [{"port": p, "protocol": protocol, **more} for p in wanted]}]


def names(*patterns: str, port: str = "443") -> dict[str, Any]:
    """A ``toFQDNs`` rule."""
    selectors = [{"matchPattern" if "*" in p else "matchName": p} for p in patterns]
    return {"toFQDNs": selectors, "toPorts": ports(port)}


def cnp(
    name: str,
    *egress: dict[str, Any],
    kind: str = "CiliumNetworkPolicy",
    namespace: str = "default",
    selects: dict[str, Any] | None = None,
    **spec: Any,
) -> str:
    """A policy's text; JSON is YAML."""
    body = {"endpointSelector": WEB if selects is None else selects, **spec}
    if egress:
        body["egress"] = list(egress)
    metadata = {"name": name}
    if kind == "CiliumNetworkPolicy":
        metadata["namespace"] = namespace
    document = {
        "apiVersion": "cilium.io/v2",
        "kind": kind,
        "metadata": metadata,
        "spec": body,
    }
    return json.dumps(document) + "\n"
