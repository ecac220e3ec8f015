"""Rows of the table: the glyph's kind, the word, the reason, the short rule."""

from __future__ import annotations

from typing import Any

import pytest

from fqdnlab.model.flow_rates import is_outcome, rate_kind
from fqdnlab.notebook.rows import COLUMNS, view
from tests.unit.notebook.kit import T0, row


def shown(**more: Any) -> dict[str, Any]:
    return dict(zip(COLUMNS, view(1, row(**more)), strict=True))


def dns(**more: Any) -> dict[str, Any]:
    return shown(kind="dns", qtype="A", **more)


def test_a_packet_that_passed() -> None:
    one = shown(rule="default/web-egress egress[1] toFQDNs matchPattern *.cdn.example.com 443/TCP")
    assert (one["kind"], one["word"], one["why"]) == ("a", "FORWARDED", "")
    assert one["detail"] == "198.51.100.7:443"
    assert one["short"] == "*.cdn.example.com"
    assert one["time"] == T0 * 1000


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("api.example.com", "api.example.com"),
        ("img.cdn.example.com", "*.cdn.example.com"),
        ("other.example.com", "egress[1]"),
        ("", "egress[1]"),
    ],
)
def test_of_a_list_of_selectors_the_one_that_has_the_name(name: str, short: str) -> None:
    peers = "matchName api.example.com, matchPattern *.cdn.example.com and 2 more"
    rule = f"default/web-egress egress[1] toFQDNs {peers} 443/TCP"
    assert shown(name=name, rule=rule)["short"] == short


@pytest.mark.parametrize(
    ("result", "reason", "why"),
    [
        ("DENIED", "POLICY_DENIED", "default deny"),
        ("DENIED", "POLICY_DENY", "a rule denies it"),
        ("WAITS", "POLICY_DENIED", "waits for the agent"),
        ("EXPIRED", "POLICY_DENIED", "expired: no new flows"),
        ("INVALID", "INVALID_SOURCE_IP", "Invalid source ip"),
    ],
)
def test_a_packet_that_was_dropped(result: str, reason: str, why: str) -> None:
    text = "Invalid source ip"
    one = shown(verdict="DROPPED", result=result, reason=reason, reason_text=text)
    assert (one["kind"], one["word"], one["why"]) == ("d", "DROPPED", why)


def test_questions_and_answers() -> None:
    one = dns(result="RESOLVED", ips=["198.51.100.7", "198.51.100.8"], ttl=30)
    assert (one["kind"], one["word"], one["why"]) == ("a", "RESOLVED", "TTL 30 s")
    assert one["detail"] == "DNS A → 198.51.100.7 +1"
    one = dns(result="WAITS", ips=["198.51.100.9"])
    assert (one["kind"], one["word"], one["why"]) == ("w", "RESOLVED", "waits for the agent")
    one = dns(verdict="DROPPED", result="REFUSED")
    assert (one["kind"], one["word"], one["why"]) == ("d", "REFUSED", "no DNS rule")
    one = dns(result="RESOLVED", ips=["::1"], early=True, early_reason="hold-deadline")
    assert one["why"] == "early: hold-deadline"


def test_a_port_is_a_packets() -> None:
    assert shown(address="2001:db8::7")["port"] == "443"
    assert shown(protocol="ICMPv4", port=8)["port"] == ""
    assert shown(port=None)["port"] == ""
    assert dns(result="RESOLVED", ips=["2001:db8::7"], port=53)["port"] == ""


def test_addresses_and_protocols() -> None:
    assert shown(address="2001:db8::7")["detail"] == "[2001:db8::7]:443"
    assert shown(protocol="UDP", port=53)["detail"] == "198.51.100.7:53 UDP"
    assert shown(protocol="ICMPv4", port=8)["detail"] == "198.51.100.7 ICMPv4 type 8"


def test_what_counts_as_what() -> None:
    assert rate_kind(row()) == "allowed"
    assert rate_kind(row(is_reply=True)) == ""
    assert rate_kind(row(verdict="DROPPED")) == "dropped"
    assert rate_kind(row(verdict="REDIRECTED")) == ""
    assert rate_kind(row(kind="dns", result="ASKED")) == ""
    assert rate_kind(row(kind="dns", result="RESOLVED")) == "asked"
    assert not is_outcome(row(kind="dns", result="ASKED"))
