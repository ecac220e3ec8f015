"""Mappings that no agent took: kept in order, on disk too, for the agent that comes.

One file for all generations, only ever appended to; whoever hands it over renames it first, so that
a generation that is still draining loses nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Journal", "Kept"]


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
        self._fd = -1
        self.kept = 0
        self.dropped = 0

    def keep(self, mapping: Kept) -> None:
        """Append `mapping`, unless it is there already."""
        if mapping in self._known:
            return
        if len(self._known) >= self._most:
            self.dropped += 1
            if not self._most:
                return
            self._known.pop(next(iter(self._known)))
        self._known[mapping] = None
        self.kept += 1
        line = [mapping.endpoint, mapping.name, [a.hex() for a in mapping.addresses], mapping.ttl]
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o600)
        os.write(self._fd, json.dumps(line).encode() + b"\n")

    def waiting(self) -> bool:
        """Whether there is something to hand over."""
        return self._path.exists() or any(self._folder.glob("handing-*.jsonl"))

    def take(self) -> tuple[list[Kept], list[Path]]:
        """All that is kept, oldest first, and the files to remove once it is acknowledged."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._path.exists():
            number = 1 + max((_number(p) for p in self._files()), default=0)
            self._path.rename(self._folder / f"handing-{number:09d}.jsonl")
        files = self._files()
        self._known.clear()
        found: dict[Kept, None] = {}
        for path in files:
            for mapping in _read(path):
                found.pop(mapping, None)  # the last look-up counts
                found[mapping] = None
        kept = list(found)
        if len(kept) > self._most:
            self.dropped += len(kept) - self._most
            kept = kept[len(kept) - self._most :]
        return kept, files

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("handing-*.jsonl"))

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _read(path: Path) -> list[Kept]:
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            endpoint, name, addresses, ttl = json.loads(line)
            packed = tuple(bytes.fromhex(a) for a in addresses)
            found.append(Kept(int(endpoint), str(name), packed, int(ttl)))
        except (ValueError, TypeError):
            continue  # the last line of a killed proxy
    return found
