"""Mappings that no agent took: kept in order, on disk too, for the agent that comes.

One file for all generations, only ever appended to; whoever hands it over renames it first, so that
a generation that is still draining loses nothing: it sees, after each line, whether the file is
still the one of that name, and if not writes the line again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Journal", "Kept", "peek", "waiting"]

_MOST_FILES = 4
_log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """A mapping as it was released to a client while no agent was there."""

    endpoint: int
    name: str
    addresses: tuple[bytes, ...]
    ttl: int


class Journal:
    """The file of one folder.

    Parameters
    ----------
    folder : Path
    most : int
        How many are kept; the oldest go.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._path = folder / "kept.jsonl"
        self._most = most
        self._known: dict[Kept, None] = {}
        self._lines = 0
        self._over = 0  # of `dropped`, those still in the files
        self._fd = -1
        self.kept = 0
        self.dropped = 0

    def keep(self, mapping: Kept) -> None:
        """Append `mapping`, unless it is there already; never fails, what is lost is counted."""
        if mapping in self._known:
            return
        if not self._most:
            self.dropped += 1
            return
        try:
            self._append(mapping)
        except OSError as error:
            self.dropped += 1
            _log.warning("%s: %s", self._path, error)
            self.close()
            return
        self.kept += 1
        self._known[mapping] = None
        if len(self._known) > self._most:
            self._known.pop(next(iter(self._known)))
            self.dropped += 1
            self._over += 1

    def _append(self, mapping: Kept) -> None:
        self._open()
        if self._lines >= 2 * self._most:  # half of them are not worth the disk
            self._known = dict.fromkeys(self._merge(*self.take()))
        octets = _line(mapping)
        for _ in range(3):
            self._open()
            if os.write(self._fd, octets) != len(octets):
                raise OSError("no room for a line")
            self._lines += 1
            if self._is_current():
                return
            self.close()  # renamed meanwhile, and perhaps read already

    def _open(self) -> None:
        if self._fd >= 0:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o600)
        before = self._path.read_bytes()
        self._lines = before.count(b"\n")
        if before and not before.endswith(b"\n"):  # its writer was killed in the middle of a line
            os.write(self._fd, b"\n")

    def _is_current(self) -> bool:
        mine = os.fstat(self._fd)
        with suppress(FileNotFoundError):
            named = os.stat(self._path)
            return (mine.st_ino, mine.st_dev) == (named.st_ino, named.st_dev)
        return False

    def _merge(self, kept: list[Kept], files: list[Path]) -> list[Kept]:
        """One file in place of `files`."""
        fresh = self._folder / f".kept.{os.getpid()}"
        fresh.write_bytes(b"".join(map(_line, kept)))
        fresh.rename(self._next_name())
        for path in files:
            path.unlink(missing_ok=True)
        return kept

    def _next_name(self) -> Path:
        number = 1 + max((_number(p) for p in self._files()), default=0)
        return self._folder / f"handing-{number:09d}.jsonl"

    def waiting(self) -> bool:
        """Whether there is something to hand over."""
        return waiting(self._folder)

    def take(self) -> tuple[list[Kept], list[Path]]:
        """All that is kept, oldest first, and the files to remove once it is acknowledged."""
        self.close()
        with suppress(FileNotFoundError):  # another generation may be quicker
            self._path.rename(self._next_name())
        files = self._files()
        self._known.clear()
        kept = _read_all(files)
        over = max(0, len(kept) - self._most)
        self.dropped += max(0, over - self._over)
        self._over = 0
        kept = kept[over:]
        if over or len(files) > _MOST_FILES:  # agents came and went, and took nothing
            self._merge(kept, files)
            files = self._files()
        return kept, files

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("handing-*.jsonl"))

    def close(self) -> None:
        """Close the file."""
        self._lines = 0
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def waiting(folder: Path) -> bool:
    """Whether something is kept in `folder` that no agent has taken yet."""
    return (folder / "kept.jsonl").exists() or any(folder.glob("handing-*.jsonl"))


def peek(folder: Path) -> list[Kept]:
    """All that is kept in `folder`, oldest first; nothing is taken."""
    return _read_all([*sorted(folder.glob("handing-*.jsonl")), folder / "kept.jsonl"])


def _read_all(files: Iterable[Path]) -> list[Kept]:
    found: dict[Kept, None] = {}
    for path in files:
        for mapping in _read(path):
            found.pop(mapping, None)  # the last look-up counts
            found[mapping] = None
    return list(found)


def _line(m: Kept) -> bytes:
    words = [m.endpoint, m.name, [a.hex() for a in m.addresses], m.ttl]
    return json.dumps(words).encode() + b"\n"


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _read(path: Path) -> list[Kept]:
    found = []
    text = ""
    with suppress(FileNotFoundError):  # handed over by another generation
        text = path.read_text(errors="replace")
    for line in text.splitlines():
        try:
            endpoint, name, addresses, ttl = json.loads(line)
            packed = tuple(bytes.fromhex(a) for a in addresses)
            found.append(Kept(int(endpoint), str(name), packed, int(ttl)))
        except (ValueError, TypeError):
            continue  # the last line of a killed proxy
    return found
