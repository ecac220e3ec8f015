"""Zone files and the codec under them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.dns.dnslib_codec import (
    CodecError,
    message_text,
    rcode_number,
    rcode_word,
    rdata_from_text,
    rdata_to_text,
    type_number,
    type_word,
)
from fqdnlab.errors import UsageError
from fqdnlab.world.zonefile import Records, read_zone

YAML = """
ttl: 30
names:
  api.example.com: 198.51.100.7
  www.example.com: [198.51.100.8, "2001:db8::8"]
  alias.example.com: {cname: www.example.com, ttl: 5}
  "*.example.com": {txt: v=spf1 -all}
  example.com:
    mx: [10 mail.example.com.]
    ttl: 300
"""


def test_yaml() -> None:
    assert read_zone(YAML) == [
        Records("api.example.com", "A", 30, ("198.51.100.7",)),
        Records("www.example.com", "A", 30, ("198.51.100.8",)),
        Records("www.example.com", "AAAA", 30, ("2001:db8::8",)),
        Records("alias.example.com", "CNAME", 5, ("www.example.com",)),
        Records("*.example.com", "TXT", 30, ("v=spf1 -all",)),
        Records("example.com", "MX", 300, ("10 mail.example.com.",)),
    ]


def test_master_files(tmp_path: Path) -> None:
    text = (
        "$ORIGIN example.com.\n$TTL 1h\n"
        "@ IN SOA ns hostmaster ( 1 2 3\n 4 5 )\n"
        "www IN A 198.51.100.1\nwww IN A 198.51.100.2 ; a comment\n"
        "alias 60 IN CNAME www\n"
    )
    found = read_zone(text)
    assert found[1:] == [
        Records("www.example.com.", "A", 3600, ("198.51.100.1", "198.51.100.2")),
        Records("alias.example.com.", "CNAME", 60, ("www.example.com.",)),
    ]
    assert found[0].values[0].split()[:2] == ["ns.example.com.", "hostmaster.example.com."]
    path = tmp_path / "example.com.zone"
    path.write_text(text)
    assert read_zone(path) == read_zone(str(path)) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("names:\n  a.example: 1.2.3\n", "zone:2: a.example: '1.2.3' is no IP address"),
        ("names:\n  a..b: 1.2.3.4\n", "zone:2: a..b:"),
        ("ttl: soon\nnames:\n  a: 1.2.3.4\n", "zone:1: ttl: a number of seconds"),
        ("names:\n  a:\n    mx: mail\n", "zone:2: a:"),
        ("names:\n  a:\n    colour: red\n", "zone:2: a: 'colour' is no DNS record type"),
        ("names: [a, b]\nttl: 1\n", "zone:1: names: a mapping"),
        ("name:\n  a: 1.2.3.4\n", "zone:1: name: expected ttl or names"),
        ("- a\n- b\n", "zone:1: a mapping"),
        ("names:\n  a: [x\n", "zone:"),
        ("names:\n  a: 1.2.3.4\n  a: 1.2.3.5\n", "zone:3: names.a: stated twice"),
        ("names:\n  a: yes\n  b: 1.2.3.4\n", "zone:2: a text is expected"),
        ("names:\n  a:\n    ttl: 5\n    a: []\n", "zone:4: a text is expected"),
        ("$ORIGIN example.\nwww IN A\n", "zone: no master file"),
        ("$ORIGIN example.\nwww IN WHAT x\n", "zone: no master file"),
    ],
)
def test_what_is_no_zone_file(text: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        read_zone(text)
    assert str(error.value).startswith(told)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_zone(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(UsageError, match="cannot be read"):
        read_zone(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("MX", "10 mail.example.com."),
        ("SRV", "0 5 5060 sip.example.com."),
        ("PTR", "www.example.com."),
        ("NS", "ns.example.com."),
        ("SOA", "ns.example. host.example. 1 2 3 4 5"),
        ("TXT", '"one" "two"'),
        ("CAA", '0 issue "ca.example"'),
        ("TYPE65280", r"\# 3 0a0b0c"),
    ],
)
def test_data_survive_as_text(kind: str, text: str) -> None:
    number = type_number(kind)
    octets = rdata_from_text(number, text)
    assert rdata_from_text(number, rdata_to_text(number, octets)) == octets
    assert type_word(number) == kind


@given(st.text(st.characters(codec="utf-8", exclude_characters='"'), max_size=600))
def test_any_text_is_a_txt(text: str) -> None:
    octets = rdata_from_text(16, text)
    got, at = b"", 0
    while at < len(octets):
        got += octets[at + 1 : at + 1 + octets[at]]
        at += octets[at] + 1
    assert got == text.encode()


@given(
    st.sampled_from(["MX", "SOA", "SRV", "CAA", "HTTPS", "TYPE9999", "NS"]), st.text(max_size=30)
)
def test_any_text_is_data_or_refused(kind: str, text: str) -> None:
    try:
        octets = rdata_from_text(type_number(kind), text)
    except CodecError:
        return
    assert isinstance(octets, bytes)


def test_words() -> None:
    assert (rcode_number("servfail"), rcode_word(2)) == (2, "SERVFAIL")
    with pytest.raises(CodecError):
        rcode_number("FINE")
    assert type_number("type28") == 28
    for word in ("TYPE70000", "TYPEX", ""):
        with pytest.raises(CodecError):
            type_number(word)
    with pytest.raises(CodecError):
        message_text(b"\0")
