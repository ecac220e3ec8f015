"""What a policy does under a profile: enforced, or accepted and not enforced, and why."""

from __future__ import annotations

from dataclasses import dataclass

from fqdnlab.model.policy import FieldStatus, Policy

__all__ = ["PROFILES", "PolicyReport", "policy_report"]

#: ``cilium``: all that is built here; ``acns``: what Azure's ACNS supports of it.
PROFILES = ("cilium", "acns")


@dataclass(frozen=True)
class PolicyReport:
    """The status of one policy under one profile.

    Attributes
    ----------
    policy : Policy
    profile : str
    obstacles : tuple of FieldStatus
        Fields that make it as a whole without effect; none: it is enforced.
    beside : tuple of FieldStatus
        Fields that are not enforced and void nothing (``ingress``).
    """

    policy: Policy
    profile: str
    obstacles: tuple[FieldStatus, ...]
    beside: tuple[FieldStatus, ...]

    @property
    def enforced(self) -> bool:
        """Whether the policy has its effect."""
        return not self.obstacles

    @property
    def word(self) -> str:
        """``enforced`` or ``accepted, not enforced``."""
        return "enforced" if self.enforced else "accepted, not enforced"

    @property
    def reason(self) -> str:
        """Why it is not enforced, fields named; empty where it is."""
        return "; ".join(f"{o.path}: {o.reason}" for o in self.obstacles)

    def rows(self) -> list[dict[str, object]]:
        """``{path, profile, enforced, reason}``: the whole (empty path), then each such field."""
        fields = [
            {"path": s.path, "profile": self.profile, "enforced": False, "reason": s.reason}
            for s in (*self.obstacles, *self.beside)
        ]
        whole: dict[str, object] = {
            "path": "",
            "profile": self.profile,
            "enforced": self.enforced,
            "reason": self.reason,
        }
        return [whole, *fields]


def policy_report(policy: Policy, profile: str) -> PolicyReport:
    """Judge `policy` under `profile` (way 1.2).

    Parameters
    ----------
    policy : Policy
    profile : {"cilium", "acns"}

    Raises
    ------
    ValueError
        If there is no such profile.
    """
    if profile not in PROFILES:
        raise ValueError(f"one of {', '.join(PROFILES)} is expected as profile, not {profile!r}")
    beside = tuple(r for r in policy.remarks if not r.voids and r.profile in ("", profile))
    return PolicyReport(policy, profile, policy.obstacles(profile), beside)
