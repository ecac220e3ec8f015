"""A real lab with a policy and a real client in its endpoint: what the proxy's tests ask with."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from dnslib import EDNS0, QTYPE, DNSHeader, DNSQuestion, DNSRecord

from fqdnlab import Lab
from fqdnlab.lab.endpoint import Endpoint
from fqdnlab.node import netns as namespaces
from fqdnlab.paths import netns

__all__ = ["API", "API6", "NAME", "POLICY", "RESOLVER", "RESOLVER6", "Got", "ProxyLab", "question"]

RESOLVER, RESOLVER6 = "10.96.0.10", "fd96::10"
NAME, API, API6 = "api.example.com", "198.51.100.7", "2001:db8::7"
#: Servers beside the resolver: at port 5353, and at 53; both families.
OTHER, OTHER6, THIRD = "192.0.2.53", "2001:db8:53::53", "192.0.2.54"
#: A server that no rule names.
STRANGER, STRANGER6 = "203.0.113.53", "2001:db8:99::53"

POLICY = f"""\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: web-egress}}
spec:
  endpointSelector: {{matchLabels: {{app: web}}}}
  egress:
  - toEndpoints:
    - matchLabels: {{"k8s:io.kubernetes.pod.namespace": kube-system, k8s-app: kube-dns}}
    toPorts:
    - ports: [{{port: "53", protocol: ANY}}]
      rules: {{dns: [{{matchPattern: "**.example.com"}}]}}
  - toCIDR: [{OTHER}/32, "{OTHER6}/128"]
    toPorts:
    - ports: [{{port: "5353", protocol: ANY}}]
      rules: {{dns: [{{matchPattern: "**.example.com"}}]}}
  - toCIDR: [{THIRD}/32]
    toPorts:
    - ports: [{{port: "53", protocol: UDP}}]
      rules: {{dns: [{{matchName: third.example.com}}]}}
  - toFQDNs: [{{matchPattern: "**.example.com"}}]
"""

_IPV6_FREEBIND = 78

#: stdin: JSON of the arguments of `ProxyLab.ask`; stdout: JSON of what came.
_CLIENT = r"""
import json, socket, struct, sys, time
job = json.load(sys.stdin)
family = socket.AF_INET6 if ":" in job["server"] else socket.AF_INET
where, end, got = (job["server"], job["port"]), time.monotonic() + job["timeout"], []
todo = [bytes.fromhex(one) for one in job["data"]]
def left():
    return max(0.001, end - time.monotonic())
def over_udp():
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    if job["source_port"]:
        s.bind(("", job["source_port"]))
    sent = []
    while len(got) < job["expect"] and time.monotonic() < end:
        while len(sent) < len(todo) and len(sent) - len(got) < job["window"]:
            s.sendto(todo[len(sent)], where)
            sent.append(time.monotonic())
        s.settimeout(left())
        try:
            data, source = s.recvfrom(65535)
        except TimeoutError:
            return
        got.append([data.hex(), source[0], source[1], time.monotonic() - sent[0]])
def over_tcp():
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(left())
    s.connect(where)
    peer = s.getpeername()[:2]
    begin = time.monotonic()
    s.sendall(b"".join(struct.pack("!H", len(one)) + one for one in todo))
    if job["half_close"]:
        s.shutdown(socket.SHUT_WR)
    data = b""
    while len(got) < job["expect"]:
        s.settimeout(left())
        more = s.recv(65535)
        if not more:
            return
        data += more
        while len(data) > 1 and len(data) >= 2 + (data[0] << 8 | data[1]):
            size = data[0] << 8 | data[1]
            got.append([data[2:2 + size].hex(), *peer, time.monotonic() - begin])
            data = data[2 + size:]
try:
    over_tcp() if job["transport"] == "tcp" else over_udp()
except OSError as error:
    print(error, file=sys.stderr)
json.dump(got, sys.stdout)
"""


class Got(NamedTuple):
    """What a client got, and from whom."""

    data: bytes
    source: str
    port: int
    seconds: float

    @property
    def record(self) -> DNSRecord:
        return DNSRecord.parse(self.data)

    @property
    def rcode(self) -> int:
        return self.data[3] & 15

    @property
    def addresses(self) -> list[str]:
        return [str(rr.rdata) for rr in self.record.rr if rr.rtype in (QTYPE.A, QTYPE.AAAA)]


def question(name: str = NAME, kind: str = "A", number: int = 4711, edns: int = 0) -> bytes:
    """A question's octets."""
    header = DNSHeader(id=number, rd=1)
    record = DNSRecord(header, q=DNSQuestion(name, QTYPE.reverse[kind]))
    if edns:
        record.add_ar(EDNS0(udp_len=edns))
    return bytes(record.pack())


class ProxyLab:
    """A lab with `POLICY`, one endpoint that it selects, and one that nothing selects."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.world = lab.world
        self.web = lab.endpoint("web", labels={"app": "web"})
        lab.apply(POLICY)
        self.reset()

    def reset(self) -> None:
        """The world as it was at first; its counts at nought."""
        self.world.clear_faults()
        self.world.clear()
        self.world.set(NAME, [API, API6], ttl=60)
        self.world.counts(reset=True)
        self._since = self.world.newest()

    def ask(
        self,
        *data: bytes,
        server: str = RESOLVER,
        port: int = 53,
        transport: str = "udp",
        timeout: float = 5.0,
        expect: int = -1,
        window: int = 64,
        half_close: bool = False,
        source_port: int = 0,
        endpoint: Endpoint | None = None,
    ) -> list[Got]:
        """Send octets from the endpoint; what came back, as many as expected (a question each)."""
        job = {
            "data": [one.hex() for one in data or (question(),)],
            "server": server,
            "port": port,
            "transport": transport,
            "timeout": timeout,
            "expect": max(1, len(data)) if expect < 0 else expect,
            "window": window,
            "half_close": half_close,
            "source_port": source_port,
        }
        who = endpoint or self.web
        done = who.run(
            ["python3", "-c", _CLIENT], timeout=timeout + 20, stdin=json.dumps(job).encode()
        )
        assert done.ok, done.stderr
        return [Got(bytes.fromhex(d), s, p, t) for d, s, p, t in json.loads(done.stdout)]

    def one(self, name: str = NAME, kind: str = "A", **words: Any) -> Got:
        """The only answer to one question; fails without one."""
        got = self.ask(question(name, kind), **words)
        assert len(got) == 1, f"{name} {kind}: no answer"
        return got[0]

    def asked(self, name: str = "") -> list[Any]:
        """Questions that came to the world since `reset`, for a name or for all."""
        return [q for q in self.world.queries(self._since) if not name or q.name.lower() == name]

    def upstream(self) -> int:
        """How many questions the world counted since `reset`."""
        return sum(count.count for count in self.world.counts())

    def metric(self, name: str, **labels: str) -> float:
        """The newest value of one of the proxy's metrics."""
        connection = http.client.HTTPConnection("127.0.0.1", self.lab.status().metrics_port)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        for line in text.splitlines():
            found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
            if found and all(f'{k}="{v}"' in (found[1] or "") for k, v in labels.items()):
                return float(found[2])
        raise LookupError(f"no {name} {labels} among {len(text.splitlines())} lines")

    def rows(self, name: str, **columns: Any) -> list[dict[str, Any]]:
        """The observer's rows of questions for a name, oldest first; with these values only."""
        found = self.lab.queries().to_dict("records")
        return [
            row
            for row in found
            if row["query"].rstrip(".") == name and all(row[k] == v for k, v in columns.items())
        ]

    def last(self, name: str) -> dict[str, Any]:
        """The newest of them; LookupError without one."""
        return self.rows(name)[-1]

    def inside(self, part: str, function: Callable[[], Any]) -> Any:
        """Call `function` in one of the lab's network namespaces."""
        return namespaces.inside(netns(self.lab.name, part), function)


@contextmanager
def proxy_lab(name: str, **settings: Any) -> Iterator[ProxyLab]:
    """A lab of that name; it is gone afterwards."""
    with Lab(name, **settings) as lab:
        yield ProxyLab(lab)


class Upstream:
    """A DNS server of the test's own in the world, on any address and port, as odd as need be.

    Parameters
    ----------
    bench : ProxyLab
    address : str
    port : int
    answer : callable
        Question's octets → octets to send back, none or many.
    """

    def __init__(
        self, bench: ProxyLab, address: str, port: int, answer: Callable[[bytes], Sequence[bytes]]
    ) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self._answer = answer
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def make() -> list[socket.socket]:
            found = []
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                one = socket.socket(family, kind)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
                one.bind((address, port))
                one.settimeout(0.1)
                found.append(one)
            found[1].listen(64)
            return found

        self._udp, self._tcp = bench.inside("world", make)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=t) for t in (self._serve_udp, self._serve_tcp)]

    def __enter__(self) -> Upstream:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while not self._stop.is_set():
            try:
                data, source = self._udp.recvfrom(65535)
            except TimeoutError:
                continue
            self.seen.append((source[0], data))
            for one in self._answer(data):
                self._udp.sendto(one, source)

    def _serve_tcp(self) -> None:
        while not self._stop.is_set():
            try:
                client, source = self._tcp.accept()
            except TimeoutError:
                continue
            with client:
                client.settimeout(0.1)
                self._serve_client(client, source[0])

    def _serve_client(self, client: socket.socket, source: str) -> None:
        data = b""
        while not self._stop.is_set():
            try:
                more = client.recv(65535)
            except TimeoutError:
                continue
            except OSError:
                return
            if not more:
                return
            data += more
            while len(data) > 1 and len(data) >= 2 + (data[0] << 8 | data[1]):
                size = data[0] << 8 | data[1]
                self.seen.append((source, data[2 : 2 + size]))
                for one in self._answer(data[2 : 2 + size]):
                    client.sendall(len(one).to_bytes(2, "big") + one)
                data = data[2 + size :]


def address_record(query: bytes, address: str = API, ttl: int = 60) -> bytes:
    """A plain good answer to a question's octets."""
    packed = socket.inet_aton(address)
    end = 12 + query[12:].index(b"\0") + 5
    head = query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
    return head + query[12:end] + b"\xc0\x0c\0\1\0\1" + ttl.to_bytes(4, "big") + b"\0\4" + packed
