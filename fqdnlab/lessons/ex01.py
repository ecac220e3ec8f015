"""01: what an FQDN policy is, and the first one that fails."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise
from fqdnlab.lessons.expect import number

_IMG, _IMG_AT, _API = "img.example.com", "203.0.113.19", "api.example.com"


@exercise("01.1")
def _(answer: Any, lab: Any) -> str:
    asked = len(lab.world.queries(name="tracker.ads.net"))
    return number(
        answer,
        asked,
        "look at lab.world.queries(name='tracker.ads.net'): the proxy refuses what no DNS rule"
        " allows, and asks nobody",
    )


@exercise("01.2")
def _(answer: Any, lab: Any) -> str:
    lab.apply(answer)
    web = lab.endpoint("web")
    lab.world[_IMG] = [_IMG_AT]
    known = web.run(["getent", "ahostsv4", _IMG])
    if known.exit:
        return f"{_IMG} does not resolve: its question needs a line under rules.dns"
    if not web.connect(_IMG, 443):
        return f"{_IMG} resolves but is dropped: it needs a line under toFQDNs, for port 443"
    if not web.connect(_API, 443):
        return f"{_API} is not reachable any more: leave its lines in"
    if web.connect("192.0.2.66", 443, timeout=1):
        return "192.0.2.66 is reachable now: the policy has become too wide"
    return ""
