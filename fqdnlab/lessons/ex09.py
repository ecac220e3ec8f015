"""09: shared addresses and CDNs."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise
from fqdnlab.lessons.expect import words

_CHOICES = (
    "a DNS rule that denies it",
    "an egressDeny by CIDR on the address",
    "a shorter TTL",
    "inspection of the name in the request (HTTP's Host, TLS's server name)",
)


@exercise("09.1")
def _(answer: Any, _lab: Any) -> str:
    return words(answer, {_CHOICES[1], _CHOICES[3]}, _CHOICES)
