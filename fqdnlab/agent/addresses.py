"""What outside addresses are: by their names, and by the networks of policies that cover them.

Pure.  There may be hundreds of thousands of addresses, and each is asked for at every start; so
what a name is selected by is remembered, and networks are looked up, one look-up a prefix length.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fqdnlab.agent.identities import net_identity, network_order
from fqdnlab.datapath import abi
from fqdnlab.model.mapstate import Identity, Network
from fqdnlab.model.names import MatchSet
from fqdnlab.model.policy import FQDNSelector

__all__ = ["RESTORED", "Addresses", "Networks"]

#: Begins the name of a mapping that was read back from the kernel: a selector's pattern follows.
RESTORED = "\0"

_MAPPED = abi.ip16("0.0.0.0")[:12]
_MOST_NAMES = 100_000  # names are the clients' choice: bounded
_NO_SELECTORS: frozenset[FQDNSelector] = frozenset()
_NO_NETWORKS: frozenset[Network] = frozenset()


class Networks:
    """Which of some networks cover an address.

    Parameters
    ----------
    networks : iterable of network
    """

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self.all = tuple(sorted(set(networks), key=network_order))
        # version → bits below the prefix → what is above them → network
        self._by_length: dict[int, dict[int, dict[int, Network]]] = {4: {}, 6: {}}
        for network in self.all:
            below = network.max_prefixlen - network.prefixlen
            places = self._by_length[network.version].setdefault(below, {})
            places[int(network.network_address) >> below] = network

    def covering(self, address: bytes) -> frozenset[Network]:
        """Those that an address of 16 octets lies in."""
        four = address.startswith(_MAPPED)
        lengths = self._by_length[4 if four else 6]
        if not lengths:
            return _NO_NETWORKS
        number = int.from_bytes(address[12:] if four else address, "big")
        found = [places.get(number >> below) for below, places in lengths.items()]
        return frozenset(n for n in found if n is not None) if any(found) else _NO_NETWORKS


class Addresses:
    """Identities of outside addresses under one set of policies.

    Parameters
    ----------
    selectors : iterable of FQDNSelector
        All that policies have.
    networks : iterable of network
        All that policies name.
    """

    def __init__(
        self, selectors: Iterable[FQDNSelector] = (), networks: Iterable[Network] = ()
    ) -> None:
        self._matches = MatchSet(selectors)
        self.networks = Networks(networks)
        self._selected: dict[str, frozenset[FQDNSelector]] = {}
        self._identities: dict[tuple[bool, frozenset[FQDNSelector], frozenset[Network]], Identity]
        self._identities = {}

    def identity(self, address: bytes, names: Collection[str] = ()) -> Identity:
        """The identity of an address of 16 octets that has these names."""
        selectors = _NO_SELECTORS
        for name in names:
            mine = self._selectors(name)
            selectors = selectors | mine if selectors else mine
        four = address.startswith(_MAPPED)
        key = (four, selectors, self.networks.covering(address))
        found = self._identities.get(key)
        if found is None:
            found = net_identity(abi.ip_object(address), selectors, key[2])
            self._identities[key] = found
        return found

    def of_network(self, network: Network) -> Identity:
        """The identity of all of `network` that nothing else is known of."""
        return net_identity(network.network_address, _NO_SELECTORS, self.networks.all, network)

    def _selectors(self, name: str) -> frozenset[FQDNSelector]:
        found = self._selected.get(name)
        if found is None:
            if len(self._selected) > _MOST_NAMES:
                self._selected.clear()
            if name.startswith(RESTORED):
                found = frozenset(s for s in self._matches if s.pattern == name[1:])
            else:
                found = frozenset(self._matches.match(name))
            self._selected[name] = found
        return found
