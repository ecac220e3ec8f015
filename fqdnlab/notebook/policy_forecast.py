"""What would change if policies were applied: packets and look-ups, judged before and after.  Pure.

The same code decides here that fills the kernel's maps (`fqdnlab.explain.decide`): all policies of
the lab, those of the text in their places; what the agent has learned; what a look-up would add.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

from fqdnlab.explain import Facts, Known, Workload
from fqdnlab.explain.case import PROTOCOLS
from fqdnlab.explain.decide import Decision, Mind, Question
from fqdnlab.model.mapstate import ALLOW, DENY, REDIRECT, RuleRef
from fqdnlab.model.names import normalise
from fqdnlab.model.policy import Policy
from fqdnlab.model.reasons import POLICY_DENY, ZOMBIE_NEW_FLOW
from fqdnlab.notebook.policy_ports import Port, ports_of
from fqdnlab.notebook.policy_targets import OTHER, OTHERS, Target, targets_of
from fqdnlab.notebook.policy_touched import Touched

__all__ = [
    "Change",
    "Forecast",
    "Outcome",
    "applied_over",
    "forecast_of",
    "look_up_outcome",
    "packet_outcome",
]

_LEARNED = "answered, learned"


class Outcome(NamedTuple):
    """What becomes of a packet or a look-up.

    Attributes
    ----------
    passes : bool
    word : str
        ``allowed``, ``to the DNS proxy``, ``dropped``, ``refused`` …
    rule : RuleRef or None
        None: no rule decides.
    """

    passes: bool
    word: str
    rule: RuleRef | None = None


class Change(NamedTuple):
    """What is judged alike: before, and after.

    Attributes
    ----------
    endpoints : tuple of str
    what : {"packet", "look-up"}
    targets : tuple of str
        Names, addresses, or words.
    addresses : tuple of str
    ports : tuple of str
    before, after : Outcome
    asks : bool
        Whether it passes after a look-up alone: nobody has learned the address yet.
    """

    endpoints: tuple[str, ...]
    what: str
    targets: tuple[str, ...]
    addresses: tuple[str, ...]
    ports: tuple[str, ...]
    before: Outcome
    after: Outcome
    asks: bool = False

    @property
    def target(self) -> str:
        """All of them."""
        return ", ".join(self.targets)

    @property
    def kind(self) -> str:
        """``opens``, ``closes``, ``steers`` (through the proxy, or no more) or ``stays``."""
        if self.before.passes != self.after.passes:
            return "opens" if self.after.passes else "closes"
        passes = self.after.passes
        return "steers" if passes and self.before.word != self.after.word else "stays"


class Forecast(NamedTuple):
    """What would change, and what would not.

    Attributes
    ----------
    changes : tuple of Change
        Closings first.
    stays : tuple of Change
    selected, released : tuple of str
        Endpoints that come under a policy, and those that none selects any more.
    names, ports : int
        How many were looked at.
    cut : bool
        Whether there are more names, addresses or ports than were looked at.
    """

    changes: tuple[Change, ...]
    stays: tuple[Change, ...]
    selected: tuple[str, ...]
    released: tuple[str, ...]
    names: int = 0
    ports: int = 0
    cut: bool = False


def applied_over(facts: Facts, proposed: Iterable[Policy]) -> tuple[Policy, ...]:
    """All policies as they would be: one replaces that of its kind, namespace and name."""
    policies = {p.key: p for p in facts.policies or ()}
    policies.update((p.key, p) for p in proposed)
    return tuple(policies.values())


def packet_outcome(found: Decision) -> Outcome:
    """A decision in words."""
    if found.verdict == REDIRECT:
        return Outcome(True, "to the DNS proxy", found.rule)
    if found.verdict == ALLOW:
        return Outcome(True, "allowed", found.rule)
    words = {POLICY_DENY: "denied", ZOMBIE_NEW_FLOW: "dropped: expired"}
    return Outcome(False, words.get(found.reason, "dropped"), found.rule)


def look_up_outcome(found: Question) -> Outcome:
    """What becomes of a look-up, in words."""
    words = {
        "allowed": _LEARNED,
        "unproxied": "answered, not learned",
        "refused": "refused",
        "dropped": "dropped: no answer",
    }
    return Outcome(found.outcome in ("allowed", "unproxied"), words[found.outcome], found.rule)


def forecast_of(
    facts: Facts, proposed: Iterable[Policy], seen: Iterable[tuple[str, Port]] = ()
) -> Forecast:
    """What applying `proposed` would change.

    Parameters
    ----------
    facts : Facts
    proposed : iterable of Policy
    seen : iterable of (address, Port)
        Where packets went lately: judged too.
    """
    proposed, seen = list(proposed), list(seen)
    after = applied_over(facts, proposed)
    there = facts.policies or ()
    keys = {p.key for p in proposed}
    touched = Touched((p for p in there if p.key in keys), proposed)
    targets = targets_of(facts, [*there, *after], [address for address, _ in seen], touched)
    ports = ports_of([*there, *after], [port for _, port in seen], touched)
    judged: dict[Change, None] = {}
    selected: list[str] = []
    released: list[str] = []
    for group in _alike(facts.endpoints):
        old, new = (_Judge(facts, some, group[0], targets.found) for some in (None, after))
        names = tuple(who.name for who in group)
        if old.selected != new.selected:
            (selected if new.selected else released).extend(names)
        judged.update(dict.fromkeys(_of_group(old, new, names, targets.found, ports.found)))
    merged = _merged(judged)
    order = {"closes": 0, "opens": 1, "steers": 2}
    changes = sorted((c for c in merged if c.kind in order), key=lambda c: order[c.kind])
    stays = tuple(c for c in merged if c.kind == "stays")
    told = tuple(changes), stays, tuple(selected), tuple(released)
    return Forecast(*told, targets.names, ports.named, targets.cut or ports.cut)


def _alike(endpoints: Iterable[Workload]) -> list[list[Workload]]:
    """Endpoints of equal labels are judged alike."""
    groups: dict[tuple[tuple[str, str], ...], list[Workload]] = {}
    for who in endpoints:
        groups.setdefault(who.labels, []).append(who)
    return list(groups.values())


class _Judge:
    """One endpoint under one set of policies; it has looked up all names that it may."""

    def __init__(
        self,
        facts: Facts,
        policies: Sequence[Policy] | None,
        who: Workload,
        targets: Sequence[Target],
    ) -> None:
        self._facts, self._who = facts, who
        self._now = Mind(facts, policies)
        self._look_ups: dict[str, Outcome] = {}
        self.selected = self._now.compiled(who) is not None
        more = [
            Known(who.name, normalise(t.name), address)
            for t in targets
            if t.name and self.look_up(t.name).word == _LEARNED
            for address in t.addresses
            if address not in t.stale
        ]
        self._then = Mind(facts, policies, more)

    def look_up(self, name: str) -> Outcome:
        """A question for `name` to the DNS server."""
        if name not in self._look_ups:
            found = self._now.ask(self._who, self._facts.server, name)
            self._look_ups[name] = look_up_outcome(found)
        return self._look_ups[name]

    def likeness(self, address: str) -> Hashable:
        """Equal for addresses that are judged alike at every port."""
        minds = self._now, self._then
        what = tuple(m.identity(address, was) for m in minds for was in (False, True))
        return (*what, self._now.internal(address))

    def packet(self, address: str, port: Port) -> tuple[Outcome, bool]:
        """A packet that opens a flow, and whether it needs a look-up before."""
        proto = PROTOCOLS[port.protocol]
        then = packet_outcome(self._then.judge(self._who, address, proto, port.number))
        now = self._now.judge(self._who, address, proto, port.number)
        return then, then.passes and now.verdict == DENY


def _of_group(
    old: _Judge,
    new: _Judge,
    names: tuple[str, ...],
    targets: Sequence[Target],
    ports: Sequence[Port],
) -> Iterator[Change]:
    fates: dict[Hashable, list[_Fate]] = {}
    for target in targets:
        if target.name:
            before, after = old.look_up(target.name), new.look_up(target.name)
            yield Change(names, "look-up", (target.label,), (), (), before, after)
        for address in target.addresses:
            key = ":" in address, old.likeness(address), new.likeness(address)
            if key not in fates:
                suiting = [port for port in ports if port.suits(address)]
                fates[key] = list(_fates(old, new, address, suiting))
            plain = target.made_up or target.label == address or target.label in OTHERS
            for fate in fates[key]:
                shown = () if plain else (address,)
                yield Change(names, "packet", (target.label,), shown, *fate)


class _Fate(NamedTuple):
    """The end of a `Change`: ports, and what becomes of them."""

    ports: tuple[str, ...]
    before: Outcome
    after: Outcome
    asks: bool


def _fates(old: _Judge, new: _Judge, address: str, ports: Sequence[Port]) -> Iterator[_Fate]:
    """Ports that have the same fate are told together."""
    found: dict[tuple[Outcome, Outcome, bool], list[str]] = {}
    for port in ports:
        before, _ = old.packet(address, port)
        found.setdefault((before, *new.packet(address, port)), []).append(port.text)
    for fate, texts in found.items():
        yield _Fate(("all ports",) if len(texts) == len(ports) else tuple(texts), *fate)


def _merged(found: Iterable[Change]) -> list[Change]:
    """Addresses and names that have the same fate are told together."""
    by_targets: dict[Change, list[Change]] = {}
    for made in found:
        by_targets.setdefault(made._replace(targets=(), addresses=()), []).append(made)
    return [
        key._replace(
            targets=_both(dict.fromkeys(name for one in group for name in one.targets)),
            addresses=tuple(dict.fromkeys(a for one in group for a in one.addresses)),
        )
        for key, group in by_targets.items()
    ]


def _both(targets: Iterable[str]) -> tuple[str, ...]:
    """Any other address of either version is any other address."""
    found = tuple(targets)
    if not {*OTHERS} <= {*found}:
        return found
    return (*(one for one in found if one not in OTHERS), OTHER)
