"""Way 2.4: endpoint × server × port × protocol × name.  Pure; made of one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from fqdnlab.dns.proxy.sockets import is_own
from fqdnlab.dns.proxy.wire import name_text
from fqdnlab.model.names import dns_matcher, matches_everything, normalise
from fqdnlab.pb import fqdndata_pb2 as pb

__all__ = ["Decision", "PolicyTable"]

_MOST_DECISIONS = 200_000
Name = Callable[[str], bool]


class Decision(NamedTuple):
    """What policy says of a question.

    Attributes
    ----------
    allowed : bool
    rule : int
        Index in rules.json; 0: none.
    endpoint : int
        0: the source is nobody's.
    """

    allowed: bool
    rule: int
    endpoint: int


class _Patterns:
    """Patterns of one (endpoint, server, port, protocol), the first that matches decides."""

    def __init__(self) -> None:
        self._everything = 0
        self._open = False
        self._exact: dict[str, int] = {}
        self._rest: list[tuple[Name, int]] = []

    def add(self, patterns: Iterable[str], rules: Iterable[int]) -> None:
        patterns, rules = list(patterns), list(rules)
        rules += [0] * (max(1, len(patterns)) - len(rules))
        if not patterns:  # Cilium's: no pattern, every name
            self._open, self._everything = True, rules[0]
        for pattern, rule in zip(patterns, rules, strict=False):
            if matches_everything(pattern):
                self._open, self._everything = True, self._everything or rule
            elif "*" in pattern:
                self._rest.append((dns_matcher(pattern), rule))
            else:
                self._exact.setdefault(normalise(pattern), rule)

    def find(self, name: str) -> int | None:
        """The rule that allows `name`; None: none does."""
        if name in self._exact:
            return self._exact[name]
        for matches, rule in self._rest:
            if matches(name):
                return rule
        return self._everything if self._open else None


class PolicyTable:
    """What one snapshot allows.

    Parameters
    ----------
    snapshot : PolicyState

    Raises
    ------
    ValueError
        If it holds a port or a network that cannot be.
    """

    def __init__(self, snapshot: pb.PolicyState) -> None:
        self._endpoints: dict[bytes, int] = {}
        self._identities: dict[bytes, int] = {}
        self._prefixes: dict[tuple[int, int], dict[int, int]] = {}
        self._patterns: dict[tuple[int, int, int, int], _Patterns] = {}
        self._decisions: dict[tuple[bytes, bytes, int, bytes], Decision] = {}
        self.ports = {53}
        self._read(snapshot)

    def _read(self, snapshot: pb.PolicyState) -> None:
        for of_identity in snapshot.identity_to_endpoint_mapping:
            for info in of_identity.endpoint_info:
                for address in info.ip:
                    self._identities[address] = of_identity.identity
                    if info.id:
                        self._endpoints[address] = info.id
        for networks in snapshot.identity_to_prefix_mapping:
            for octets in networks.prefix:
                self._add_prefix(octets, networks.identity)
        for policy in snapshot.egress_l7_dns_policy:
            for server in policy.dns_servers:
                key = (
                    policy.source_endpoint_id,
                    server.dns_server_identity,
                    server.dns_server_port,
                    server.dns_server_proto,
                )
                if not 0 < server.dns_server_port < 1 << 16:
                    raise ValueError(f"port {server.dns_server_port} cannot be served")
                self.ports.add(server.dns_server_port)
                found = self._patterns.setdefault(key, _Patterns())
                found.add(policy.dns_pattern, policy.fqdnlab_rule)

    def _add_prefix(self, octets: bytes, identity: int) -> None:
        address, size = octets[:-1], len(octets) * 8 - 8
        if size not in (32, 128) or octets[-1] > size:
            raise ValueError(f"{octets.hex()} is no network")
        value = int.from_bytes(address, "big") >> (size - octets[-1])
        self._prefixes.setdefault((size, octets[-1]), {})[value] = identity

    def decide(self, client: bytes, server: bytes, port_proto: int, name: bytes) -> Decision:
        """Whether the endpoint at `client` may ask the server for a name.

        Parameters
        ----------
        client, server : bytes
            4 or 16 octets.
        port_proto : int
            Port × 256 + IP protocol.
        name : bytes
            As on the wire, lower case.
        """
        key = (client, server, port_proto, name)
        known = self._decisions.get(key)
        if known is None:
            if len(self._decisions) >= _MOST_DECISIONS:
                self._decisions.clear()  # names are the clients' choice: bounded
            known = self._decisions[key] = self._decide(client, server, port_proto, name)
        return known

    def _decide(self, client: bytes, server: bytes, port_proto: int, name: bytes) -> Decision:
        endpoint = self._endpoints.get(client, 0)
        identity = self._identity(server)
        patterns = self._patterns.get((endpoint, identity, port_proto >> 8, port_proto & 255))
        if not endpoint or patterns is None or is_own(server):
            return Decision(False, 0, endpoint)
        rule = patterns.find(name_text(name))
        return Decision(rule is not None, rule or 0, endpoint)

    def _identity(self, address: bytes) -> int:
        """Of a server: an endpoint's, else that of the longest network."""
        if address in self._identities:
            return self._identities[address]
        size, value = len(address) * 8, int.from_bytes(address, "big")
        lengths = sorted((bits for width, bits in self._prefixes if width == size), reverse=True)
        for bits in lengths:
            found = self._prefixes[size, bits].get(value >> (size - bits))
            if found is not None:
                return found
        return 0
