"""What the world's table reads, offers and changes by itself.  Pure."""

from __future__ import annotations

import ipaddress
import random
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fqdnlab.errors import UsageError

__all__ = ["BEHAVIOURS", "Churn", "moved", "next_address", "number", "read_addresses", "words_of"]

#: What a button sets, as `World.fault` takes it: lying denies that there is such a name, and is
#: believed; forging sends wrong answers before the true one, and should not be.
BEHAVIOURS: dict[str, dict[str, Any]] = {
    "slow": {"delay": 1.0},
    "silent": {"silent": True},
    "lying": {"rcode": "NXDOMAIN"},
    "forging": {"wrong": ["id", "port", "address"]},
    "normal": {},
}
_WORDS = {
    "slow": "slow (1 s)",
    "silent": "silent",
    "lying": "lying (no such name)",
    "forging": "forging (before the true answer)",
}
_MOST_ADDRESSES = 4  # that churn gives to a name
_SEPARATORS = re.compile(r"[\s,;]+")


def next_address(address: str, taken: Collection[str] = ()) -> str:
    """The next address of the same /24 (IPv6: /112) that is not taken; the last gives the first.

    Parameters
    ----------
    address : str
    taken : collection of str

    Raises
    ------
    UsageError
        If all of them are taken.
    """
    whole = ipaddress.ip_address(address)
    least, most = (1, 254) if whole.version == 4 else (1, 0xFFFF)
    net = int(whole) - int(whole) % (most + 2 if whole.version == 4 else most + 1)
    last = int(whole) - net
    for step in range(1, most + 1):
        found = str(type(whole)(net + least + (last - least + step) % most))
        if found != address and found not in taken:
            return found
    raise UsageError(f"no address next to {address} is free", "give one yourself")


def moved(addresses: Sequence[str], taken: Collection[str]) -> list[str]:
    """Each address moved to the next one that is not taken, by others or by itself."""
    found: list[str] = []
    for one in addresses:
        found.append(next_address(one, {*taken, *addresses, *found}))
    return found


def read_addresses(text: str) -> list[str]:
    """Addresses that are written with commas or spaces between them, each once.

    Raises
    ------
    UsageError
        Naming the word that is none, or if there is none at all.
    """
    words = [w for w in _SEPARATORS.split(text.strip()) if w]
    if not words:
        raise UsageError(
            "no address is given", "expected one or more, as 198.51.100.7, 2001:db8::7"
        )
    found: list[str] = []
    for word in words:
        try:
            found.append(str(ipaddress.ip_address(word)))
        except ValueError:
            raise UsageError(
                f"{word!r} is no address", "expected IPv4 or IPv6, as 198.51.100.7, 2001:db8::7"
            ) from None
    return list(dict.fromkeys(found))


def number(what: str, given: object, least: float, most: float, *, whole: bool = True) -> float:
    """A number as somebody wrote it.

    Raises
    ------
    UsageError
        Saying what was expected.
    """
    kind = "a whole number" if whole else "a number"
    expected = f"expected {kind}, {least:g} to {most:,.15g}"
    try:
        found = float(str(given).strip())
    except ValueError:
        raise UsageError(f"{what}: {str(given)!r} is no number", expected) from None
    if not least <= found <= most or (whole and found != int(found)):
        raise UsageError(f"{what}: {str(given).strip()} cannot be", expected)
    return found


def words_of(behaviour: Mapping[str, Any]) -> str:
    """A behaviour in a few words, as the table shows it."""
    for name, known in BEHAVIOURS.items():
        if known and dict(behaviour) == known:
            return _WORDS[name]
    return ", ".join(
        key if value is True else f"{key} {_plain(value)}" for key, value in behaviour.items()
    )


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value}"


class Churn:
    """Changes of the world that follow from a seed: the same seed, the same changes.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def step(self, world: Mapping[str, Sequence[str]]) -> tuple[str, list[str]] | None:
        """A name and its new addresses: moved, one more, or one less; None if there is no name.

        Parameters
        ----------
        world : mapping of str to sequence of str
            Names and their addresses, at least one each.
        """
        if not world:
            return None
        name = self._random.choice(sorted(world))
        old = list(world[name])
        taken = {a for addresses in world.values() for a in addresses}
        what = self._random.choice(("move", "move", "more", "less"))
        which = self._random.randrange(len(old))
        if what == "less" and len(old) > 1:
            return name, old[:which] + old[which + 1 :]
        fresh = next_address(old[which], taken)
        if what == "more" and len(old) < _MOST_ADDRESSES:
            return name, [*old, fresh]
        return name, [*old[:which], fresh, *old[which + 1 :]]
