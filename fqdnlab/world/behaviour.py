"""How names and DNS servers misbehave on demand: kept, checked, and found for a question.

A behaviour is set for a name, for a server, for a name at a server, or for everything; what is set
most narrowly holds, and behaviours are not mixed.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from fqdnlab.dns.dnslib_codec import CodecError, rcode_number, type_number
from fqdnlab.errors import UsageError
from fqdnlab.world.store import packed_address
from fqdnlab.world.wire import name_text, name_wire
from fqdnlab.world.zone import parents

__all__ = ["MALFORMED", "TRANSPORTS", "WRONG", "Behaviour", "Behaviours"]

WRONG = ("id", "name", "type", "port", "address")
MALFORMED = ("empty", "short", "counts", "pointer", "garbage", "oversized")
TRANSPORTS = ("udp", "tcp", "tls", "https")
_MAX_DELAY = 3600.0  # s


@dataclass
class Behaviour:
    """What differs from normal; see world.proto for each field."""

    delay: float = 0.0
    loss: float = 0.0
    seed: int = 0
    rcode: str = ""
    silent: bool = False
    truncate: bool = False
    wrong: tuple[str, ...] = ()
    instead: bool = False
    wrong_addresses: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    malformed: str = ""
    limit: int = 0
    rotate_each: bool = False
    forward: str = ""
    times: int = 0
    types: tuple[str, ...] = ()
    transports: tuple[str, ...] = ()

    _random: random.Random = field(default_factory=random.Random, repr=False, compare=False)
    _types: frozenset[int] = field(default=frozenset(), repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check everything once, so that answering need not.

        Raises
        ------
        UsageError
            If a value cannot be.
        """
        self._check_numbers()
        self._check_words("wrong", self.wrong, WRONG)
        self._check_words("transports", self.transports, TRANSPORTS)
        if self.malformed and not self.malformed.startswith("hex:"):
            self._check_words("malformed", (self.malformed,), (*MALFORMED, "hex:…"))
        try:
            if self.malformed.startswith("hex:"):
                bytes.fromhex(self.malformed[4:])
            if self.rcode:
                rcode_number(self.rcode)
            self._types = frozenset(map(type_number, self.types))
        except CodecError as error:
            raise UsageError(str(error)) from None
        except ValueError:
            raise UsageError(f"{self.malformed!r} is no hex", "hex: and digits in pairs") from None
        for text in self.wrong_addresses:
            packed_address(text)
        self.extra_records()
        if self.forward:
            forward_target(self.forward)
        if self.instead and not self.wrong:
            raise UsageError("instead=True without wrong answers", "say wrong=[…] too")
        self._random.seed(self.seed)

    def _check_numbers(self) -> None:
        if not 0 <= self.delay <= _MAX_DELAY:
            raise UsageError(f"a delay of {self.delay} s cannot be", f"0 to {_MAX_DELAY:g} s")
        if not 0 <= self.loss <= 1:
            raise UsageError(f"loss={self.loss} is no probability", "expected 0 to 1")
        for name in ("limit", "times", "seed"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name}={getattr(self, name)} cannot be", "expected 0 or more")

    @staticmethod
    def _check_words(what: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
        for word in given:
            if word not in known:
                raise UsageError(f"{what}: {word!r} is not known", f"one of {', '.join(known)}")

    def extra_records(self) -> list[tuple[bytes, str]]:
        """The poison: (name, address) of each extra record."""
        found = []
        for text in self.extra:
            words = text.split()
            if len(words) != 2:
                raise UsageError(f"extra: {text!r} is not understood", 'expected "NAME ADDRESS"')
            packed_address(words[1])
            found.append((name_wire(words[0]), words[1]))
        return found

    def concerns(self, qtype: int, transport: str) -> bool:
        """Whether this is for a question of that type over that transport."""
        return (not self._types or qtype in self._types) and (
            not self.transports or transport in self.transports
        )

    def drops(self) -> bool:
        """Whether this question gets nothing; draws the next number of the seeded series."""
        return self.silent or (self.loss > 0 and self._random.random() < self.loss)

    def is_normal(self) -> bool:
        """Whether nothing at all is set."""
        plain = Behaviour()
        return all(
            getattr(self, f.name) == getattr(plain, f.name) for f in fields(self) if f.compare
        )


def forward_target(text: str) -> tuple[str, int]:
    """``HOST:PORT`` (an IPv6 address in brackets) or ``unix:PATH``, which gives ``(PATH, 0)``.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if text.startswith("unix:/"):
        return text[5:], 0
    host, colon, port = text.rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.strip("[]")))
        if not colon or not 0 < int(port) < 1 << 16:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"forward={text!r} is not understood", "expected ADDRESS:PORT or unix:/PATH"
        ) from None
    return address, int(port)


_Key = tuple[bytes, bytes]  # (name or empty, server or empty)


class Behaviours:
    """All that are set.  Belongs to the process's event loop."""

    def __init__(self) -> None:
        self._set: dict[_Key, Behaviour] = {}

    def __bool__(self) -> bool:
        return bool(self._set)

    def __iter__(self) -> Iterator[tuple[str, str, Behaviour]]:
        """(name, server, behaviour), texts."""
        for (name, server), behaviour in self._set.items():
            yield (
                name_text(name) if name else "",
                str(ipaddress.ip_address(server)) if server else "",
                behaviour,
            )

    def put(self, name: str, server: str, behaviour: Behaviour) -> None:
        """Set, or take away with one that is normal.

        Raises
        ------
        UsageError
            If the name or the server cannot be.
        """
        key = self._key(name, server)
        self._set.pop(key, None)
        if not behaviour.is_normal():
            self._set[key] = behaviour

    def clear(self, name: str = "", server: str = "") -> None:
        """Take away what is set for a name, a server, or (with neither) everything."""
        if name and server:
            self._set.pop(self._key(name, server), None)
            return
        wanted = self._key(name, server)
        self._set = {
            key: behaviour
            for key, behaviour in self._set.items()
            if (name and key[0] != wanted[0]) or (server and key[1] != wanted[1])
        }

    @staticmethod
    def _key(name: str, server: str) -> _Key:
        return name_wire(name) if name else b"", packed_address(server) if server else b""

    def of(self, server: bytes, name: bytes, qtype: int, transport: str) -> Behaviour | None:
        """The behaviour for a question; one of `times` is used up by it."""
        for key in self._keys(server, name):
            behaviour = self._set.get(key)
            if behaviour is not None and behaviour.concerns(qtype, transport):
                if behaviour.times:
                    behaviour.times -= 1
                    if not behaviour.times:
                        del self._set[key]
                return behaviour
        return None

    @staticmethod
    def _keys(server: bytes, name: bytes) -> Iterator[_Key]:
        """From the narrowest to the widest."""
        names = [name, *(b"\x01*" + parent for parent in parents(name))]
        for one in names:
            yield one, server
            yield one, b""
        yield b"", server
        yield b"", b""
