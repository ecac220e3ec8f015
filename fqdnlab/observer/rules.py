"""rules.json, read again when it changes: what rule indices, endpoints and identities stand for.

The agent writes the file; the observer needs no agent.  Former contents are kept for a while, so
that an index is read as it was meant when the packet passed.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fqdnlab.model.labtime import LabClock

__all__ = ["EndpointNames", "Rule", "Rules", "RulesFile", "parse_rules"]

T = TypeVar("T")
_KEPT = 256  # former contents
_ENTRIES = 200_000  # in all of them, but the latest


@dataclass(frozen=True)
class Rule:
    """The rule behind an index (fields as in rules.json)."""

    index: int
    policy: str = ""
    namespace: str = ""
    kind: str = ""
    text: str = ""
    labels: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """``namespace/policy text``, or as much of it as is known."""
        owner = f"{self.namespace}/{self.policy}" if self.namespace else self.policy
        return f"{owner} {self.text}".strip()


@dataclass(frozen=True)
class EndpointNames:
    """One endpoint of the lab (fields as in rules.json)."""

    id: int
    name: str = ""
    namespace: str = ""
    labels: tuple[str, ...] = ()
    identity: int = 0


@dataclass(frozen=True)
class Rules:
    """Contents of rules.json at one time."""

    revision: int = 0
    rules: dict[int, Rule] = field(default_factory=dict)
    endpoints: dict[int, EndpointNames] = field(default_factory=dict)
    addresses: dict[str, EndpointNames] = field(default_factory=dict)
    identities: dict[int, tuple[str, ...]] = field(default_factory=dict)
    clock: LabClock | None = None

    @property
    def size(self) -> int:
        """Entries in all."""
        return len(self.rules) + len(self.endpoints) + len(self.identities)


def parse_rules(text: str) -> Rules:
    """Read the text of rules.json.

    Raises
    ------
    ValueError
        If it is not of the format in docs/architecture.md.
    """
    data = json.loads(text)
    try:
        rules = {int(i): _rule(int(i), r) for i, r in data.get("rules", {}).items()}
        endpoints: dict[int, EndpointNames] = {}
        addresses: dict[str, EndpointNames] = {}
        for number, given in data.get("endpoints", {}).items():
            one = _endpoint(int(number), given)
            endpoints[one.id] = one
            for address in (given.get("ip4"), given.get("ip6")):
                if address:
                    addresses[str(ipaddress.ip_address(address))] = one
        identities = {int(i): tuple(v) for i, v in data.get("identities", {}).items()}
        clock = LabClock.from_row(data["time"]) if "time" in data else None
        revision = int(data.get("revision", 0))
        return Rules(revision, rules, endpoints, addresses, identities, clock)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a rules file: {error!r}") from error


def _rule(index: int, given: dict[str, Any]) -> Rule:
    return Rule(
        index,
        str(given.get("policy", "")),
        str(given.get("namespace", "")),
        str(given.get("kind", "")),
        str(given.get("text", "")),
        tuple(str(x) for x in given.get("labels", ())),
    )


def _endpoint(number: int, given: dict[str, Any]) -> EndpointNames:
    return EndpointNames(
        number,
        str(given.get("name", "")),
        str(given.get("namespace", "")),
        tuple(sorted(str(x) for x in given.get("labels", ()))),
        int(given.get("identity", 0)),
    )


def _bounded(versions: list[tuple[int, Rules]]) -> list[tuple[int, Rules]]:
    """The newest of them; at least the last one."""
    first, entries = len(versions) - 1, 0
    while first > max(0, len(versions) - _KEPT):
        entries += versions[first - 1][1].size
        if entries > _ENTRIES:
            break
        first -= 1
    return versions[first:]


class RulesFile:
    """The file and what it said before.

    Parameters
    ----------
    path : Path
    to_boottime : callable
        Wall time in ns → CLOCK_BOOTTIME in ns.
    """

    def __init__(self, path: Path, to_boottime: Callable[[int], int]) -> None:
        self._path = path
        self._to_boottime = to_boottime
        self._seen: tuple[int, int, int] | None = None
        self._versions: list[tuple[int, Rules]] = [(0, Rules())]
        self.faults = 0
        #: The highest rule index that was ever named: counters of rules that are gone count on.
        self.highest = 0

    @property
    def latest(self) -> Rules:
        return self._versions[-1][1]

    def refresh(self) -> bool:
        """Read the file if it changed; return whether it did.

        A file that cannot be read is counted in `faults`, and what was known stays.
        """
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_ino, found.st_size)
            if mark == self._seen:
                return False
            self._seen = mark
            rules = parse_rules(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            self.faults += 1
            return False
        self.highest = max(self.highest, *rules.rules, 0)
        versions = [*self._versions, (self._to_boottime(found.st_mtime_ns), rules)]
        self._versions = _bounded(versions)  # a new list: readers keep theirs
        return True

    def find(self, at: int, get: Callable[[Rules], T | None]) -> T | None:
        """What `get` finds in the contents of time `at` (ns); else in later, then former ones.

        Later ones first, because the kernel may use an index before the file names it.
        """
        versions = self._versions
        since, latest = versions[-1]
        if since <= at:  # nearly always
            found = get(latest)
            if found is not None:
                return found
        now = max((i for i, (since, _) in enumerate(versions) if since <= at), default=0)
        for i in (*range(now, len(versions)), *range(now - 1, -1, -1)):
            found = get(versions[i][1])
            if found is not None:
                return found
        return None
