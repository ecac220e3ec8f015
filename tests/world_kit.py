"""A real world process in a namespace of its own where every address is local, and its client."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from dnslib import DNSRecord

from fqdnlab.world.client import World

RESOLVER = "10.96.0.10"
API = "198.51.100.7"
API6 = "2001:db8::7"
OTHER = "192.0.2.53"
_SECONDS = 20
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class WorldKit:
    """One namespace, one world in it."""

    def __init__(self, name: str) -> None:
        self.netns = name
        self.directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.path = self.directory / "client" / "world.sock"
        self.state = self.directory / "state"
        self.metrics = self.directory / "metrics.sock"
        self.path.parent.mkdir(mode=0o700)
        self.process: subprocess.Popen[bytes] | None = None
        _ip("netns", "add", name)
        for words in (
            "link set lo up",
            "route add local 0.0.0.0/0 dev lo table local",
            "-6 route add local ::/0 dev lo table local",
        ):
            _ip("-n", name, *words.split())
        self.world = World(self.path)

    def start(self) -> None:
        """Start the world and wait for its word."""
        read, write = os.pipe()
        try:
            command = ["-m", "fqdnlab.world", "--socket", self.path, "--state", self.state]
            command += ["--metrics", self.metrics]
            self.process = subprocess.Popen(
                [*self.inside, sys.executable, *map(str, command), "--ready-fd", str(write)],
                pass_fds=(write,),
            )
            os.close(write)
            seen, _, _ = select.select([read], [], [], _SECONDS)
            assert seen, "the world said nothing"
            assert os.read(read, 64) == b"ready\n", "the world ended before it was ready"
        finally:
            os.close(read)

    @property
    def inside(self) -> list[str]:
        """What to put before a command, so that it runs in the namespace."""
        return ["ip", "netns", "exec", self.netns]

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the namespace; return what it printed."""
        done = subprocess.run(
            [*self.inside, *command], capture_output=True, text=True, timeout=_SECONDS
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def dig(self, *words: str, check: bool = True) -> str:
        """Run dig with a short time-out and one try; return what it printed."""
        return self.run("dig", "+time=2", "+tries=1", *words, check=check)

    def socket_inside(self, family: int, kind: int) -> socket.socket:
        """A socket of the namespace, with a time-out of 5 s: made in a thread that goes there."""
        made: list[socket.socket | OSError] = []

        def make() -> None:
            try:
                with open(f"/run/netns/{self.netns}") as namespace:
                    if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                made.append(socket.socket(family, kind))
            except OSError as error:
                made.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        found = made[0]
        if isinstance(found, OSError):
            raise found
        found.settimeout(5)
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the world; return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(10)
        self.process = None
        return status

    def close(self) -> None:
        """Take everything away."""
        self.world.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
        _ip("netns", "delete", self.netns)
        shutil.rmtree(self.directory)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=_SECONDS)
    assert done.returncode == 0, f"ip {words}: {done.stderr}"


_numbers = iter(range(1_000_000))


@contextlib.contextmanager
def world_kit() -> Iterator[WorldKit]:
    """A world that runs; everything is gone afterwards."""
    kit = WorldKit(f"fqdnlab-w{os.getpid()}-{next(_numbers)}")
    try:
        kit.start()
        yield kit
    finally:
        kit.close()


def emptied(kit: WorldKit) -> WorldKit:
    """The same world, as if it were new."""
    kit.world.clear()
    kit.world.clear_faults()
    kit.world.counts(reset=True)
    return kit


def short(kit: WorldKit, *words: str) -> list[str]:
    return kit.dig(f"@{RESOLVER}", "+short", *words).split()


def status(text: str) -> str:
    return text.split("status: ")[1].split(",")[0]


def question(name: str, kind: str = "A", number: int = 4711) -> bytes:
    record = DNSRecord.question(name, kind)
    record.header.id = number
    return bytes(record.pack())


def exchange(kit: WorldKit, data: bytes, server: str = RESOLVER) -> list[tuple[bytes, str, int]]:
    """Send a datagram; what comes until a second question, which is answered well, is answered."""
    last = question("end.example", number=1)
    with kit.socket_inside(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, (server, 53))
        sock.sendto(last, ("192.0.2.99", 53))
        got = []
        while True:
            answer, source = sock.recvfrom(65535)
            if source[0] == "192.0.2.99":
                return got
            got.append((answer, source[0], source[1]))
