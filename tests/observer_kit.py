"""A real observer process over the real kernel's events, without a lab around it.

Packets are judged by the real programs through BPF_PROG_TEST_RUN, DNS records go through the real
socket; only who sends them is the test.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc

from fqdnlab.datapath import abi
from fqdnlab.datapath.libbpf import prog_test_run
from fqdnlab.datapath.loader import Loader
from fqdnlab.datapath.maps import Maps
from fqdnlab.model.dnsrecord import DnsRecord, pack_record
from fqdnlab.model.settings import LabSettings
from fqdnlab.paths import LabPaths
from fqdnlab.pb import observer_pb2, observer_pb2_grpc
from fqdnlab.testing import eventually
from tests.observer_data import API, EP, EP4, EP6, FQDN_IDENTITY, RULE, RULES

LO = 1  # ifindex of the loopback: packets are judged as if they came in there
_libc = ctypes.CDLL(None, use_errno=True)


class Kit:
    """One lab's worth of paths and maps, and the observer on it."""

    def __init__(self, lab: str, **settings: Any) -> None:
        self.lab = lab
        self.settings = LabSettings(**settings)
        self.paths = LabPaths(lab)
        for directory in (self.paths.client, self.paths.bpf, self.paths.proxy):
            directory.mkdir(parents=True)
        self.paths.client.chmod(0o700)
        if _libc.mount(b"bpf", os.fsencode(self.paths.bpf), b"bpf", 0, None):
            raise OSError(ctypes.get_errno(), "mount a bpffs: these tests need root")
        self.loader = Loader(self.paths.bpf, self.settings)
        self.maps = Maps(self.paths.bpf, self.settings.max_conntrack)
        self.maps.make_conntrack(EP)
        self.maps.put_endpoint(LO, EP, 1, 257, abi.ENDPOINT_ENFORCED, EP4, EP6)
        self.maps.put_config(1, 0, False)
        self.allow(FQDN_IDENTITY, 6, 443, rule=RULE)
        self.allow(0, 6, 25, rule=13, verdict=abi.VERDICT_DENY)
        self.address(API, FQDN_IDENTITY)
        self.write_rules(RULES)
        self.process: subprocess.Popen[bytes] | None = None
        self._channels: list[grpc.Channel] = []

    def write_rules(self, rules: dict[str, Any]) -> None:
        fresh = self.paths.rules_file.with_suffix(".new")
        fresh.write_text(json.dumps(rules), encoding="utf-8")
        fresh.replace(self.paths.rules_file)

    def allow(self, identity: int, proto: int, port: int, *, rule: int, verdict: int = 1) -> None:
        key = Maps.policy_key(1, identity, proto, port, 24)
        self.maps.policy.update(key, Maps.policy_value(rule, 0, verdict, 24))

    def address(self, address: str, identity: int, established: int = 0) -> None:
        self.maps.ipcache.update(
            *Maps.ipcache_entry(abi.ip16(address), identity, established or identity)
        )

    def send(self, packet: bytes) -> None:
        """Let the real program judge a packet of the endpoint."""
        prog_test_run(self.loader.program("from_endpoint"), packet, LO)

    def tell(self, *records: DnsRecord) -> None:
        """Send DNS records in one datagram."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"".join(map(pack_record, records)), str(self.paths.records_socket))

    # ------------------------------------------------------------ the process

    @staticmethod
    def command_for(lab: str, settings: str, ready: int = -1) -> list[str]:
        main = [sys.executable, "-m", "fqdnlab.observer"]
        return [*main, "--lab", lab, "--settings", settings, "--ready-fd", str(ready)]

    def command(self, ready: int = -1) -> list[str]:
        return self.command_for(self.lab, self.settings.to_json(), ready)

    def start(self) -> None:
        """Start the observer and wait for its word."""
        read, write = os.pipe()
        try:
            self.process = subprocess.Popen(self.command(write), pass_fds=(write,))
            os.close(write)
            seen, _, _ = select.select([read], [], [], 20)
            assert seen, "the observer said nothing for 20 s"
            assert os.read(read, 64) == b"ready\n", "the observer ended before it was ready"
        finally:
            os.close(read)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the observer; return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(10)
        self.process = None
        return status

    def pause(self) -> None:
        """Stop the observer in its tracks, and see that it stopped."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    # ------------------------------------------------------------ its clients

    def channel(self) -> grpc.Channel:
        channel = grpc.insecure_channel(f"unix://{self.paths.observer_socket}")
        self._channels.append(channel)
        return channel

    def stub(self) -> observer_pb2_grpc.ObserverStub:
        return observer_pb2_grpc.ObserverStub(self.channel())

    def responses(self, **request: Any) -> list[observer_pb2.GetFlowsResponse]:
        return list(self.stub().GetFlows(observer_pb2.GetFlowsRequest(**request), timeout=30))

    def flows(self, **request: Any) -> list[Any]:
        return [r.flow for r in self.responses(**request) if r.HasField("flow")]

    def wait_for(self, count: int, **request: Any) -> list[Any]:
        """Flows, once there are at least `count` of them."""

        def there() -> list[Any]:
            found = self.flows(**request)
            assert len(found) >= count, f"{len(found)} flows: {[f.Summary for f in found]}"
            return found

        return eventually(there, 5.0, f"{count} flows of {request}")

    def metrics(self) -> str:
        connection = http.client.HTTPConnection("unix")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.connect(str(self.paths.metrics_socket("observer")))
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def close(self) -> None:
        for channel in self._channels:
            channel.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
        self.maps.close()
        self.loader.close()
        _libc.umount2(os.fsencode(self.paths.bpf), 2)
        shutil.rmtree(self.paths.root)
        shutil.rmtree(self.paths.client)
        with contextlib.suppress(OSError):
            self.paths.root.parent.rmdir()  # if no other lab is there


@contextlib.contextmanager
def observer_kit(**settings: Any) -> Iterator[Kit]:
    """A kit with its observer started; everything is gone afterwards."""
    kit = Kit(f"obs-{os.getpid()}-{next(_numbers)}", **settings)
    try:
        kit.start()
        yield kit
    finally:
        kit.close()


_numbers = iter(range(1_000_000))
