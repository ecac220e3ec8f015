"""What names were learned, on disk, so that a new observer still knows them.

One JSON line for each: endpoint, address, name, start, end, early.  It lives in /run, as long as
the boot whose CLOCK_BOOTTIME it speaks of.  A line cut short by a kill is skipped.
"""

from __future__ import annotations

import json
from pathlib import Path

from fqdnlab.observer.names import NameHistory, Told

__all__ = ["Journal"]

_LARGEST = 8 << 20  # octets; then it is written anew, with what is still remembered
_GROWTH = 2  # of what is remembered, where that alone is as large


class Journal:
    """Keeps `names` in the file at `path`.

    Parameters
    ----------
    path : Path
    names : NameHistory
        Filled with what the file holds.
    """

    def __init__(self, path: Path, names: NameHistory) -> None:
        self._path = path
        self._names = names
        self.faults = 0
        self._limit = 0
        self._load()
        self._rewrite()

    def _load(self) -> None:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                endpoint, address, name, start, end, early = json.loads(line)
                told = Told(
                    int(endpoint), str(address), str(name), int(start), int(end), str(early)
                )
            except (ValueError, TypeError):
                self.faults += 1
                continue
            self._names.restore(told)

    def _rewrite(self) -> None:
        fresh = self._path.with_suffix(".new")
        with open(fresh, "w", encoding="utf-8") as file:
            file.writelines(map(_line, self._names.everything()))
            self._limit = max(_LARGEST, file.tell() * _GROWTH)
        fresh.replace(self._path)
        self._names.drain()

    def write(self) -> None:
        """Append what was learned since; call it now and then."""
        told = self._names.drain()
        if not told:
            return
        with open(self._path, "a", encoding="utf-8") as file:
            file.writelines(map(_line, told))
            size = file.tell()
        if size > self._limit:
            self._rewrite()


def _line(told: Told) -> str:
    return json.dumps(told, separators=(",", ":")) + "\n"
