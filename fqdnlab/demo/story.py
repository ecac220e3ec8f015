"""The story: what is done, in order, and what is looked at to judge each claim.

Written against the public client only, with unmodified clients inside the endpoints.  A test may
hand in `Hooks` to spoil one mechanism at a time; each claim must then fail.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fqdnlab.demo import clients
from fqdnlab.demo.claims import CLAIMS, Findings, Outcome
from fqdnlab.demo.policies import UNSUPPORTED, WEB_EGRESS
from fqdnlab.demo.rate import at_rate, upgrade_rate
from fqdnlab.demo.watch import Watch
from fqdnlab.lab import Endpoint, Lab, Result
from fqdnlab.patience import patience, patiently

__all__ = ["ADDRESSES", "SETTINGS", "TRACKER", "Hooks", "Story"]

#: Short lives, so that the established connection outlives the mapping that let it in.
SETTINGS: dict[str, Any] = {"collection_interval": 5.0}
TTL = 10
RESOLVER = "10.96.0.10"
API, CDN, TRACKER = "api.example.com", "img.cdn.example.com", "tracker.ads.net"
FIRST, SECOND, THIRD = "198.51.100.7", "198.51.100.8", "198.51.100.9"
CDN_AT, TRACKER_AT = "203.0.113.19", "192.0.2.66"
ADDRESSES = (FIRST, SECOND, THIRD, CDN_AT, TRACKER_AT)
#: States of a mapping in which new connections pass, too.
_OPEN = {"enforced", "expired"}


def _nothing(_: Lab) -> None:
    """The default of every hook."""


@dataclass(frozen=True)
class Hooks:
    """Where a saboteur may step in, and what it may replace.

    Attributes
    ----------
    before : dict of int to callable
        Called with the lab before the claim of that number is played.
    kill_agent, upgrade_proxy : callable
        What is done to kill the agent, to upgrade the proxy.
    unsupported : str
        The policy of claim 7.
    """

    before: dict[int, Callable[[Lab], None]] = field(default_factory=dict)
    kill_agent: Callable[[Lab], Any] = lambda lab: lab.agent.kill()
    upgrade_proxy: Callable[[Lab], Any] = lambda lab: lab.proxy.upgrade()
    unsupported: str = UNSUPPORTED


class Story:
    """Plays the nine claims in one lab.

    Parameters
    ----------
    lab : Lab
        A fresh lab with `SETTINGS`.
    hooks : Hooks
        For saboteurs; the default changes nothing.
    tell : callable
        Called with a sentence at each step.
    rate : float
        Queries per second of claim 9.
    patience : float
        Seconds that clients and eyes wait for what should come (where a claim holds, it does), on a
        machine of our own; on a slow one all of the story takes longer (`fqdnlab.patience`).
    """

    def __init__(
        self,
        lab: Lab,
        hooks: Hooks | None = None,
        tell: Callable[[str], None] = lambda _: None,
        rate: float = 1000.0,
        patience: float = 5.0,
    ) -> None:
        self.lab = lab
        self.hooks = hooks or Hooks()
        self.tell = tell
        self.rate = rate
        self.patience = patience
        self._seconds = patiently(patience)
        self._ttl = round(patiently(TTL))
        self._dig_time = f"+time={max(1, round(self._seconds))}"
        self.watch = Watch(lab)
        self.changes: list[dict[str, Any]] = []
        self.outcomes: list[Outcome] = []
        self._held: Any = None
        self._revision = 0

    def play(self, last: int = 8) -> list[Outcome]:
        """Play all up to claim `last` (8 is the last to be judged).

        Returns
        -------
        list of Outcome
            In order of their numbers.
        """
        self._prepare()
        for number, act in (
            (1, self._claim_1),
            (2, self._claim_2),
            (3, self._claim_3),
            (4, self._claim_4),
            (5, self._claim_5),
            (6, self._claim_6),
            (7, self._claim_7),
            (9, self._claim_9),
            (8, self._claim_8),  # last: the connection has to survive all of it
        ):
            self.outcomes.append(self._judge(number, act))
            if number == last:
                break
        self.outcomes.sort(key=lambda o: o.claim.number)
        return self.outcomes

    def _judge(self, number: int, act: Callable[[Findings], None]) -> Outcome:
        found = Findings(CLAIMS[number])
        self.tell(f"{number}. {found.claim.text}")
        self.hooks.before.get(number, _nothing)(self.lab)
        try:
            act(found)
        except Exception as error:  # a claim that could not be checked has failed; the rest goes on
            found.failures.append(f"{type(error).__name__}: {error}")
        return found.outcome()

    # ------------------------------------------------------------------ the acts

    def _prepare(self) -> None:
        self._move(API, FIRST, say=False)
        self._move(CDN, CDN_AT, say=False)
        self._move(TRACKER, TRACKER_AT, say=False)
        self.free = self.lab.endpoint("free", labels={"app": "free"})
        self.web = self.lab.endpoint("web", labels={"app": "web"})
        self.batch = self.lab.endpoint("batch", labels={"app": "batch"})

    def _claim_1(self, found: Findings) -> None:
        for name, address in ((API, FIRST), (TRACKER, TRACKER_AT)):
            answer = self._dig(self.free, name)
            found.see(address in answer, f"{name} → {address}", f"dig {name}: {answer}")
            self._reaches(found, self.free, f"http://{name}/", address)
        direct = self.watch.until(lambda: self.watch.packets("free", port=53, verdict="FORWARDED"))
        found.see(
            direct > 0, f"{direct} DNS flows forwarded as they are", "no DNS flow of it was seen"
        )
        redirected = self.watch.questions("free")
        found.see(
            redirected == 0, "0 through the proxy", f"{redirected} questions went through the proxy"
        )

    def _claim_2(self, found: Findings) -> None:
        reply = self.lab.apply(WEB_EGRESS)
        (status,) = reply.policies
        word = "enforced" if status.enforced else "not enforced"
        self.tell(f"   {status.name}: {word}, selects {', '.join(status.endpoints)}")
        self._revision = reply.revision
        self._hold_a_connection()
        self._reaches(found, self.web, f"https://{API}/", FIRST)
        hosts = self.web.run(["getent", "ahostsv4", CDN]).stdout
        found.see(CDN_AT in hosts, f"{CDN} → {CDN_AT} (getent)", f"getent {CDN}: {hosts!r}")
        self._reaches(found, self.web, f"http://{CDN}/", CDN_AT)
        self._rest_is_denied(found)

    def _claim_3(self, found: Findings) -> None:
        self._move(API, SECOND)
        answer = self._dig(self.web, API)
        found.see(SECOND in answer, f"dig {API} → {SECOND}", f"dig {API}: {answer}")
        self._reaches(found, self.web, f"http://{API}/", SECOND)
        before, after = self._revision, self.lab.agent_status().policy_revision
        found.see(before == after, f"policy revision still {after}", f"revision {before} → {after}")

    def _claim_4(self, found: Findings) -> None:
        self.hooks.kill_agent(self.lab)
        state = self.lab.agent.state()
        found.see(
            state.state == "dead", f"agent dead ({state.last_exit})", f"agent is {state.state}"
        )
        answer = self._dig(self.web, API)
        found.see(SECOND in answer, f"{API} resolves", f"dig {API}: {answer}")
        self._reaches(found, self.web, f"http://{API}/", SECOND)
        self._rest_is_denied(found)

    def _claim_5(self, found: Findings) -> None:
        self._move(API, THIRD)
        answer = self._dig(self.web, API)
        found.see(THIRD in answer, f"dig {API} → {THIRD}", f"dig {API}: {answer}")
        self._is_dropped(found, self.web, THIRD)

    def _claim_6(self, found: Findings) -> None:
        asked = self.watch.questions("web")
        self.lab.agent.restart()
        self.watch.until(lambda: self._enforced(THIRD), self.patience)
        self._connects(found, self.web, THIRD)
        more = self.watch.questions("web") - asked
        found.see(more == 0, "no look-up in between", f"{more} look-ups since the restart")

    def _claim_7(self, found: Findings) -> None:
        reply = self.lab.apply(self.hooks.unsupported)
        (status,) = reply.policies
        fields = [f"{f.path}: {f.reason}" for f in status.fields]
        found.see(reply.accepted, "accepted", "it was rejected")
        found.see(not status.enforced, "not enforced", "it is enforced")
        found.see(bool(fields), f"because {'; '.join(fields)}", "no reason was given")
        self._reaches(found, self.batch, f"http://{TRACKER}/", TRACKER_AT)

    def _claim_8(self, found: Findings) -> None:
        self.tell(f"   waiting until {FIRST} is past its time and collected")
        lives = TTL + SETTINGS["collection_interval"] + self.patience
        self.watch.until(lambda: not self.watch.mapping_states(FIRST) & _OPEN, lives)
        states = self.watch.mapping_states(FIRST)
        found.see(
            states == {"zombie"},
            f"the mapping of {FIRST} is past its time: open to this connection alone",
            f"the mapping of {FIRST} is {', '.join(sorted(states)) or 'gone'}",
        )
        self._held.signal(signal.SIGTERM)
        told = _last_line(self._held.wait(timeout=20))
        words = told.split()
        if words[:1] != ["exchanges"] or not told.endswith("on request"):
            found.failures.append(f"the connection ended by itself: {told}")
            return
        count, gap = int(words[1]), float(words[3])
        found.see(count >= 20, f"one connection, {count} exchanges", f"only {count} exchanges")
        found.see(gap < patiently(5), f"longest gap {gap} s", f"a gap of {gap} s")

    def _claim_9(self, found: Findings) -> None:
        rate = self.rate if patience() == 1 else self._sustainable()
        found.claim = at_rate(found.claim, rate)
        before = self.lab.proxy.state()
        words = [RESOLVER, str(rate), "1.5", str(patiently(5)), API, CDN]
        load = self.web.popen(["python3", "-c", clients.LOAD, *words], timeout=patiently(90))
        load.wait_for_output("started", timeout=10)
        for _ in range(3):
            self.hooks.upgrade_proxy(self.lab)
        load.signal(signal.SIGTERM)
        after = self.lab.proxy.state()
        steps = after.generation - before.generation
        found.see(
            steps == 3, f"generation {before.generation} → {after.generation}", f"{steps} upgrades"
        )
        told = _last_line(load.wait(timeout=60))
        words = told.split()
        if words[:1] != ["sent"]:
            found.failures.append(f"the load ended early: {told}")
            return
        sent, answered, refused, seconds = (float(w) for w in words[1::2])
        seen = sent / seconds
        found.see(
            seen > 0.95 * rate, f"{seen:,.0f} questions/s for {seconds:.1f} s", f"{seen:.0f}/s"
        )
        found.see(
            sent == answered and not refused,
            f"{sent:.0f} asked, {answered:.0f} answered, 0 lost",
            f"{sent:.0f} asked, {answered:.0f} answered, {sent - answered:.0f} lost, "
            f"{refused:.0f} not NOERROR",
        )

    # ------------------------------------------------------------------ its parts

    def _sustainable(self) -> float:
        """Queries/s that a slow machine is asked for: of what it does without a proxy."""
        argv = ["python3", "-c", clients.MEASURE, RESOLVER, "3", API, CDN]
        words = _last_line(self.free.run(argv)).split()
        sustained = float(words[1]) / float(words[3]) if words[:1] == ["answered"] else 0.0
        rate = upgrade_rate(self.rate, sustained)
        self.tell(f"   at {rate:,.0f} queries/s: the direct path sustains {sustained:,.0f}/s here")
        return rate

    def _move(self, name: str, address: str, say: bool = True) -> None:
        self.lab.world.set(name, [address], ttl=self._ttl)
        if say:
            self.changes.append({"time": time.time(), "text": f"{name} → {address}"})

    def _hold_a_connection(self) -> None:
        """One connection, opened now, held to the end of the story."""
        self._dig(self.web, API)
        self._held = self.web.popen(["python3", "-c", clients.HOLD, FIRST, API, str(patiently(6))])
        self._held.wait_for_output("open", timeout=10)
        self.tell(f"   a connection to {FIRST} is opened and held")

    def _dig(self, endpoint: Endpoint, name: str) -> str:
        result = endpoint.run(
            ["dig", "+tries=1", self._dig_time, "+noall", "+comments", "+answer", name]
        )
        return result.stdout

    def _reaches(self, found: Findings, endpoint: Endpoint, url: str, address: str) -> None:
        result = endpoint.run(["curl", "-sS", "--max-time", str(self._seconds), url])
        found.see(
            address in result.stdout,
            f"curl {url} reached {address}",
            f"curl {url}: {(result.stdout + result.stderr).strip()[:120]}",
        )

    def _rest_is_denied(self, found: Findings) -> None:
        answer = self._dig(self.web, TRACKER)
        found.see(
            "REFUSED" in answer, f"{TRACKER} REFUSED", f"dig {TRACKER}: {answer.strip()[:120]}"
        )
        self._is_dropped(found, self.web, TRACKER_AT)

    def _is_dropped(self, found: Findings, endpoint: Endpoint, address: str) -> None:
        earlier = self.watch.packets(endpoint.name, address=address, verdict="DROPPED")
        result = self._connect(endpoint, address, 1.0)
        found.see(result.exit != 0, f"{address} unreachable", f"{address} was reached")
        drops = self.watch.until(
            lambda: self.watch.packets(endpoint.name, address=address, verdict="DROPPED") - earlier
        )
        found.see(
            drops > 0,
            f"{drops} packet{'s' * (drops > 1)} dropped",
            f"no drop of {address} was seen",
        )

    def _connects(self, found: Findings, endpoint: Endpoint, address: str) -> None:
        result = self._connect(endpoint, address, self._seconds)
        found.see(
            result.exit == 0, f"connected to {address}", f"{address}: {result.stderr.strip()}"
        )

    def _connect(self, endpoint: Endpoint, address: str, timeout: float) -> Any:
        argv = ["python3", "-c", clients.CONNECT, address, "80", str(timeout)]
        return endpoint.run(argv, timeout=timeout + 10)

    def _enforced(self, address: str) -> bool:
        return "enforced" in self.watch.mapping_states(address)


def _last_line(result: Result) -> str:
    """What a client said last: its figures, or the error that ended it."""
    lines = (result.stdout.strip() or result.stderr.strip()).splitlines()
    return lines[-1] if lines else f"exit {result.exit}, without a word"
