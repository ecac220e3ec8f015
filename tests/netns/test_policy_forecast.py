"""What the policy author foretells is what the kernel does once the policy is applied."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fqdnlab.lab import Lab, machine_service
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.notebook import policy
from fqdnlab.notebook.policy import PolicyAuthor
from fqdnlab.notebook.policy_flows import places, retold
from fqdnlab.notebook.policy_forecast import Change, forecast_of
from fqdnlab.notebook.policy_templates import template
from fqdnlab.testing import eventually
from tests.lab_kit import PATIENCE, Asked, Site

LABELS = {"app": "web"}
WORLD = {
    "api.example.com": ("198.51.100.7", "2001:db8:1::7"),
    "img.cdn.example.com": ("203.0.113.19",),
    "tracker.ads.net": ("192.0.2.66",),
    "shared.example.com": ("203.0.113.19",),
}
ANSWERS = {
    "answered, learned": "NOERROR",
    "answered, not learned": "NOERROR",
    "refused": "REFUSED",
    "dropped: no answer": "TIMEOUT",
}
RANGE = template("names", LABELS).replace('{port: "443", ', '{port: "80", endPort: 444, ')
CASES = {
    **{n: (template(n, LABELS),) for n in ("names", "wildcard", "dns", "fails", "unsupported")},
    "a range": (RANGE,),
    "a denial beside names": (template("names", LABELS), template("deny", LABELS)),
    "a denial of what a name opens": (
        template("wildcard", LABELS),
        template("deny", LABELS).replace("192.0.2.0/24", "203.0.113.0/24"),
    ),
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with machine_service(), Lab(f"forecast-{os.getpid()}") as lab:
        lab.endpoint("web", labels=LABELS)
        lab.endpoint("db", labels={"app": "db"})
        yield Site(lab)


@pytest.fixture(autouse=True)
def _fresh(site: Site) -> Iterator[None]:
    for name, addresses in WORLD.items():
        site.lab.world.set(name, addresses, ttl=600)
    yield
    site.forget()


def asked(site: Site, name: str, wanted: str) -> Asked:
    """What the endpoint is told, for both families: a look-up as programs do it."""
    patience = 0.5 if wanted == "TIMEOUT" else PATIENCE
    found = site.ask("web", name, patience=patience)
    assert site.ask("web", name, "AAAA", patience=patience).rcode == found.rcode
    return found


def told(changes: tuple[Change, ...]) -> dict[tuple[str, str], bool]:
    """(address, port) → whether it passes: TCP of the endpoint web."""
    return {
        (address, port.partition("/")[0]): c.after.passes
        for c in changes
        if c.what == "packet" and "web" in c.endpoints
        for address in c.addresses
        for port in (["443/TCP", "80/TCP"] if c.ports == ("all ports",) else c.ports)
        if port in ("443/TCP", "80/TCP", "444/TCP")
    }


@pytest.mark.parametrize("case", CASES)
def test_it_comes_true(site: Site, case: str) -> None:
    first, *rest = CASES[case]
    for text in rest:
        site.lab.apply(text)
    found = forecast_of(site.lab.facts(), parse_policies(first))
    every = (*found.changes, *found.stays)
    site.lab.apply(first)
    for c in every:
        if c.what == "look-up" and "web" in c.endpoints:
            word = ANSWERS[c.after.word]
            for name in c.targets:
                assert asked(site, name, word).rcode == word, (name, c)
    wanted = told(every)
    known = {a for addresses in WORLD.values() for a in addresses}
    assert {a for a, _ in wanted} >= known
    words = {(a, int(p)): passes for (a, p), passes in wanted.items() if a in known}
    for passes in (True, False):
        where = [place for place, word in words.items() if word == passes]
        seen = site.tcp("web", *where, patience=10.0 if passes else 0.4) if where else []
        wrong = [p for p, word in zip(where, seen, strict=True) if (word != "dropped") != passes]
        assert wrong == [], f"foretold to {'pass' if passes else 'be dropped'}"


PINGS = "  - toEntities: [world]\n    icmps: [{fields: [{family: IPv4, type: 8}]}]\n"


def test_a_ping_comes_true_in_both_families(site: Site) -> None:
    text = template("names", LABELS) + PINGS
    found = forecast_of(site.lab.facts(), parse_policies(text))
    words = {
        address: c.after.passes
        for c in (*found.changes, *found.stays)
        if c.what == "packet" and "web" in c.endpoints
        for address in c.addresses
        if {"all ports", "other/ICMP" if ":" in address else "8/ICMPv4"} & {*c.ports}
    }
    four, six = WORLD["api.example.com"]
    assert (words[four], words[six]) == (True, False)
    assert site.ping("web", six, patience=10.0), "without a policy"
    site.lab.apply(text)
    assert site.ping("web", four, patience=10.0)
    assert not site.ping("web", six)


def test_flows_that_passed_and_would_be_dropped(site: Site) -> None:
    site.lab.apply(template("names", LABELS))
    site.learn("web", "api.example.com", *WORLD["api.example.com"])
    where = ("198.51.100.7", 443)
    for _ in range(3):
        assert site.tcp("web", where, patience=10.0) == ["open"]

    def seen() -> bool:
        flows = site.lab.flows()
        return bool(((flows["address"] == where[0]) & (flows["tcp_flags"] != "")).any())

    eventually(seen, 10, "the flows to be recorded")
    rows = site.lab.flows().to_dict("records")
    closing = parse_policies(template("names", LABELS).replace("443", "8443"))
    found = retold(site.lab.facts(), closing, rows)
    (change,) = [c for c in found.changes if c.address == where[0]]
    assert (change.endpoint, change.target, change.port) == ("web", "api.example.com", "443/TCP")
    assert change.times >= 3
    assert change.before.passes
    assert not change.after.passes
    assert where[0] in {address for address, _ in places(rows)}
    site.lab.apply(template("names", LABELS).replace("443", "8443"))
    assert site.tcp("web", where) == ["dropped"]


@pytest.fixture
def author(site: Site) -> Iterator[PolicyAuthor]:
    made = site.lab.panel("policy")
    assert isinstance(made, PolicyAuthor)
    eventually(lambda: made.text, 10, "a text to begin with")
    yield made
    made.close()


def test_what_is_judged_is_the_newest_text(
    author: PolicyAuthor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that takes long on another thread must not come after that of a newer text."""
    old, new = (template(name, LABELS) for name in ("deny", "dns"))
    author.do_yaml({"text": old})
    begun, newer = threading.Event(), threading.Event()

    def slow(text: str, *rest: Any) -> dict[str, Any]:
        found = check(text, *rest)
        if text == old:
            begun.set()
            newer.wait(0.5)  # less, where the newer text is judged meanwhile
        return found

    check = policy.check
    monkeypatch.setattr(policy, "check", slow)
    late = threading.Thread(target=author._judge)
    late.start()
    assert begun.wait(10)
    author.do_yaml({"text": new})
    newer.set()
    late.join(10)
    assert author.text == new
    assert author.judged["documents"] == ["dns-only"]
