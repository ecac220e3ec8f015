"""Protocols and ports that a forecast judges: one of each kind that rules tell apart.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fqdnlab.model.policy import ICMPType, Policy, PortProtocol
from fqdnlab.notebook.policy_touched import Touched

__all__ = ["Port", "Ports", "ports_of"]

_MOST = 128
_MOST_SEEN = 8
_USUAL = (("TCP", 443), ("TCP", 80))
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_ECHO = {4: 8, 6: 128}
_HIGHEST = 49_151


class Port(NamedTuple):
    """A protocol and a port (the type, for ICMP); `other`: it stands for all that no rule names."""

    protocol: str
    number: int
    other: bool = False

    @property
    def text(self) -> str:
        """``443/TCP``; ``other/TCP``; ``8/ICMPv4``; ``other/ICMP``, of either version."""
        protocol = self.protocol.partition("v")[0] if self.other else self.protocol
        return f"{'other' if self.other else self.number}/{protocol}"

    def suits(self, address: str) -> bool:
        """Whether such packets are sent to an address: ICMP has a protocol for each version."""
        other_family = "ICMPv4" if ":" in address else "ICMPv6"
        return self.protocol != other_family


class Ports(NamedTuple):
    """Ports to judge.

    Attributes
    ----------
    found : tuple of Port
        Those that stand for all others are the last.
    cut : bool
        Whether there were too many.
    """

    found: tuple[Port, ...]
    cut: bool

    @property
    def named(self) -> int:
        """How many they are without those that stand for others."""
        return sum(not port.other for port in self.found)


def ports_of(policies: Iterable[Policy], seen: Iterable[Port], touched: Touched) -> Ports:
    """Ports that rules name, those seen most, the usual, and one for all others.

    Parameters
    ----------
    policies : iterable of Policy
    seen : iterable of Port
    touched : Touched
        What it names is judged before all else.
    """
    rules = [rule for policy in policies for rule in policy.rules()]
    blocks = [block for rule in rules for block in rule.ports or ()]
    items = [item for block in blocks for item in block.ports if not item.name and item.port]
    icmps = [icmp for rule in rules for icmp in rule.icmps or ()]
    first = [i for i in items if i in touched.ports]
    often = Counter(port for port in seen if port.protocol in _PROTOCOLS).most_common(_MOST_SEEN)
    every = dict.fromkeys(
        (
            *_points(first, items),
            *_types(i for i in icmps if i in touched.icmps),
            *(Port(*pair) for pair in _USUAL),
            *(port for port, _ in often),
            *_points(items, items),
            *_types(icmps),
        )
    )
    found = tuple(every)[:_MOST]
    other = _unnamed(items, {p.number for p in found})
    rest = (Port(protocol, other, other=True) for protocol in _PROTOCOLS)
    return Ports((*found, *rest, *_other_types(icmps)), len(every) > _MOST)


def _points(some: list[PortProtocol], items: list[PortProtocol]) -> Iterator[Port]:
    """Ends of ranges, and what is beside them: between two of these all ports are judged alike."""
    spans = [(i.port, max(i.port, i.end_port)) for i in items]
    for item in some:
        last = max(item.port, item.end_port)
        numbers = [item.port, last]
        numbers += [n + d for n, d in ((last, 1), (item.port, -1)) if _is_in(n + d, spans)]
        for protocol in _PROTOCOLS if item.protocol == "ANY" else (item.protocol,):
            yield from (Port(protocol, number) for number in numbers)


def _is_in(number: int, spans: Iterable[tuple[int, int]]) -> bool:
    return any(first <= number <= last for first, last in spans)


def _types(icmps: Iterable[ICMPType]) -> Iterator[Port]:
    for icmp in icmps:
        yield Port(f"ICMPv{icmp.family}", icmp.type)


def _other_types(icmps: list[ICMPType]) -> Iterator[Port]:
    """For each version a type that no rule names: a ping's, if it may be."""
    for family, echo in _ECHO.items():
        taken = {i.type for i in icmps if i.family == family}
        free = next((n for n in (echo, *range(256)) if n not in taken), None)
        if free is not None:
            yield Port(f"ICMPv{family}", free, other=True)


def _unnamed(items: list[PortProtocol], found: set[int]) -> int:
    """A port that no rule names by number, nor in a range, if there is one."""
    spans = [(i.port, max(i.port, i.end_port)) for i in items]
    spans += [(n, n) for n in found]
    after = [last + 1 for _, last in spans]
    before = [first - 1 for first, _ in spans]
    for number in sorted({_HIGHEST, *after, *before}, key=lambda n: (n > _HIGHEST, -n)):
        if 0 < number < 0x10000 and not _is_in(number, spans):
            return number
    return _HIGHEST
