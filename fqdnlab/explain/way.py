"""The steps of a look-up and a packet, each with what holds and what is missing.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fqdnlab.agent.rulesfile import describe
from fqdnlab.explain.case import Case
from fqdnlab.explain.decide import Decision, Mind, Question
from fqdnlab.explain.explanation import Step
from fqdnlab.explain.facts import DecidingRule, Facts, Known, when
from fqdnlab.explain.kernel import Found
from fqdnlab.model.mapstate import RuleRef
from fqdnlab.model.reasons import reason_text

__all__ = ["Way", "rule_at", "verdict_step"]


def rule_at(facts: Facts, ref: RuleRef | None) -> DecidingRule | None:
    """The rule at a place in a policy, in words; None for none."""
    if ref is None:
        return None
    known = facts.by_ref(ref)
    if known is not None:
        return known
    kind, namespace, name = ref.policy
    owner = f"{namespace}/{name}" if namespace else name
    policy = next((p for p in facts.policies or () if p.key == ref.policy), None)
    if policy is None:
        return DecidingRule(owner, kind, ref.path)
    text, line = describe(policy, ref.path)
    return DecidingRule(owner, kind, ref.path, 0, text, policy.file, line)


def verdict_step(verdict: str, reason: int, rule: DecidingRule | None, enforced: bool) -> Step:
    """The last step: the packet's verdict, and who decided."""
    data = {"verdict": verdict, "reason": reason, "rule": rule.title if rule else ""}
    if rule is not None:
        place = f" ({rule.place})" if rule.place else ""
        who = f"decided by {rule.title}{place}"
    elif verdict != "DROPPED":
        who = "no rule decided" if enforced else "no policy selects the endpoint: all is open"
    else:
        who = "no rule allows it" if reason in (133, 244) else "no rule decided"
    why = f", {reason_text(reason)}" if reason else ""
    state = "denied" if verdict == "DROPPED" else "ok"
    return Step("verdict", "Verdict", state, f"{verdict}{why}: {who}", data)


@dataclass(frozen=True)
class Way:
    """What is known of one case.

    Attributes
    ----------
    facts : Facts
    case : Case
    kernel : Found or None
    decision : Decision or None
    question : Question or None
        Of the name, if there is one.
    until : float or None
        Unix seconds: what came later is not looked at.
    """

    facts: Facts
    case: Case
    kernel: Found | None = None
    decision: Decision | None = None
    question: Question | None = None
    until: float | None = None

    def steps(self) -> Iterator[Step]:
        """All but the verdict."""
        asked = self._asked()
        name = str(asked["query"]).lower() if asked else self.case.name
        yield self._query(asked)
        yield self._query_rule(name)
        yield self._mapping()
        yield self._identity()
        yield self._maps()
        yield from self._void()
        yield from self._apart()

    # ------------------------------------------------------------ the look-up

    def _asked(self) -> Mapping[str, Any] | None:
        """The last look-up that gave the endpoint this address, or asked for this name."""
        case, named = self.case, None
        for row in reversed(self.facts.queries or ()):
            if row["endpoint"] != case.who.name or self._later(row["time"].timestamp()):
                continue
            if case.address in row["ips"]:
                return dict(row)
            if named is None and case.name and str(row["query"]).lower() == case.name:
                named = dict(row)
        return named

    def _later(self, seconds: float) -> bool:
        return self.until is not None and seconds > self.until + 0.05

    def _query(self, row: Mapping[str, Any] | None) -> Step:
        title, who = "Query", self.case.who.name
        if row is not None:
            return _answered(title, row)
        if self.facts.queries is None:
            detail = "not known: nobody tells of look-ups (the observer is dead, or none given)"
            return Step("query", title, "unknown", detail)
        if self.case.name:
            detail = f"{who} has not asked for {self.case.name.rstrip('.')} yet"
            return Step("query", title, "note", detail)
        detail = f"{who} was never told {self.case.address} for any name"
        return Step("query", title, "note", detail)

    def _query_rule(self, name: str) -> Step:
        title = "Rule for the query"
        if not name:
            return Step("query-rule", title, "note", "no name, so no query to allow")
        if self.facts.policies is None:
            return Step("query-rule", title, "unknown", "the policies are not known")
        server = self.facts.server
        found = Mind(self.facts).ask(self.case.who, server, name)
        rule = rule_at(self.facts, found.rule)
        by = f" by {rule.title}" + (f" ({rule.place})" if rule.place else "") if rule else ""
        shown = name.rstrip(".")
        detail, state = {
            "allowed": (f"{shown} is allowed{by}", "ok"),
            "refused": (f"{shown} is refused: no rules.dns for {server} matches it", "denied"),
            "unproxied": (f"{shown} passes past the proxy{by}: nothing is learned", "missing"),
            "dropped": (f"questions to {server} are dropped{by}", "denied"),
        }[found.outcome]
        data = {"outcome": found.outcome, "server": server, "rule": rule.title if rule else ""}
        return Step("query-rule", title, state, detail, data)

    # ------------------------------------------------------------ the mapping

    def _mapping(self) -> Step:
        title, address = "Mapping", self.case.address
        if self.facts.mappings is None:
            return Step("mapping", title, "unknown", "the agent's mappings are not known")
        every = [*self.facts.mappings, *self.facts.kept]
        found = [k for k in every if k.address == address]
        if not found:
            detail = f"no name has {address}" if address else "the address is not known yet"
            return Step("mapping", title, "missing", detail)
        found.sort(key=lambda k: (k.endpoint != self.case.who.name, k.name))
        states = {k.state for k in found}
        state = "ok" if states & {"enforced", "expired"} else "missing"
        data = {"mappings": [vars(k) | {} for k in found]}
        return Step("mapping", title, state, "; ".join(self._told(k) for k in found[:3]), data)

    def _told(self, known: Known) -> str:
        who = f" to {known.endpoint}" if known.endpoint else ""
        words = {
            "waits": "waits for the agent",
            "zombie": "expired: open to flows that were there before, to no new one",
            "expired": "expired, and open until the agent's next pass",
        }.get(known.state, known.state)
        times = f", told{who} at {when(known.learned)}" if known.learned else f", told{who}"
        if known.learned and self._later(known.learned):
            times += " (since then)"
        until = f", until {when(known.expires)}" if known.expires else ""
        return f"{known.name.rstrip('.')} has {known.address}: {words}{times}{until}"

    # ------------------------------------------------------------ the kernel

    def _identity(self) -> Step:
        title = "Identity"
        if self.kernel is not None:
            labels = list(self.facts.labels.get(self.kernel.identity, ()))
            detail = f"{self.case.address} is {self.kernel.identity} ({', '.join(labels)})"
            data = {"identity": self.kernel.identity, "labels": labels}
            return Step("identity", title, "ok", detail, data)
        if self.decision is not None and self.case.address:
            labels = self.decision.identity.label_list()
            detail = f"{self.case.address} is ({', '.join(labels)}), as policies and mappings say"
            return Step("identity", title, "note", detail, {"labels": labels})
        return Step("identity", title, "unknown", "the address is not known")

    def _maps(self) -> Step:
        title = "Kernel's maps"
        if self.facts.maps is None:
            return Step("maps", title, "unknown", "the kernel's maps are not known")
        if self.kernel is None:
            return Step("maps", title, "unknown", "no address to look up in them")
        entries = [list(entry) for entry in self.kernel.entries]
        decided = any(entry[0] == "policy" for entry in entries)
        state = "ok" if decided or not self.kernel.reason else "missing"
        detail = f"{len(entries)} entries" if decided else "no entry of the policy map covers it"
        return Step("maps", title, state, detail, {"entries": entries})

    # ------------------------------------------------------------ remarks

    def _void(self) -> Iterator[Step]:
        """Policies that select the endpoint and are not enforced."""
        profile = self.facts.settings.profile
        for policy in Mind(self.facts).void:
            if policy.selects(dict(self.case.who.labels)):
                why = "; ".join(f"{o.path}: {o.reason}" for o in policy.obstacles(profile))
                detail = f"{policy.namespace}/{policy.name} is accepted and not enforced: {why}"
                yield Step("not-enforced", "Policy", "note", detail)

    def _apart(self) -> Iterator[Step]:
        """Where the kernel holds something else than policies and mappings say."""
        kernel, decision = self.kernel, self.decision
        if kernel is None or decision is None or self.facts.policies is None:
            return
        by = self.facts.by_number(kernel.rule)
        if (kernel.verdict, kernel.reason) == (decision.verdict, decision.reason):
            return
        agent = self.facts.processes.get("agent", "")
        why = f" (the agent is {agent})" if agent not in ("", "running") else ""
        want = rule_at(self.facts, decision.rule)
        detail = (
            f"the kernel goes by {by.title if by else 'no rule'}, policies and mappings would by "
            f"{want.title if want else 'no rule'}{why}"
        )
        yield Step("apart", "Kernel and policies differ", "note", detail)

    def unknown(self) -> Iterator[str]:
        """What cannot be known now."""
        facts = self.facts
        yield from facts.missing
        if facts.source == "export":
            yield "what the kernel's maps hold, and look-ups of other nodes"
        if facts.queries is None:
            yield "which look-ups were made"
        if not facts.runs("agent"):
            yield "what the agent will do when it is back, beside what it saved"
        if self.case.name and facts.zones is None:
            yield "which addresses the name has now"


def _answered(title: str, row: Mapping[str, Any]) -> Step:
    """The step of a look-up that was seen."""
    result = str(row["result"])
    state = {"REFUSED": "denied", "RESOLVED": "ok", "WAITS": "note"}.get(result, "missing")
    ips = ", ".join(row["ips"])
    detail = f"{row['query']} {row['qtype']} at {when(row['time'].timestamp())}: {result}"
    if ips:
        detail += f" {ips}, TTL {row['ttl']} s"
    refused = result == "REFUSED"  # by the proxy; a server's refusal is UPSTREAM-REFUSED
    detail += f"; {row['server']} was {'not ' if refused else ''}asked"
    if row["early_reason"]:
        detail += f"; the answer went out early ({row['early_reason']})"
    keys = ("query", "qtype", "result", "server", "ttl", "early_reason", "generation", "uuid")
    data = {key: row[key] for key in keys} | {"ips": list(row["ips"])}
    data["time"] = row["time"].timestamp()
    return Step("query", title, state, detail, data)
