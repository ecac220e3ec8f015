"""A forecast is what the kernel then does, in verdict, reason and rule; and its remedy is one."""

from __future__ import annotations

import ipaddress
import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from fqdnlab.explain import Explanation, Facts, forecast
from fqdnlab.explain.case import PROTOCOLS
from fqdnlab.lab import Lab, machine_service
from fqdnlab.lab.endpoint import Endpoint
from fqdnlab.testing import eventually
from tests.explain_kit import PORTS, RESOLVER, WEB, Case, Sender, policies
from tests.remedy_kit import carried_out, losses

#: The whole run is in the fixture, so that its tests only read.
pytestmark = pytest.mark.timeout(240)

ROUNDS = (
    "calm",
    "expired",
    "agent dead",
    "no default deny",
    "expired",
    "agent dead",
    "calm",
    "proxy dead",
)
SEED = 20260
NAMES = [f"{first}.{zone}.test" for zone in ("a", "b", "c") for first in ("one", "two", "x1", "x2")]
INTERNAL = ("10.10.255.254", "172.31.0.1")


def _base(fault: str) -> int:
    """Addresses that are to expire are no other round's."""
    return 128 if fault == "expired" else 0


class Bench:
    """A lab with one endpoint that sends, and what came of all rounds."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.web: Endpoint = lab.endpoint("web", labels=WEB)
        self.db: Endpoint = lab.endpoint("db", labels={"app": "db"})
        self.sender = Sender(lab, self.web)
        self.outcomes: Counter[str] = Counter()
        self.remedies: Counter[str] = Counter()
        self.thought: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.unhelped: list[str] = []
        self.failing: list[str] = []
        self._fresh = 0

    # ------------------------------------------------------------ a round

    def play(self, number: int, fault: str) -> None:
        rng = random.Random(SEED + number)
        self._world(rng, fault)
        text = policies(rng, NAMES, fault != "no default deny")
        for name in self.lab.policies()["name"]:
            self.lab.delete_policy(name)
        assert not self.lab.apply(text).late
        self.sender.look_up(rng.sample(NAMES, 8))
        held = self._fault(rng, fault)
        try:
            self._compare(f"round {number} ({fault})", self._cases(rng, fault))
        finally:
            if held is not None:
                held.signal(9)
                held.wait(20)
        self._remedy(rng, f"round {number} ({fault})", text, fault)
        for process in ("agent", "proxy"):
            if getattr(self.lab, process).state().state != "running":
                getattr(self.lab, process).start()

    def _world(self, rng: random.Random, fault: str) -> None:
        """Every name has one address of each family; those of a.test move with each round."""
        for n, name in enumerate(NAMES):
            host = n + 1 + (rng.randrange(3) * 16 if ".a." in name else 48) + _base(fault)
            addresses = [f"198.51.100.{host}", f"2001:db8::{host:x}"]
            self.lab.world.set(name, addresses, ttl=1 if fault == "expired" else 3600)

    def _fault(self, rng: random.Random, fault: str) -> Any:
        if fault == "agent dead":
            self.lab.agent.kill()
            self.sender.look_up(rng.sample(NAMES, 4))  # some of them are kept, and wait
        if fault == "proxy dead":
            self.lab.proxy.kill()
        return self._expire() if fault == "expired" else None

    def _expire(self) -> Any:
        """Mappings expire; those of a connection that is held open become zombies."""
        code = (
            "import socket, sys, time\n"
            "held = [socket.create_connection((a, 443), 5) for a in sys.argv[1:]]\n"
            "print('held', flush=True)\ntime.sleep(300)\n"
        )
        names = [n for n in NAMES if n.endswith(".a.test")]
        self.sender.look_up(names)
        open_ = [a for n in names for a in self.lab.world[n] if self._passes(a)]
        running = self.web.popen(["python3", "-c", code, *open_], timeout=120)
        running.wait_for_output("held")
        eventually(lambda: self._states(names) <= {"zombie"}, 10.0, "only zombies")
        return running

    def _states(self, names: list[str]) -> set[str]:
        """States of the mappings of addresses that `names` have now, after a pass."""
        self.lab.collect()
        addresses = [a for n in names for a in self.lab.world[n]]
        found = self.lab.mappings()
        return set(found[found.ip.isin(addresses)].state)

    def _passes(self, address: str) -> bool:
        return forecast(self.lab.facts(), "web", address, 443).verdict == "FORWARDED"

    def _cases(self, rng: random.Random, fault: str) -> list[Case]:
        """Packets to addresses first, then to names nobody has asked for."""
        hosts = [f"198.51.100.{rng.randrange(1, 62) + _base(fault)}" for _ in range(24)]
        hosts += [f"2001:db8::{rng.randrange(1, 62) + _base(fault):x}" for _ in range(12)]
        hosts += ["203.0.113.7", "192.0.2.1", RESOLVER, RESOLVER, "fd96::10", *INTERNAL]
        hosts += [self.db.ip4, self.db.ip6]
        cases = []
        for host in hosts:
            port = rng.choice((443, 53) if host in (RESOLVER, "fd96::10") else PORTS)
            v6 = ipaddress.ip_address(host).version == 6
            cases.append(Case(host, rng.choice(("TCP", "TCP", "UDP")), port, v6))
        if fault == "expired":
            held = [a for n in NAMES if n.endswith(".a.test") for a in self.lab.world[n]]
            cases += [Case(a, "TCP", 443, ":" in a) for a in held]
        pings = {h for h in rng.sample(hosts, 12) if h not in INTERNAL}
        for host in sorted(pings):
            v6 = ipaddress.ip_address(host).version == 6
            cases.append(Case(host, "ICMPv6" if v6 else "ICMPv4", 128 if v6 else 8, v6))
        return [*cases, *self._named(rng)] if fault != "proxy dead" else cases

    def _named(self, rng: random.Random) -> Iterator[Case]:
        """Names of this round alone, at addresses that no other name has."""
        for _ in range(14):
            self._fresh += 1
            name = f"{rng.choice('xn')}{self._fresh}.{rng.choice('abc')}.test"
            self.lab.world.set(name, [f"198.51.{101 + self._fresh // 200}.{self._fresh % 200}"])
            yield Case(name, rng.choice(("TCP", "UDP")), rng.choice(PORTS))

    # ------------------------------------------------------------ judging

    def _compare(self, where: str, cases: list[Case]) -> None:
        facts = self.lab.facts()
        told = [forecast(facts, "web", c.target, c.port, c.protocol) for c in cases]
        self._think(where, facts, cases, told)
        for case, said, row in zip(cases, told, self.sender.send(cases), strict=True):
            if row is None:
                self.outcomes["no address"] += 1
                seen: tuple[str, ...] = ("no packet",)
                mine: tuple[str, ...] = (
                    ("no packet",) if "no packet" in said.steps[-1].detail else ()
                )
            else:
                self.outcomes[row["reason"] or row["verdict"]] += 1
                seen = (row["verdict"], row["reason"], row["rule"])
                mine = (said.verdict, said.reason, said.rule.title if said.rule else "")
            if seen != mine:
                self.wrong.append(f"{where}: {case}: seen {seen}, told {mine}\n{said}")

    def _think(self, where: str, facts: Facts, cases: list[Case], told: list[Explanation]) -> None:
        """Every remedy of the round, in thought: its packet passes, and all that passed before."""
        packets = [
            (c.target, PROTOCOLS[c.protocol], c.port)
            for c in cases
            if c.target[-1].isdigit() or ":" in c.target
        ]
        for case, said in zip(cases, told, strict=True):
            if said.verdict != "DROPPED":
                continue
            assert said.remedy is not None
            self.thought[said.remedy.action] += 1
            if said.remedy.action == "none":
                if said.reason != "FQDNLAB_INTERNAL_ADDRESS":
                    self.failing.append(f"{where}: {case}: no remedy\n{said}")
                continue
            after = carried_out(facts, said)
            passed = forecast(after, "web", case.target, case.port, case.protocol)
            if passed.verdict == "DROPPED":
                self.failing.append(f"{where}: {case}: dropped still\n{said}\n{passed}")
            if lost := losses(facts, after, packets, NAMES):
                self.failing.append(f"{where}: {case}: lost {lost}\n{said}")

    def _remedy(self, rng: random.Random, where: str, text: str, fault: str) -> None:
        """Do what a sample of explanations proposes, one by one, each from the same beginning."""
        tried: Counter[str] = Counter()
        cases = self._cases(rng, fault)
        rng.shuffle(cases)
        for case in [*self._awaiting(fault), *cases]:
            said = self.lab.explain("web", case.target, case.port, case.protocol)
            if said.verdict != "DROPPED" or said.remedy is None or said.remedy.action == "none":
                continue
            kind = f"{said.remedy.action} {said.reason}"
            if tried[kind] >= 2 or sum(tried.values()) >= 6:
                continue
            tried[kind] += 1
            self.remedies[said.remedy.action] += 1
            self.lab.carry_out(said)
            (row,) = self.sender.send([case])
            if row is None or row["verdict"] == "DROPPED":
                self.unhelped.append(f"{where}: {case}: {row}\n{said}")
            self._undo(text)

    def _awaiting(self, fault: str) -> Iterator[Case]:
        """What only a process that is dead keeps from passing: resolved, and not yet."""
        if fault not in ("agent dead", "proxy dead"):
            return
        for asked in (True, False):
            process = getattr(self.lab, fault.split()[0])
            if process.state().state == "running":
                process.kill()
            self._fresh += 1
            name = f"w{self._fresh}.a.test"
            self.lab.world.set(name, [f"198.51.{101 + self._fresh // 200}.{self._fresh % 200}"])
            if asked and fault == "agent dead":
                self.sender.look_up([name])
                yield Case(self.lab.world[name][0], "TCP", 443)
            yield Case(name, "TCP", 443)

    def _undo(self, text: str) -> None:
        if self.lab.agent.state().state != "running":
            return
        for name in self.lab.policies()["name"]:
            if name.startswith("allow-"):
                self.lab.delete_policy(name)
        assert not self.lab.apply(text).late


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    settings = {
        "time_scale": 50.0,
        "collection_interval": 36000.0,
        "trace_udp_redirects": True,
        "hold": 2.0,  # a slow machine's early answer is no wrong forecast
    }
    with machine_service(), Lab(f"agrees-{os.getpid()}", **settings) as lab:
        made = Bench(lab)
        for number, fault in enumerate(ROUNDS):
            made.play(number, fault)
        yield made


def test_every_forecast_is_what_the_kernel_did(bench: Bench) -> None:
    assert sum(bench.outcomes.values()) >= 500, bench.outcomes
    assert not bench.wrong, f"{len(bench.wrong)} differ; {bench.wrong[0]}"


def test_the_cases_are_of_every_kind(bench: Bench) -> None:
    least = {
        "FORWARDED": 50,
        "REDIRECTED": 5,
        "POLICY_DENIED": 50,
        "POLICY_DENY": 15,
        "FQDNLAB_ZOMBIE_NEW_FLOW": 3,
        "FQDNLAB_INTERNAL_ADDRESS": 5,
        "FQDNLAB_NO_PROXY": 1,
        "no address": 5,
    }
    short = {kind: bench.outcomes[kind] for kind, n in least.items() if bench.outcomes[kind] < n}
    assert not short, bench.outcomes


def test_every_remedy_in_thought_lets_its_packet_pass_and_takes_nothing_away(bench: Bench) -> None:
    assert not bench.failing, f"{len(bench.failing)} fail; {bench.failing[0]}"
    print(f"remedies in thought: {dict(bench.thought)}")
    assert bench.thought.total() - bench.thought["none"] >= 350, bench.thought
    assert {"apply", "restart", "look-up"} <= bench.thought.keys(), bench.thought


def test_every_remedy_lets_its_packet_pass(bench: Bench) -> None:
    assert not bench.unhelped, f"{len(bench.unhelped)} did not; {bench.unhelped[0]}"
    assert sum(bench.remedies.values()) >= 25, bench.remedies
    assert {"apply", "restart"} <= bench.remedies.keys(), bench.remedies
