"""What the kernel holds at an agent's start is taken over, whatever the disk says.  Pure."""

from __future__ import annotations

from fqdnlab.agent.mappings import Mapping
from fqdnlab.agent.state import RESTORED, AgentState
from fqdnlab.datapath import abi

__all__ = ["avoid_numbers", "restore_addresses"]


def avoid_numbers(state: AgentState) -> None:
    """Give no number anew that the kernel's entries (`state.content`) have."""
    for key, value in state.content.policy.items():
        state.policy_ids.avoid(int.from_bytes(key[4:8], "big"))
        state.identities.avoid(int.from_bytes(key[8:12], "big"))
        state.rules.avoid(abi.POLICY_VALUE.unpack(value)[0])
    addresses = (*state.content.ipcache.values(), *state.content.cidr.values())
    for value in set(addresses):  # alike in their thousands
        for number in abi.IPCACHE_VALUE.unpack(value)[:2]:
            state.identities.avoid(number)


def restore_addresses(state: AgentState, now: int, interval: int) -> None:
    """Addresses that the kernel has and the disk does not: theirs for one more interval (ns)."""
    known = {n: i for i, n in state.identities.items()}
    have = set(state.mappings.addresses())
    for address, value in state.content.ipcache.items():
        identity = known.get(abi.IPCACHE_VALUE.unpack(value)[0])
        if address in have or identity is None:
            continue
        for selector in identity.selectors:
            name = RESTORED + selector.pattern
            state.mappings.learn(
                Mapping(0, name, address, 0, now, now + interval, source="connection")
            )
