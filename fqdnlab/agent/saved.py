"""What of the agent's state is saved, as JSON values, and back again.  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from fqdnlab.agent.cluster import Endpoint
from fqdnlab.agent.mappings import Mapping, MappingTable
from fqdnlab.agent.state import AgentState
from fqdnlab.model.labtime import LabClock
from fqdnlab.model.mapstate import Identity, RuleRef
from fqdnlab.model.policy import FQDNSelector, Policy

__all__ = [
    "Parse",
    "Saved",
    "SavedPolicy",
    "fill",
    "fill_policies",
    "identity_row",
    "mapping_row",
    "policies_body",
    "policy_rows",
    "state_body",
    "to_identity",
    "to_mapping",
]

#: YAML text, file, namespace → policies.
Parse = Callable[[str, str, str], tuple[Policy, ...]]


class SavedPolicy(NamedTuple):
    """A policy as it was saved; `line` is that of its first value in `file` (0: not saved)."""

    kind: str
    namespace: str
    name: str
    file: str
    line: int
    yaml: str


class Saved(NamedTuple):
    """What others may read of an agent's files: its policies and what it learned."""

    policies: tuple[SavedPolicy, ...]
    mappings: MappingTable


# ---------------------------------------------------------------- policies


def policies_body(state: AgentState) -> dict[str, Any]:
    """Policies as they were applied; a file of their own, as nothing can make them again."""
    return {
        "revision": state.revision,
        "policies": [
            [p.file, p.yaml, p.namespace, list(p.key), p.line] for p in state.policies.values()
        ],
    }


def policy_rows(body: dict[str, Any]) -> tuple[SavedPolicy, ...]:
    """The policies of a saved body, not parsed."""
    return tuple(
        SavedPolicy(key[0], key[1], key[2], file, line[0] if line else 0, text)
        for file, text, _, key, *line in body["policies"]
    )


def fill_policies(state: AgentState, body: dict[str, Any], parse: Parse) -> None:
    """Take over saved policies: all, or (with an exception) none."""
    found: dict[tuple[str, str, str], Policy] = {}
    for file, text, namespace, key, *line in body["policies"]:
        policy = _placed(parse, text, file, namespace or "default", key, line[0] if line else 0)
        if policy is not None:
            found[policy.key] = replace(policy, yaml=text)
    state.revision = int(body["revision"])
    state.policies.update(found)


def _placed(
    parse: Parse, text: str, file: str, namespace: str, key: list[str], line: int
) -> Policy | None:
    """The policy of that key in `text`, which stood at `line` of its file; 0: nobody knows."""
    # A file's first document has what stands before it, so its lines are right; others begin at
    # their first line, as a rule; else what the first try tells is made good.
    above = 0 if text.startswith(("\n", "#", "---")) else max(0, line - 1)
    found = None
    for _ in range(2):
        policies = parse("\n" * above + text, file, namespace)
        found = next((p for p in policies if list(p.key) == key), None)
        if found is None or not line or found.line == line:
            break
        above = max(0, above + line - found.line)
    return found


# ---------------------------------------------------------------- the rest


def state_body(state: AgentState) -> dict[str, Any]:
    """Endpoints, mappings, and all numbers that were given."""
    in_use = [(i, n) for i, n in state.known_identities() if n >= 256]
    return {
        "time": state.clock.to_row(),
        "endpoints": [list(vars(e).values()) for e in state.endpoints.values()],
        "rules": [[list(ref.policy), ref.path, n] for ref, n in state.rules.items()],
        "policy_ids": list(state.policy_ids.items()),
        "following": [
            state.rules.following,
            state.policy_ids.following,
            *state.identities.following(),
        ],
        "identities": [identity_row(i, n) for i, n in in_use],
        "mappings": [mapping_row(m) for m in state.mappings],
    }


def fill(state: AgentState, body: dict[str, Any]) -> None:
    """Take over a saved body: all of it, or (with an exception) nothing."""
    endpoints = [
        Endpoint(number, name, namespace, tuple((k, v) for k, v in labels), *rest)
        for number, name, namespace, labels, *rest in body["endpoints"]
    ]
    rules = [(RuleRef((p[0], p[1], p[2]), path), int(n)) for p, path, n in body["rules"]]
    policy_ids = [(str(digest), int(n)) for digest, n in body["policy_ids"]]
    identities = [to_identity(values) for values in body["identities"]]
    mappings = [to_mapping(values) for values in body["mappings"]]
    clock = LabClock.from_row(body["time"]) if "time" in body else state.clock
    rule, policy_id, cluster, local = (int(n) for n in body["following"])
    state.clock = clock
    state.endpoints.update((e.id, e) for e in endpoints)
    for ref, number in rules:
        state.rules.set(ref, number)
    for digest, number in policy_ids:
        state.policy_ids.set(digest, number)
    for identity, number in identities:
        state.identities.restore(identity, number)
    state.rules.avoid(rule - 1)
    state.policy_ids.avoid(policy_id - 1)
    state.identities.skip_to(cluster, local)
    for mapping in mappings:
        state.mappings.learn(mapping)


def mapping_row(m: Mapping) -> list[Any]:
    """A mapping as a list."""
    return [m.endpoint, m.name, m.address.hex(), m.ttl, m.learned, m.expires, m.zombie, m.source]


def to_mapping(values: list[Any]) -> Mapping:
    """The mapping that `mapping_row` wrote; ValueError or TypeError if it did not."""
    endpoint, name, address, ttl, learned, expires, zombie, source = values
    octets = bytes.fromhex(address)
    if len(octets) != 16:
        raise ValueError(f"{address} is no address")
    return Mapping(endpoint, name, octets, ttl, learned, expires, zombie, 0, source)


def identity_row(identity: Identity, number: int) -> list[Any]:
    """An identity with its number as a list."""
    selectors = sorted([s.match_name, s.match_pattern] for s in identity.selectors)
    networks = sorted(str(n) for n in identity.networks)
    return [identity.kind, identity.labels, identity.family, selectors, networks, number]


def to_identity(values: list[Any]) -> tuple[Identity, int]:
    """What `identity_row` wrote."""
    kind, labels, family, selectors, networks, number = values
    identity = Identity(
        kind,
        tuple((k, v) for k, v in labels),
        family,
        frozenset(FQDNSelector(*s) for s in selectors),
        frozenset(ipaddress.ip_network(n) for n in networks),
    )
    return identity, int(number)
