"""The agent's files: policies, a snapshot of the rest, and a journal since that snapshot.

``policies.json`` and ``state.json`` are atomic, versioned and checksummed, each by itself: what a
corrupt snapshot loses can be made again from the kernel and the policies.  Each mapping is appended
to ``mappings.jsonl`` as it comes, with the identity it made, so that a killed agent has lost none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from fqdnlab.agent.mappings import Mapping, MappingTable
from fqdnlab.agent.saved import (
    Parse,
    Saved,
    SavedPolicy,
    fill,
    fill_policies,
    identity_row,
    mapping_row,
    policies_body,
    policy_rows,
    state_body,
    to_identity,
    to_mapping,
)
from fqdnlab.agent.state import AgentState
from fqdnlab.errors import StateError
from fqdnlab.model.mapstate import Identity

__all__ = ["Saved", "SavedPolicy", "Store", "read_saved", "write_atomically"]

_VERSION = 2
#: Lines of the journal, beyond those that a whole snapshot would have.
_MOST_LINES = 20_000
#: What a file that is not ours, or not whole, may raise when it is read.
_FOREIGN = (StateError, ValueError, LookupError, TypeError, AttributeError)


def write_atomically(path: Path, octets: bytes, mode: int = 0o600) -> None:
    """Replace the contents of `path`: readers see all of it or what was before."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(octets)
        os.chmod(fresh, mode)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


class Store:
    """The files in one directory.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    policies_read, state_read : bool
        Whether `load` found the file and could read it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._policies_file = folder / "policies.json"
        self._file = folder / "state.json"
        self._journal_path = folder / "mappings.jsonl"
        self._journal: TextIOWrapper | None = None
        self._lines = 0
        self._policies_written = ""
        self.policies_read = self.state_read = False

    def load(self, state: AgentState, parse: Parse) -> list[str]:
        """Fill `state` with what was stored.

        Parameters
        ----------
        state : AgentState
            Fresh.
        parse : callable
            YAML text, file, namespace → policies.

        Returns
        -------
        list of str
            Warnings; a file that cannot be read is set aside and named in one.
        """
        warnings: list[str] = []
        for path in (self._policies_file, self._file):
            if not path.exists():
                continue
            try:
                body = _checked(path)
                if path is self._file:
                    fill(state, body)
                    self.state_read = True
                else:
                    fill_policies(state, body, parse)
                    self.policies_read = True
            except _FOREIGN as error:
                aside = path.with_name(f"{path.name}.corrupt")
                path.replace(aside)
                warnings.append(f"{path} cannot be used ({error}); set aside as {aside}")
        unread = 0
        for found in _replay(self._journal_path):
            if isinstance(found, Mapping):
                state.mappings.learn(found)
            elif isinstance(found, tuple):
                state.identities.restore(*found)
            else:
                unread += 1
        if unread > 1:  # one is the last line of a killed agent
            warnings.append(f"{self._journal_path}: {unread} lines cannot be read")
        return warnings

    def save(self, state: AgentState, policies: bool = True) -> None:
        """Write the snapshot; the journal begins anew.

        Parameters
        ----------
        state : AgentState
        policies : bool
            False: their file stays as it is.
        """
        if policies:
            text = _sealed(policies_body(state))
            if text != self._policies_written:
                write_atomically(self._policies_file, text.encode())
                self._policies_written = text
        write_atomically(self._file, _sealed(state_body(state)).encode())
        self._open_journal("w")
        self._lines = 0

    def append(
        self, mappings: Iterable[Mapping], identities: Iterable[tuple[Identity, int]] = ()
    ) -> None:
        """Add to the journal; in the page cache before this returns."""
        journal = self._journal or self._open_journal("a")
        lines = [json.dumps({"identity": identity_row(i, n)}) + "\n" for i, n in identities]
        lines += [json.dumps(mapping_row(m)) + "\n" for m in mappings]
        journal.writelines(lines)
        journal.flush()
        self._lines += len(lines)

    def overgrown(self, mappings: int) -> bool:
        """Whether a snapshot of that many mappings would be much shorter than the journal."""
        return self._lines > mappings + _MOST_LINES

    def base(self) -> dict[str, Any] | None:
        """The bodies that were saved last; None if there is none that can be read."""
        try:
            return {"policies": _checked(self._policies_file), "state": _checked(self._file)}
        except (*_FOREIGN, OSError):
            return None

    def close(self) -> None:
        """Close the journal."""
        if self._journal:
            self._journal.close()
            self._journal = None

    def _open_journal(self, mode: str) -> TextIOWrapper:
        self.close()
        made = self._journal_path.open(mode, encoding="utf-8")
        assert isinstance(made, TextIOWrapper)
        self._journal = made
        return made


def read_saved(folder: Path) -> Saved:
    """What an agent saved last, alive or dead; nothing is written, moved or complained of.

    Raises
    ------
    OSError, ValueError, LookupError, StateError
        If there is none, or it is corrupt.
    """
    policies = policy_rows(_checked(folder / "policies.json"))
    table = MappingTable()
    for values in _checked(folder / "state.json")["mappings"]:
        table.learn(to_mapping(values))
    for found in _replay(folder / "mappings.jsonl"):
        if isinstance(found, Mapping):
            table.learn(found)
    return Saved(policies, table)


def _replay(path: Path) -> Iterable[Mapping | tuple[Identity, int] | None]:
    """What a journal holds, in order; None for a line that cannot be read."""
    if not path.exists():
        return
    for line in path.read_text(errors="replace").splitlines():
        try:
            values = json.loads(line)
            if isinstance(values, dict):
                yield to_identity(values["identity"])
            else:
                yield to_mapping(values)
        except (ValueError, TypeError, LookupError):
            yield None


def _sealed(body: dict[str, Any]) -> str:
    text = json.dumps(body, separators=(",", ":"))
    check = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps({"version": _VERSION, "sha256": check, "body": text})


def _checked(path: Path) -> dict[str, Any]:
    outer = json.loads(path.read_text())
    if outer["version"] != _VERSION:
        raise StateError(f"version {outer['version']}, expected {_VERSION}")
    body = outer["body"]
    if hashlib.sha256(body.encode()).hexdigest() != outer["sha256"]:
        raise StateError("its checksum does not fit")
    found: dict[str, Any] = json.loads(body)
    return found
