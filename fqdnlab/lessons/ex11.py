"""11: bypasses."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise


@exercise("11.1")
def _(answer: Any, lab: Any) -> str:
    lab.apply(answer)
    if "web-open-https" not in set(lab.policies()["name"]):
        return "web-open-https is gone: apply policies/11-open-https.yaml again, and leave it"
    web = lab.endpoint("web")
    if web.connect("192.0.2.66", 443, timeout=1):
        return "192.0.2.66 is still reachable: does the policy select web, and is it egressDeny?"
    if not web.connect("203.0.113.99", 443):
        return (
            "other addresses are not reachable any more: deny 192.0.2.0/24 alone, in a policy with"
            " a name of its own (one named web-open-https replaces it: if yours was, apply"
            " policies/11-open-https.yaml again)"
        )
    return ""
