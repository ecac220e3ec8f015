"""What is claimed, and what an observation of it looks like."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CLAIMS", "Claim", "Findings", "Outcome"]


@dataclass(frozen=True)
class Claim:
    """One of the nine: its number, what it says, and what should be seen."""

    number: int
    text: str
    expected: str


@dataclass(frozen=True)
class Outcome:
    """What was seen of a claim.

    Attributes
    ----------
    claim : Claim
    observed : str
        In words, with the figures.
    failures : tuple of str
        What was expected and not seen; empty if the claim holds.
    """

    claim: Claim
    observed: str
    failures: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.failures


@dataclass
class Findings:
    """Collects what is seen while a claim is being checked."""

    claim: Claim
    seen: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def see(self, holds: bool, words: str, otherwise: str) -> bool:
        """Note `words` if `holds`, else the failure `otherwise`; return `holds`."""
        (self.seen if holds else self.failures).append(words if holds else otherwise)
        return holds

    def outcome(self) -> Outcome:
        text = "; ".join([*self.seen, *(f"NOT: {f}" for f in self.failures)])
        return Outcome(self.claim, text or "nothing was seen", tuple(self.failures))


CLAIMS: dict[int, Claim] = {
    n: Claim(n, text, expected)
    for n, text, expected in (
        (
            1,
            "An endpoint without policy resolves and reaches all; its DNS is not redirected",
            "every name resolves and connects; its questions pass the proxy by",
        ),
        (
            2,
            "The policy's names are reachable; others are refused in DNS and dropped by address",
            "api and *.cdn connect; tracker is REFUSED, its address dropped (POLICY_DENIED)",
        ),
        (
            3,
            "The world moves the address: reachable after a new look-up, the policy untouched",
            "the new address answers; same policy revision",
        ),
        (
            4,
            "Agent killed: names resolve, the last address stays allowed, the rest stays denied",
            "agent dead; api resolves and connects; tracker refused and dropped",
        ),
        (
            5,
            "The address moves while the agent is dead: it resolves and is dropped",
            "the new address is in the answer; connecting to it is dropped",
        ),
        (
            6,
            "Agent back: the new address is reachable, without another look-up",
            "connects by address; no DNS question since the restart",
        ),
        (
            7,
            "An unsupported policy is accepted, not enforced, and says why",
            "accepted, enforced: no, with field and reason; its endpoint reaches all",
        ),
        (
            8,
            "A connection established before it all survives all of it",
            "the same connection works to the end, even past the life of its mapping",
        ),
        (
            9,
            "The proxy is upgraded three times under 1,000 queries/s: none lost",
            "3 upgrades; as many answers as questions",
        ),
    )
}
