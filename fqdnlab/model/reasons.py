"""Drop reasons: numbers of bpf/abi.h (Cilium's where it has one) and their words.

The words of Cilium's numbers are those of its metrics and of ``cilium-dbg monitor``.
"""

from __future__ import annotations

__all__ = [
    "POLICY_DENIED",
    "POLICY_DENY",
    "POLICY_REASONS",
    "REASONS",
    "ZOMBIE_NEW_FLOW",
    "reason_text",
]

POLICY_DENIED = 133
POLICY_DENY = 181
ZOMBIE_NEW_FLOW = 244

#: Number → (name of flow.DropReason, words).
REASONS: dict[int, tuple[str, str]] = {
    132: ("INVALID_SOURCE_IP", "Invalid source ip"),
    133: ("POLICY_DENIED", "Policy denied"),
    134: ("INVALID_PACKET_DROPPED", "Invalid packet"),
    137: ("CT_UNKNOWN_L4_PROTOCOL", "CT: Unknown L4 protocol"),
    139: ("UNSUPPORTED_L3_PROTOCOL", "Unsupported L3 protocol"),
    142: ("UNKNOWN_L4_PROTOCOL", "Unknown L4 protocol"),
    155: ("CT_MAP_INSERTION_FAILED", "CT: Map insertion failed"),
    175: (
        "FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND",
        "First logical datagram fragment not found",
    ),
    181: ("POLICY_DENY", "Policy denied by denylist"),
    240: ("FQDNLAB_NO_PROXY", "No DNS proxy to redirect to"),
    241: ("FQDNLAB_INTERNAL_ADDRESS", "Internal address of the node"),
    242: ("FQDNLAB_EXTENSION_HEADERS", "Unknown or too many extension headers"),
    243: ("FQDNLAB_FRAGMENT_INVALID", "Invalid fragment"),
    244: ("FQDNLAB_ZOMBIE_NEW_FLOW", "New flow to an expired mapping"),
    245: ("FQDNLAB_STEERING_FAILED", "Steering to the proxy failed"),
}

#: Reasons with which the policy itself decided.
POLICY_REASONS = frozenset({POLICY_DENIED, POLICY_DENY, ZOMBIE_NEW_FLOW})


def reason_text(reason: int) -> str:
    """Words for a drop reason; its number, if it has none; '' for 0."""
    if not reason:
        return ""
    return REASONS[reason][1] if reason in REASONS else str(reason)
