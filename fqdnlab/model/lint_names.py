"""What can be said of patterns without names: which others cover them, whether any name fits."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from fqdnlab.model.names import dns_selector_matcher, matches_everything
from fqdnlab.model.policy import FQDNSelector

__all__ = ["coverage", "never_matches"]

#: RFC 1035 section 2.3.4, in octets: a label, and a name as text without its final dot.
MAX_LABEL, MAX_NAME = 63, 253

#: What stands in for a star, to try a pattern by the names it may match.
_FILLS = ("", "x", "0-probe_9", "wide-and-far")
_CLUSTER = (".svc.", ".svc.cluster.local.", ".cluster.local.")


def coverage(selector: FQDNSelector, others: Iterable[FQDNSelector]) -> float:
    """How much of what `selector` matches some of `others` lets through as ``rules.dns``.

    Tried on sample names, so a guess where both have stars: 1 is all, 0 nothing.
    """
    samples = _samples(selector)
    tests = [dns_selector_matcher(other) for other in others]
    hits = sum(any(test(name) for test in tests) for name in samples)
    return hits / len(samples) if samples else 1.0


def _samples(selector: FQDNSelector) -> list[str]:
    """Names that `selector` matches."""
    pattern = selector.pattern
    if "*" not in pattern:
        return [pattern]
    if matches_everything(pattern):
        return ["probe.", "a.probe.", "b.a.probe."]
    stars = len(pattern) - len(pattern.lstrip("*"))
    starts = [pattern]
    if stars > 1 and pattern[stars] == ".":
        starts = [labels + pattern[stars:] for labels in ("y", "y.z")]
    names = [_filled(start, fill) for start in starts for fill in _FILLS]
    return [name for name in names if not name.startswith(".") and ".." not in name]


def _filled(pattern: str, fill: str) -> str:
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return pattern.replace("*", fill)


def never_matches(selector: FQDNSelector, learned: bool) -> str:
    """Why no name can match `selector`; empty: one may.

    Parameters
    ----------
    selector : FQDNSelector
    learned : bool
        Whether it stands in ``toFQDNs`` (else in ``rules.dns``).
    """
    pattern = selector.pattern
    if matches_everything(pattern):
        return ""
    labels = pattern.removesuffix(".").split(".")
    long = next((label for label in labels if len(label.replace("*", "")) > MAX_LABEL), "")
    if long:
        return f"can never match: a label has at most {MAX_LABEL} characters, {long[:20]}… has more"
    if len(pattern.removesuffix(".").replace("*", "")) > MAX_NAME:
        return f"can never match: a name has at most {MAX_NAME} characters"
    if _is_address(pattern.removesuffix(".")):
        return "can never match: this is an address, and nobody asks DNS for one; use toCIDR"
    if learned and ("." + pattern).endswith(_CLUSTER):
        return (
            "opens nothing: toFQDNs never selects endpoints of the cluster, which is where names "
            "of services lead; use toEndpoints"
        )
    return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
