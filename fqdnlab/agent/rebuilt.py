"""A snapshot is lost: what the kernel's maps, rules.json and the policies say instead.  Pure.

The kernel has numbers; ``rules.json`` (the agent's own, for the observer) has what they stand for.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from fqdnlab.agent.cluster import Endpoint
from fqdnlab.agent.identities import policy_digest, world
from fqdnlab.agent.state import AgentState
from fqdnlab.datapath import abi
from fqdnlab.model.mapstate import Identity, RuleRef, compile_specs, selectors_of
from fqdnlab.model.policy import FQDNSelector

__all__ = ["rebuild_numbers"]

_FOREIGN = (ValueError, LookupError, TypeError, AttributeError)


def rebuild_numbers(state: AgentState, rules: Mapping[str, Any]) -> None:
    """Give `state` (policies and kernel content read) endpoints and numbers as they were.

    What `rules` does not tell, or tells in another form, is left out: it gets new numbers.
    """
    for number, row in _items(rules, "endpoints"):
        with suppress(*_FOREIGN):
            endpoint = _endpoint(state, number, row)
            state.endpoints[endpoint.id] = endpoint
    selectors = {s.label: s for s in selectors_of(state.policies.values())}
    for number, labels in _items(rules, "identities"):
        with suppress(*_FOREIGN):
            state.identities.restore(_identity(labels, selectors), number)
    for number, row in _items(rules, "rules"):
        with suppress(*_FOREIGN):
            ref = RuleRef((row["kind"], row["namespace"], row["policy"]), row["path"])
            state.rules.set(ref, number)
    _policy_ids(state)


def _items(rules: Mapping[str, Any], part: str) -> Iterable[tuple[int, Any]]:
    with suppress(*_FOREIGN):
        yield from [(int(number), row) for number, row in rules[part].items()]


def _endpoint(state: AgentState, number: int, row: Mapping[str, Any]) -> Endpoint:
    """What is told of it; LookupError if the kernel has none of that number."""
    kernel = {abi.ENDPOINT.unpack(value)[0]: key for key, value in state.content.endpoint.items()}
    ifindex = int.from_bytes(kernel[number], "little")
    labels = (label.removeprefix("k8s:").partition("=") for label in row["labels"])
    return Endpoint(
        number,
        row["name"],
        row["namespace"],
        tuple(sorted((k, v) for k, _, v in labels)),
        row["ifname"],
        ifindex,
        row["ip4"],
        row["ip6"],
    )


def _identity(labels: Iterable[str], selectors: Mapping[str, FQDNSelector]) -> Identity:
    """The identity that tells these labels (`Identity.label_list`)."""
    told = list(labels)
    for family in (4, 6):
        outside = world(family)
        if outside.label_list()[0] in told:
            names = [label for label in told if label.startswith("fqdn:")]
            networks = [label[5:] for label in told if label.startswith("cidr:")]
            return Identity(
                "net",
                outside.labels,
                outside.family,
                frozenset(selectors[name] for name in names),
                frozenset(ipaddress.ip_network(n) for n in networks),
            )
    parts = (label.partition("=") for label in told)
    return Identity("endpoint", tuple(sorted((k, v) for k, _, v in parts)))


def _policy_ids(state: AgentState) -> None:
    """The number under which the kernel has what selects an endpoint is that selection's."""
    enforced = state.enforced_policies()
    for value in state.content.endpoint.values():
        number, policy_id, *_ = abi.ENDPOINT.unpack(value)
        endpoint = state.endpoints.get(number)
        if endpoint is None or not policy_id:
            continue
        compiled = compile_specs(enforced, dict(endpoint.identity.labels))
        if compiled is not None:
            state.policy_ids.set(policy_digest(compiled), policy_id)
