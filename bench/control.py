"""Control: policies of 1,000 rules, one more address, 100,000 mappings, the agent restarted."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence

import grpc

from bench.control_load import (
    PORT,
    HeldFlow,
    address,
    name,
    nobodys,
    policies,
    resident,
    teach,
)
from bench.figures import BenchError, Sample, Target
from bench.labs import pids
from bench.programs import cpu_seconds
from fqdnlab.datapath.maps import Maps
from fqdnlab.lab import Lab
from fqdnlab.paths import LabPaths
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc

__all__ = ["Bench"]

RULES, ENDPOINTS, MAPPINGS = 1000, 200, 100_000
#: How many policies the rules are in; each endpoint is selected by one of them.  The last stays.
SPLITS = (1, 200, 10)
_APPLIED, _WRITES, _START, _MEMORY = "applied", "map writes", "serving again", "memory a mapping"
_CPU = "CPU of the start"
_NEW, _KILLED, _STOPPED = "one more address", "agent killed", "agent restarted"
_HELD = "198.51.100.9"
_LARGE = [("grpc.max_receive_message_length", -1)]


def _split(count: int) -> str:
    return f"{RULES:,} rules in {count} {'policy' if count == 1 else 'policies'}"


class Bench:
    """One lab with 200 endpoints, whose agent is asked as its clients and its proxy ask it."""

    name = "control"
    title = f"Control: {ENDPOINTS} endpoints, {MAPPINGS:,} mappings"
    targets: Sequence[Target] = (
        *(Target(f"{_split(n)}, s", _split(n), "", _APPLIED, at_most=2) for n in SPLITS),
        Target("one more address of a known name, writes", _NEW, "", _WRITES, at_most=1),
        Target("agent restart, s", _STOPPED, "", _START, at_most=3),
        Target("agent's start after SIGKILL, s", _KILLED, "", _START, at_most=3),
        Target("agent's memory a mapping, octets", "agent", "", _MEMORY, at_most=1024),
    )

    def __init__(self) -> None:
        self.absent: Mapping[str, str] = {}

    def run(self, runs: int, quick: bool, tell: Callable[[str], None]) -> list[Sample]:
        """See `bench.figures.Section`."""
        samples: list[Sample] = []
        with Lab("bench-control", max_ipcache=MAPPINGS * 2) as lab:
            begin = time.monotonic()
            for n in range(ENDPOINTS):
                lab.endpoint(f"e{n}", labels={f"in-{count}": str(n % count) for count in SPLITS})
            tell(f"{ENDPOINTS} endpoints made in {time.monotonic() - begin:.1f} s")
            with Asked(lab) as asked:
                samples += [s for run in range(runs) for s in asked.apply(run)]
                samples += [asked.one_more(run) for run in range(runs)]
                samples.append(asked.fill())
                tell(f"{MAPPINGS:,} mappings learned")
                samples += [s for run in range(runs) for s in asked.restarts(run)]
        return samples


class Asked:
    """A lab's agent, asked as clients and proxies ask it."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._paths = LabPaths(lab.name)
        self._channel = grpc.insecure_channel(f"unix:{self._paths.agent_socket}", options=_LARGE)
        self._agent = control_pb2_grpc.AgentStub(self._channel)
        self._endpoint = next(e.id for e in lab.endpoints() if e.name == "e0")

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def _status(self) -> pb.AgentStatus:
        request = pb.AgentStatusRequest()
        found: pb.AgentStatus = self._agent.Status(request, timeout=30, wait_for_ready=True)
        return found

    def _maps(self) -> set[tuple[str, str, str]]:
        reply = self._agent.ListMaps(pb.ListMapsRequest(), timeout=60)
        return {(e.map, e.key, e.value) for e in reply.entry}

    def apply(self, run: int) -> list[Sample]:
        """Applied and acknowledged by the proxy, in each split; the last one stays."""
        samples = []
        for count in SPLITS:
            self._lab.apply(nobodys(max(SPLITS)), timeout=60)
            text = policies(count, RULES)
            begin = time.monotonic()
            late = self._lab.apply(text, timeout=60).late
            took = time.monotonic() - begin
            enforced = sum("enforced 1" in v for m, _, v in self._maps() if m == "endpoints")
            if late or enforced != ENDPOINTS:
                raise BenchError(f"{enforced} of {ENDPOINTS} endpoints are enforced, late: {late}")
            samples.append(Sample(_split(count), _APPLIED, took, "s", run))
        return samples

    def one_more(self, run: int) -> Sample:
        """A known name gains an address: what the agent wrote, and what the kernel has more."""
        first, second = MAPPINGS + 2 * run, MAPPINGS + 2 * run + 1
        teach(self._lab, self._endpoint, [(name(0), address(first))])
        before, epoch = self._maps(), self._epoch()
        teach(self._lab, self._endpoint, [(name(0), address(second))])
        dump = json.loads(self._agent.Dump(pb.DumpRequest(), timeout=60).json)
        last = dump["events"][-1]
        if last["kind"] != "learn" or address(second).hex() not in json.dumps(last["what"]):
            raise BenchError(f"the agent's last event is another: {last}")
        changed = len(self._maps() ^ before) + (self._epoch() - epoch)
        if changed != last["count"]:
            raise BenchError(f"{last['count']} writes were told, {changed} things changed")
        return Sample(_NEW, _WRITES, last["count"], "writes", run)

    def _epoch(self) -> int:
        with Maps(self._paths.bpf) as maps:
            return maps.epoch()

    def fill(self) -> Sample:
        """100,000 mappings of 990 names; what the agent holds more by them, each."""
        each = RULES // SPLITS[-1]  # the last rule of each policy is the one for DNS
        known = [name(n) for n in range(RULES) if n % each != each - 1]
        mappings = [(known[n % len(known)], address(n)) for n in range(MAPPINGS)]
        (pid,) = pids(self._lab, "agent")
        before = resident(pid)
        teach(self._lab, self._endpoint, mappings)
        return Sample("agent", _MEMORY, (resident(pid) - before) / MAPPINGS, "octets", 0)

    def restarts(self, run: int) -> list[Sample]:
        """Ended and started, then killed and started, while a connection talks on."""
        teach(self._lab, self._endpoint, [(name(0), socket.inet_aton(_HELD))])
        samples = []
        with HeldFlow.held(self._lab, "e0", _HELD, PORT):
            for path, killed in ((_STOPPED, False), (_KILLED, True)):
                if killed:
                    self._lab.agent.kill()
                begin = time.monotonic()
                if killed:
                    self._lab.agent.start()
                else:
                    self._lab.agent.restart()
                status = self._status()
                took = time.monotonic() - begin
                if status.mappings < MAPPINGS or status.endpoints != ENDPOINTS:
                    raise BenchError(f"after a start the agent has forgotten: {status}")
                samples.append(Sample(path, _START, took, "s", run))
                samples.append(Sample(path, _CPU, cpu_seconds(pids(self._lab, "agent")), "s", run))
        return samples
