"""The form and the YAML say the same; what the form does not hold stays, to the letter."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fqdnlab.errors import UsageError
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.model.yaml_text import plain
from fqdnlab.notebook.policy_fields import ports_from, ports_text
from fqdnlab.notebook.policy_form import form_of, with_field, with_rule, without_rule
from fqdnlab.notebook.policy_templates import NEW_RULES, TEMPLATES, template

HAND = """\
# Above all.
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: hand, labels: {team: blue}}   # a remark
spec:
  endpointSelector:
    matchLabels:
      "app": 'web'      # quoted

  egress:
  # the DNS server, in another spelling
  - toEndpoints:
    - matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, "k8s:k8s-app": kube-dns}
    toPorts:
    - ports: [{port: '53', protocol: UDP}, {port: '53', protocol: TCP}]
      rules: {dns: [{matchPattern: "*.example.com"}, {matchName: other.test}]}
  - toFQDNs: [{matchName: api.example.com}, {matchPattern: '*.cdn.example.com'}]  # two
    toPorts:
    - ports:
      - port: "443"     # https
        protocol: TCP
      - {port: "8000", endPort: 8080, protocol: ANY}
  - toFQDNs:
    - matchPattern: "plain.example.com"   # a pattern without a star
  - toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]
  - toEntities: [world]
    toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET}]}}]
  egressDeny:
  - toCIDR: [192.0.2.0/24]  # kept
"""
OTHER = """\
---
# another, which is not touched
apiVersion:   cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: other}
spec: {endpointSelector: {}, egress: [{}]}
"""
PINGS = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: pings}
spec:
  endpointSelector: {}
  egress:
  - icmps:
    - fields:
      - type: 8   # without a family
      - {family: IPv6, type: EchoRequest}
    - fields: [{type: "13"}]
    toCIDRSet:
    # the office
    - cidr: 10.0.0.0/8
      except: [10.1.0.0/16, 10.2.0.0/16]   # its printers
    - {cidr: 192.0.2.0/24}
"""
NETS = ("spec", "egress", 0, "toCIDRSet")
TYPES = ("spec", "egress", 0, "icmps", 0, "fields")
FQDNS = ("spec", "egress", 1, "toFQDNs")
PORTS = ("spec", "egress", 1, "toPorts", 0, "ports")


def fields(text: str, index: int = 0) -> list[dict[str, Any]]:
    form = form_of(text, index)
    assert form["why"] == ""
    return [*form["head"], *(f for rule in form["rules"] for f in rule["fields"])]


def shown(text: str) -> dict[str, str]:
    return {f["where"]: f["text"] for f in fields(text)}


def values(text: str) -> list[Any]:
    return [plain(d.root) for d in read_documents(text) if d.root is not None]


def touched(old: str, new: str) -> tuple[list[str], list[str]]:
    """Lines that went, and lines that came."""
    a, b = old.splitlines(), new.splitlines()
    went: list[str] = []
    came: list[str] = []
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag != "equal":
            went += a[i:j]
            came += b[k:m]
    return went, came


def test_a_card_for_each_rule_and_a_field_for_what_can_be_edited() -> None:
    rules = form_of(HAND, 0)["rules"]
    assert [(r["title"], r["deny"], r["line"]) for r in rules] == [
        ("Look-ups", False, 12),
        ("Names", False, 17),
        ("Names", False, 23),
        ("Networks", False, 25),
        ("Entities", False, 26),
        ("Networks", True, 29),
    ]
    held = shown(HAND)
    assert held["spec.egress[0].toPorts[0].rules.dns"] == "*.example.com\nother.test"
    assert held["spec.egress[1].toFQDNs"] == "api.example.com\n*.cdn.example.com"
    assert held["spec.egress[1].toPorts[0].ports"] == "443/TCP, 8000-8080/ANY"
    assert held["spec.egress[2].toPorts[0].ports"] == "all"
    assert held["spec.egressDeny[0].toCIDR"] == "192.0.2.0/24"


def test_what_no_field_holds_is_shown_as_it_stands() -> None:
    form = form_of(HAND, 0)
    group = form_of(HAND.replace("{cidr: 10.0.0.0/8, except", "{cidrGroupRef: g, except"), 0)
    assert "cidrGroupRef: g" in " ".join(group["rules"][3]["rest"])
    assert "method: GET" in " ".join(form["rules"][4]["rest"])
    assert form["rest"] == ["metadata:", "  labels:", "    team: blue"]
    every = [form["rules"][n]["rest"] for n in (0, 1, 2, 3, 5)]
    assert every == [[], [], [], [], []]


@pytest.mark.parametrize("text", [HAND, PINGS, *(template(n, {"app": "web"}) for n in TEMPLATES)])
def test_the_same_content_changes_nothing(text: str) -> None:
    for field in fields(text):
        assert with_field(text, 0, field["path"], field["text"]) == text


def test_an_edit_changes_the_lines_of_its_field_alone() -> None:
    made = with_field(HAND, 0, PORTS, "8443/TCP, 8000-8080/ANY")
    assert touched(HAND, made) == (
        ['      - port: "443"     # https'],
        ['      - port: "8443"     # https'],
    )
    made = with_field(HAND, 0, FQDNS, "api.example.com\n*.cdn.example.com\nnew.example.com")
    went, came = touched(HAND, made)
    assert went == [HAND.splitlines()[16]]
    assert came == [
        "  - toFQDNs: [{matchName: api.example.com}, {matchPattern: '*.cdn.example.com'}, "
        "{matchName: new.example.com}]  # two"
    ]


def test_networks_with_exceptions_and_types_of_icmp_are_fields() -> None:
    held = shown(PINGS)
    assert held["spec.egress[0].toCIDRSet"] == (
        "10.0.0.0/8 except 10.1.0.0/16, 10.2.0.0/16\n192.0.2.0/24"
    )
    assert held["spec.egress[0].icmps[0].fields"] == "8/IPv4, EchoRequest/IPv6"
    assert held["spec.egress[0].icmps[1].fields"] == "13/IPv4"
    assert form_of(PINGS, 0)["rules"][0]["rest"] == []
    made = with_field(
        PINGS, 0, NETS, "10.0.0.0/8 except 10.1.0.0/16 10.3.0.0/16; 192.0.2.0/24; 198.51.100.0/24"
    )
    went, came = touched(PINGS, made)
    assert went == ["      except: [10.1.0.0/16, 10.2.0.0/16]   # its printers"]
    assert came == [
        '      except: [10.1.0.0/16, "10.3.0.0/16"]   # its printers',
        '    - cidr: "198.51.100.0/24"',
    ]
    made = with_field(PINGS, 0, TYPES, "8, EchoRequest/IPv6, 0/IPv4")
    assert touched(PINGS, made) == ([], ["      - family: IPv4", "        type: 0"])
    assert parse_policies(made)


def test_a_pattern_without_a_star_stays_one() -> None:
    made = with_field(HAND, 0, ("spec", "egress", 2, "toFQDNs"), "plain.example.com, b.test")
    rule = values(made)[0]["spec"]["egress"][2]
    assert rule == {"toFQDNs": [{"matchPattern": "plain.example.com"}, {"matchName": "b.test"}]}


def test_other_documents_stay_octet_for_octet() -> None:
    text = HAND + OTHER
    made = with_field(text, 0, FQDNS, "one.example.com")
    assert made.endswith(OTHER)
    made = with_field(text, 1, ("metadata", "name"), "renamed")
    assert made == text.replace("{name: other}", "{name: renamed}")


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (FQDNS, "no name is left"),
        (PORTS, "no port is left"),
        (("spec", "egress", 0, "toPorts", 0, "rules", "dns"), "no name is left"),
        (("spec", "egress", 0, "toEndpoints"), "no label is left"),
        (("spec", "endpointSelector"), "no label is left"),
        (("spec", "egressDeny", 0, "toCIDR"), "none is left"),
        (("spec", "egress", 3, "toCIDRSet"), "none is left"),
        (("metadata", "name"), "Name is empty"),
    ],
)
def test_nothing_is_emptied_into_something_wider(path: tuple[str | int, ...], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        with_field(HAND, 0, path, "  ")


def test_no_type_of_icmp_is_left_or_is_none() -> None:
    for new, word in (("", "no type is left"), ("8/IPv5", "is no type of ICMP")):
        with pytest.raises(UsageError, match=word):
            with_field(PINGS, 0, TYPES, new)


def test_every_port_is_said_and_not_left_out() -> None:
    text = template("names", {"app": "web"})
    wide = with_field(text, 0, PORTS, "all")
    assert values(wide)[0]["spec"]["egress"][1] == {"toFQDNs": [{"matchName": "api.example.com"}]}
    again = with_field(wide, 0, PORTS, "443/TCP")
    assert values(again) == values(text)
    with pytest.raises(UsageError, match="rules of their own"):
        with_field(text, 0, ("spec", "egress", 0, "toPorts", 0, "ports"), "all")


@pytest.mark.parametrize(
    ("path", "new", "word"),
    [
        (PORTS, "443/TCP/x", "is no port"),
        (("spec", "endpointSelector"), "app", "is no label"),
        (("spec", "egress", 9, "toFQDNs"), "a.test", "changed under the form"),
        (("spec",), "a.test", "changed under the form"),
        (("spec", "egress", 3, "toCIDRSet"), "10.0.0.0/8 but 10.1.0.0/16", "no network with"),
        (("spec", "egress", 3, "toCIDRSet"), "10.0.0.0/8 except", "no network with"),
    ],
)
def test_what_cannot_be_is_refused(path: tuple[str | int, ...], new: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        with_field(HAND, 0, path, new)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("web-80/TCP", {"port": "web-80", "protocol": "TCP"}),
        ("80-web/tcp", {"port": "80-web", "protocol": "TCP"}),
        ("web-80", {"port": "web-80", "protocol": "ANY"}),
        ("80-90/TCP", {"port": "80", "endPort": 90, "protocol": "TCP"}),
        ("80-90", {"port": "80", "endPort": 90, "protocol": "ANY"}),
    ],
)
def test_a_range_is_of_numbers_and_a_name_may_end_with_one(text: str, made: Any) -> None:
    assert ports_from(text, None) == [made]
    assert ports_text([made]) == (text.replace("tcp", "TCP") if "/" in text else f"{text}/ANY")


def test_an_end_beside_a_name_is_left_to_the_yaml() -> None:
    assert ports_text([{"port": "web", "endPort": 80, "protocol": "TCP"}]) is None
    assert ports_text([{"port": "80-90", "protocol": "TCP"}]) is None


@pytest.mark.parametrize("what", NEW_RULES)
def test_a_rule_is_added_and_removed_again(what: str) -> None:
    made = with_rule(HAND, 0, what)
    (policy,) = parse_policies(made)
    assert len(list(policy.rules())) == 7
    assert touched(HAND, made)[0] == []
    key, rule = NEW_RULES[what]
    n = 0 if what == "dns" else len(values(made)[0]["spec"][key]) - 1
    assert values(made)[0]["spec"][key][n] == rule
    assert values(without_rule(made, 0, ("spec", key, n))) == values(HAND)


@pytest.mark.parametrize("empty", ["spec: null\n", "spec: text\n"])
@pytest.mark.parametrize("what", NEW_RULES)
def test_a_rule_is_added_to_the_first_spec_that_is_one(empty: str, what: str) -> None:
    head = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: several}\n"
    text = head + empty + "specs:\n- null\n- endpointSelector: {}\n  egress: [{}]\n"
    made = with_rule(text, 0, what)
    key, rule = NEW_RULES[what]
    assert values(made)[0]["specs"][1][key] == [rule]
    assert values(made)[0]["specs"][0] is None


def test_without_any_rule_everything_is_still_denied() -> None:
    text = template("names", {"app": "web"})
    for _ in range(2):
        text = without_rule(text, 0, ("spec", "egress", 0))
    (policy,) = parse_policies(text)
    assert policy.specs[0].default_deny
    assert [rule.peers for rule in policy.rules()] == [()]
    (again,) = parse_policies(with_rule(text, 0, "names"))
    assert len(list(again.rules())) == 1


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: [", "YAML again"),
        ("kind: NetworkPolicy", "edited as YAML"),
        ("", "no policy yet"),
        ("kind: CiliumNetworkPolicy", "needs metadata"),
        ("- 1", "no policy yet"),
    ],
)
def test_what_is_no_form_says_so(text: str, word: str) -> None:
    form = form_of(text, 0)
    assert word in form["why"]
    assert form["rules"] == []


WORD = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
NAME = st.builds("{}{}.com".format, st.sampled_from(["", "*.", "**.", "a."]), WORD)
NETWORK = st.builds(
    lambda cidr, others: f"{cidr} except {', '.join(others)}" if others else cidr,
    WORD.filter(lambda word: word != "except"),
    st.lists(WORD.filter(lambda word: word != "except"), max_size=2),
)
ICMP = st.builds(
    "{}/{}".format, st.one_of(WORD, st.integers(0, 255)), st.sampled_from(["IPv4", "IPv6"])
)
PORT = st.builds(
    "{}{}/{}".format,
    st.integers(1, 60000),
    st.sampled_from(["", "-60001"]),
    st.sampled_from(["TCP", "UDP", "ANY"]),
)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([HAND, PINGS, *(template(n, {"app": "web"}) for n in TEMPLATES)]),
    st.data(),
)
def test_what_is_written_into_a_field_is_read_from_it(text: str, data: st.DataObject) -> None:
    """And nothing else has changed: not a value, and not a comment outside of the field."""
    field = data.draw(st.sampled_from(fields(text)))
    kinds = {
        "names": st.lists(NAME, min_size=1, max_size=4).map("\n".join),
        "ports": st.lists(PORT, min_size=1, max_size=3).map(", ".join),
        "labels": st.dictionaries(WORD, WORD, min_size=1, max_size=3).map(
            lambda d: ", ".join(f"{k}={v}" for k, v in d.items())
        ),
        "peers": st.tuples(WORD, WORD).map("=".join),
        "list": st.lists(WORD, min_size=1, max_size=3).map(", ".join),
        "networks": st.lists(NETWORK, min_size=1, max_size=3).map("\n".join),
        "icmps": st.lists(ICMP, min_size=1, max_size=3).map(", ".join),
        "word": WORD,
    }
    new = data.draw(kinds[field["kind"]])
    made = with_field(text, 0, field["path"], new)
    assert shown(made) == {**shown(text), field["where"]: new}
    before, after = values(text)[0], values(made)[0]
    for path in (field["path"], field["path"][:3] if field["text"] == "all" else []):
        _forget(before, path)
        _forget(after, path)
    assert after == before
    went, _ = touched(text, made)
    assert not [line for line in went if line.strip().startswith("#")]


def _forget(value: Any, path: list[Any]) -> None:
    """Take out what stands at `path`."""
    for key in path[:-1]:
        value = value[key] if isinstance(value, list) or key in value else {}
    if path and isinstance(value, dict):
        value.pop(path[-1], None)
    elif path and value:
        value[path[-1]] = None


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="ab:-{}[],'\"# \n&*|>!%@`~0", max_size=60))
def test_no_text_breaks_the_form(text: str) -> None:
    form = form_of(text, 0)
    assert form["why"] or form["head"]
