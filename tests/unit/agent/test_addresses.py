"""Networks that cover an address, and identities, against the plain way of asking each."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.agent.addresses import RESTORED, Addresses, Networks
from fqdnlab.agent.identities import net_identity
from fqdnlab.datapath import abi
from fqdnlab.model.mapstate import Network
from fqdnlab.model.policy import FQDNSelector


@st.composite
def networks(draw: st.DrawFn) -> Network:
    if draw(st.booleans()):
        return ipaddress.ip_network((draw(st.integers(0, 7)) << 29, draw(st.integers(0, 6))), False)
    number = draw(st.integers(0, 7)) << 125
    return ipaddress.ip_network((number.to_bytes(16, "big"), draw(st.integers(0, 6))), False)


addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address),
    st.integers(2**120, 2**128 - 1).map(ipaddress.IPv6Address),
)


@given(st.lists(networks(), max_size=12), addresses)
def test_covering(
    given_: list[Network], address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    plain = {n for n in given_ if n.version == address.version and address in n}
    assert Networks(given_).covering(abi.ip16(str(address))) == plain


def test_a_default_route_covers_its_own_family_alone() -> None:
    every = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    found = Networks(every)
    assert found.covering(abi.ip16("198.51.100.7")) == {every[0]}
    assert found.covering(abi.ip16("2001:db8::7")) == {every[1]}


def test_identities_are_what_they_were_and_the_same_each_time() -> None:
    network = ipaddress.ip_network("198.51.100.0/24")
    one, two = FQDNSelector("a.example"), FQDNSelector("", "*.example")
    asked = Addresses([one, two], [network])
    address = abi.ip16("198.51.100.7")
    found = asked.identity(address, ["a.example.", "b.example."])
    wanted = net_identity(abi.ip_object(address), frozenset({one, two}), [network])
    assert found == wanted
    assert hash(found) == hash(wanted)
    assert asked.identity(abi.ip16("198.51.100.8"), ["a.example."]) is found
    assert asked.identity(address, ["b.example."]).selectors == {two}
    assert asked.identity(address, [RESTORED + "a.example."]).selectors == {one}
    assert asked.identity(address).networks == {network}
