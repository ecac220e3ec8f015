"""The words that a person reads beside Hubble's verdicts; the only place that makes them."""

from __future__ import annotations

__all__ = ["dns_result", "packet_result"]

_RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
}


def packet_result(verdict: str, reason: int, mapping_state: str) -> str:
    """A packet's word: ALLOWED, TO-PROXY, DENIED, EXPIRED, WAITS, INVALID.

    WAITS: the name was resolved while the agent was away, and the kernel does not know yet.
    """
    if verdict != "DROPPED":
        return "TO-PROXY" if verdict == "REDIRECTED" else "ALLOWED"
    if reason == 244 or mapping_state == "zombie":
        return "EXPIRED"
    if reason in (133, 181):
        return "WAITS" if mapping_state == "waits" and reason == 133 else "DENIED"
    return "INVALID" if reason else "DROPPED"


def dns_result(verdict: str, request: bool, rcode: int, addresses: int, state: str) -> str:
    """A DNS record's word: ASKED, REFUSED, FAILED, RESOLVED, WAITS, NODATA, or the code's name.

    REFUSED is the policy's word, whatever code the client was given; an upstream that refused says
    UPSTREAM-REFUSED.
    """
    if verdict == "DROPPED":
        return "REFUSED"
    if verdict == "ERROR":
        return "FAILED"
    if request:
        return "ASKED"
    if rcode == 5:
        return "UPSTREAM-REFUSED"
    if rcode:
        return _RCODES.get(rcode, str(rcode))
    if not addresses:
        return "NODATA"
    return "WAITS" if state == "waits" else "RESOLVED"
