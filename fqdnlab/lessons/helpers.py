"""Small things that several notebooks use."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pandas as pd

from fqdnlab.lab.machine import MachineClient
from fqdnlab.model.names import dns_matcher, fqdn_matcher, normalise
from fqdnlab.model.policy import FQDNSelector

__all__ = ["labs_left", "matches", "wait_until"]


def matches(
    selectors: Sequence[str],
    names: Sequence[str],
    use: Literal["toFQDNs", "rules.dns"] = "toFQDNs",
) -> pd.DataFrame:
    """Which selector matches which name: a row a name, a column a selector, ``yes`` or ``·``.

    Parameters
    ----------
    selectors : sequence of str
        With a star: as ``matchPattern``; without: as ``matchName``.
    names : sequence of str
    use : {"toFQDNs", "rules.dns"}
        The two differ for names with odd characters.
    """
    columns: dict[str, list[str]] = {}
    for selector in selectors:
        if use == "rules.dns":
            test = dns_matcher(selector)
        else:
            key = "match_pattern" if "*" in selector else "match_name"
            test = fqdn_matcher(FQDNSelector(**{key: selector}))
        columns[selector] = ["yes" if test(normalise(name)) else "·" for name in names]
    return pd.DataFrame(columns, index=pd.Index(names))


def wait_until(look: Callable[[], Any], seconds: float = 10.0) -> bool:
    """Call `look` until it returns something true, at most `seconds`; whether it did."""
    deadline = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(seen)


def labs_left(prefix: str) -> list[str]:
    """Names of living labs that begin with `prefix`."""
    return [one["name"] for one in MachineClient().list() if one["name"].startswith(prefix)]
