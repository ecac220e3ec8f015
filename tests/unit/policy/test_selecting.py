"""Whom rules select: many identities at once as one by one."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.model.mapstate import Compiled, Identity, IdentityIndex, compile_specs
from fqdnlab.model.policy import FQDNSelector
from fqdnlab.model.policy_parser import parse_policies

POLICIES = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: all-kinds, namespace: default}
spec:
  endpointSelector: {}
  egress:
  - toFQDNs: [{matchName: a.example}, {matchPattern: "*.example"}]
  - toFQDNs: [{matchName: b.example}]
    toPorts: [{ports: [{port: "443"}]}]
  - toEndpoints: [{matchLabels: {app: db}}, {matchLabels: {app: web}}]
  - toEntities: [world]
    toPorts: [{ports: [{port: "80"}]}]
  - toEntities: [cluster, host]
  - toEntities: [all]
    toPorts: [{ports: [{port: "123", protocol: UDP}]}]
  - toCIDR: [198.51.100.0/24]
  - toCIDRSet: [{cidr: 198.51.0.0/16, except: [198.51.100.0/24]}]
  - toPorts: [{ports: [{port: "22"}]}]
  egressDeny:
  - toCIDR: [198.51.0.0/16]
    toPorts: [{ports: [{port: "25"}]}]
"""
SELECTORS = [
    FQDNSelector("a.example"),
    FQDNSelector("b.example"),
    FQDNSelector("", "*.example"),
    FQDNSelector("c.example"),
]
NETWORKS = [ipaddress.ip_network(n) for n in ("198.51.100.0/24", "198.51.0.0/16", "2001:db8::/32")]
NAMESPACE = ("k8s:io.kubernetes.pod.namespace", "default")


def compiled() -> Compiled:
    found = compile_specs(parse_policies(POLICIES, "p.yaml"), dict([("k8s:app", "x"), NAMESPACE]))
    assert found is not None
    return found


outside = st.builds(
    lambda family, selectors, networks: Identity(
        "net",
        ((f"reserved:world-ipv{family}", ""),),
        family,
        frozenset(selectors),
        frozenset(networks),
    ),
    st.sampled_from([4, 6]),
    st.sets(st.sampled_from(SELECTORS)),
    st.sets(st.sampled_from(NETWORKS)),
)
inside = st.sampled_from(
    [
        Identity("host", (("reserved:host", ""),)),
        *(Identity("endpoint", (("k8s:app", a), NAMESPACE)) for a in ("web", "db", "x")),
        Identity("endpoint", (("k8s:app", "web"), ("k8s:io.kubernetes.pod.namespace", "other"))),
    ]
)


@given(st.sets(outside | inside, max_size=12))
def test_many_at_once_as_one_by_one(identities: set[Identity]) -> None:
    asked = compiled()
    found = asked.selected(IdentityIndex(identities))
    for identity in identities:
        assert found.get(identity, []) == asked.selecting(identity)


def test_each_kind_of_peer_selects_somebody_here() -> None:
    """The test above would see nothing if nothing were selected."""
    asked = compiled()
    web = Identity("endpoint", (("k8s:app", "web"), NAMESPACE))
    world = Identity(
        "net", (("reserved:world-ipv4", ""),), 4, frozenset(SELECTORS), frozenset(NETWORKS[1:])
    )
    of_web = {r.path for _, r in asked.selecting(web)}
    of_world = {r.path for _, r in asked.selecting(world)}
    everything = {r.path for _, r in asked.rules}
    wild = {r.path for _, r in asked.selecting(web, wild=True)} - of_web
    assert len(wild) == 2
    assert of_web | of_world | wild >= everything - {"spec.egress[6]"}
