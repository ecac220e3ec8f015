"""The agent's state on disk: a snapshot (atomic, versioned, checksummed) and a journal of mappings.

The snapshot is written when policies or endpoints change and after each collection pass; each
mapping is appended to the journal as it comes, so that a killed agent has lost none.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from fqdnlab.agent.cluster import Endpoint
from fqdnlab.agent.mappings import Mapping
from fqdnlab.agent.state import AgentState
from fqdnlab.errors import StateError
from fqdnlab.model.mapstate import Identity, RuleRef
from fqdnlab.model.policy import FQDNSelector, Policy

__all__ = ["Store", "write_atomically"]

_VERSION = 1


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
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / "state.json"
        self._journal_path = folder / "mappings.jsonl"
        self._journal: TextIOWrapper | None = None

    def load(self, state: AgentState, parse: Any) -> list[str]:
        """Fill `state` with what was stored.

        Parameters
        ----------
        state : AgentState
            Fresh.
        parse : callable
            YAML text, file → policies.

        Returns
        -------
        list of str
            Warnings; a file that cannot be read is set aside and named in one.
        """
        warnings: list[str] = []
        if self._file.exists():
            try:
                _fill(state, _checked(self._file), parse)
            except (StateError, ValueError, KeyError, TypeError) as error:
                aside = self._file.with_name("state.json.corrupt")
                self._file.replace(aside)
                warnings.append(f"{self._file} is corrupt ({error}); set aside as {aside}")
        for mapping in self._replay():
            state.mappings.learn(mapping)
        return warnings

    def save(self, state: AgentState) -> None:
        """Write the snapshot; the journal begins anew."""
        body = json.dumps(_body(state), separators=(",", ":"))
        check = hashlib.sha256(body.encode()).hexdigest()
        text = json.dumps({"version": _VERSION, "sha256": check, "body": body})
        write_atomically(self._file, text.encode())
        self._open_journal("w")

    def append(self, mappings: Iterable[Mapping]) -> None:
        """Add to the journal; in the page cache before this returns."""
        journal = self._journal or self._open_journal("a")
        journal.writelines(json.dumps(_mapping(m)) + "\n" for m in mappings)
        journal.flush()

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

    def _replay(self) -> Iterable[Mapping]:
        if not self._journal_path.exists():
            return
        for line in self._journal_path.read_text(errors="replace").splitlines():
            try:
                yield _to_mapping(json.loads(line))
            except (ValueError, TypeError, IndexError):
                continue  # the last line of a killed agent


def _checked(path: Path) -> dict[str, Any]:
    outer = json.loads(path.read_text())
    if outer["version"] != _VERSION:
        raise StateError(f"version {outer['version']}, expected {_VERSION}")
    body = outer["body"]
    if hashlib.sha256(body.encode()).hexdigest() != outer["sha256"]:
        raise StateError("its checksum does not fit")
    found: dict[str, Any] = json.loads(body)
    return found


def _body(state: AgentState) -> dict[str, Any]:
    in_use = [(i, n) for i, n in state.known_identities() if n >= 256]
    return {
        "revision": state.revision,
        "policies": [[p.file, p.yaml, p.namespace, list(p.key)] for p in state.policies.values()],
        "endpoints": [list(vars(e).values()) for e in state.endpoints.values()],
        "rules": [[list(ref.policy), ref.path, n] for ref, n in state.rules.items()],
        "policy_ids": list(state.policy_ids.items()),
        "identities": [_identity(i, n) for i, n in in_use],
        "mappings": [_mapping(m) for m in state.mappings],
    }


def _fill(state: AgentState, body: dict[str, Any], parse: Any) -> None:
    for file, text, namespace, key in body["policies"]:
        for policy in _parsed(parse, text, file, namespace):
            if list(policy.key) == key:
                state.policies[policy.key] = policy
    for values in body["endpoints"]:
        number, name, namespace, labels, *rest = values
        state.endpoints[number] = Endpoint(
            number, name, namespace, tuple((k, v) for k, v in labels), *rest
        )
    for policy, path, number in body["rules"]:
        state.rules.set(RuleRef((policy[0], policy[1], policy[2]), path), number)
    for digest, number in body["policy_ids"]:
        state.policy_ids.set(digest, number)
    for values in body["identities"]:
        state.identities.restore(*_to_identity(values))
    for values in body["mappings"]:
        state.mappings.learn(_to_mapping(values))
    state.revision = int(body["revision"])


def _parsed(parse: Any, text: str, file: str, namespace: str) -> tuple[Policy, ...]:
    found: tuple[Policy, ...] = parse(text, file, namespace or "default")
    return found


def _mapping(m: Mapping) -> list[Any]:
    return [m.endpoint, m.name, m.address.hex(), m.ttl, m.learned, m.expires, m.zombie, m.source]


def _to_mapping(values: list[Any]) -> Mapping:
    endpoint, name, address, ttl, learned, expires, zombie, source = values
    octets = bytes.fromhex(address)
    if len(octets) != 16:
        raise ValueError(f"{address} is no address")
    return Mapping(endpoint, name, octets, ttl, learned, expires, zombie, 0, source)


def _identity(identity: Identity, number: int) -> list[Any]:
    selectors = [[s.match_name, s.match_pattern] for s in identity.selectors]
    networks = [str(n) for n in identity.networks]
    return [identity.kind, identity.labels, identity.family, selectors, networks, number]


def _to_identity(values: list[Any]) -> tuple[Identity, int]:
    kind, labels, family, selectors, networks, number = values
    identity = Identity(
        kind,
        tuple((k, v) for k, v in labels),
        family,
        frozenset(FQDNSelector(*s) for s in selectors),
        frozenset(ipaddress.ip_network(n) for n in networks),
    )
    return identity, number
