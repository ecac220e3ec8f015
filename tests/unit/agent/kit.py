"""An agent's state with policies from YAML, and the kernel's verdict read from what it wants."""

from __future__ import annotations

from fqdnlab.agent.cluster import Endpoint, Learned
from fqdnlab.agent.operations import Operation
from fqdnlab.agent.state import AgentState
from fqdnlab.datapath import abi
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.settings import LabSettings

SECOND = 10**9

WEB = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toEndpoints:
    - matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, "k8s:k8s-app": kube-dns}
    toPorts:
    - ports: [{port: "53", protocol: ANY}]
      rules: {dns: [{matchName: api.example.com}, {matchPattern: "*.cdn.example.com"}]}
  - toFQDNs: [{matchName: api.example.com}, {matchPattern: "*.cdn.example.com"}]
    toPorts: [{ports: [{port: "80", protocol: TCP}, {port: "443", protocol: TCP}]}]
"""


def endpoint(number: int = 1, **labels: str) -> Endpoint:
    return Endpoint(
        number,
        f"ep{number}",
        "default",
        tuple(sorted((labels or {"app": "web"}).items())),
        f"lxc{number}",
        100 + number,
        f"10.10.0.{number}",
        f"fd10::{number:x}",
    )


class Agent:
    """The state, and a kernel that does whatever it is told, at once."""

    def __init__(self, *policies: str, **settings: object) -> None:
        self.state = AgentState(LabSettings(**{"hold": 0.0, **settings}))  # type: ignore[arg-type]
        self.log: list[Operation] = []
        self.run(self.state.set_endpoints([endpoint()]))
        for text in policies:
            self.apply(text)

    def run(self, operations: list[Operation]) -> list[Operation]:
        self.state.content.note(operations)
        self.log += operations
        return operations

    def apply(self, text: str) -> list[Operation]:
        return self.run(self.state.set_policies(parse_policies(text, "policy.yaml")))

    def learn(
        self,
        name: str,
        *addresses: str,
        ttl: int = 60,
        now: int = 0,
        ep: int = 1,
        kept: bool = False,
    ) -> list[Operation]:
        packed = tuple(abi.ip_object(abi.ip16(a)).packed for a in addresses)
        return self.run(self.state.learn(Learned(ep, name, packed, ttl, now, kept), now))

    def collect(self, now: int, *live: str) -> list[Operation]:
        return self.run(self.state.collect(now, {abi.ip16(a) for a in live})[1])

    # ------------------------------------------------------------ as bpf/verdict.h has it

    def verdict(
        self, address: str, port: int, proto: int = 6, *, established: bool = False, ep: int = 1
    ) -> str:
        """``allow``, ``redirect``, ``deny`` (by a rule) or ``none`` (no rule)."""
        value = self.state.content.endpoint[(100 + ep).to_bytes(4, "little")]
        _, policy, _, flags, _, _ = abi.ENDPOINT.unpack(value)
        if not flags:
            return "allow"
        identity = self._identity(abi.ip16(address), established)
        found = [
            e for e in (self._entry(policy, i, proto, port) for i in (identity, 0)) if e is not None
        ]
        if not found:
            return "none"
        strongest = max(found, key=lambda e: (e[2], e[3]))
        return {1: "allow", 2: "redirect", 3: "deny"}[strongest[2]]

    def _identity(self, address: bytes, established: bool) -> int:
        value = self.state.content.ipcache.get(address) or self._cidr(address)
        if value:
            return int(abi.IPCACHE_VALUE.unpack(value)[1 if established else 0])
        return 9 if abi.ip_object(address).version == 4 else 10

    def _cidr(self, address: bytes) -> bytes:
        best = (-1, b"")
        for key, value in self.state.content.cidr.items():
            bits, network = abi.CIDR_KEY.unpack(key)
            shift = 128 - bits
            same = (
                int.from_bytes(network, "big") >> shift == int.from_bytes(address, "big") >> shift
            )
            if same and bits > best[0]:
                best = (bits, value)
        return best[1]

    def _entry(self, policy: int, identity: int, proto: int, port: int) -> tuple[int, ...] | None:
        best: tuple[int, bytes] = (-1, b"")
        for key, value in self.state.content.policy.items():
            bits, p, i, pr, po = abi.POLICY_KEY.unpack(key)
            bits -= abi.POLICY_EXACT_BITS
            if (int.from_bytes(p, "big"), int.from_bytes(i, "big")) != (policy, identity):
                continue
            have = (pr << 16 | int.from_bytes(po, "big")) >> (24 - bits)
            if have == (proto << 16 | port) >> (24 - bits) and bits > best[0]:
                best = (bits, value)
        return abi.POLICY_VALUE.unpack(best[1]) if best[1] else None
