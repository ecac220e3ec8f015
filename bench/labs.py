"""The lab under measure: everything at its default, a policy of 1,000 selectors."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import BenchError
from fqdnlab.lab import Lab

__all__ = ["SELECTORS", "names_of", "pids", "policy"]

SELECTORS = 1000
#: Endpoint names: the one that the policy selects, and one without policy.
WEB, PLAIN = "web", "plain"

_HEAD = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: bench
spec:
  endpointSelector:
    matchLabels:
      app: web
  egress:
  - toEndpoints:
    - matchLabels:
        k8s:io.kubernetes.pod.namespace: kube-system
        k8s-app: kube-dns
    toPorts:
    - ports:
      - port: "53"
        protocol: ANY
      rules:
        dns:
"""


def names_of(domain: str, count: int = SELECTORS) -> list[str]:
    """So many names below `domain`."""
    return [f"host-{n:04d}.{domain}" for n in range(count)]


def policy(selectors: Sequence[str]) -> str:
    """The endpoint may ask for, and then reach, what `selectors` (``matchName: x`` …) select."""
    dns = "".join(f"        - {s}\n" for s in selectors)
    fqdns = "".join(f"    - {s}\n" for s in selectors)
    return f"{_HEAD}{dns}  - toFQDNs:\n{fqdns}"


def pids(lab: Lab, *names: str) -> list[int]:
    """Pids of the lab's processes of these names."""
    found = {p.name: p.pid for p in lab.status().process if p.state == "running"}
    missing = [n for n in names if n not in found]
    if missing:
        raise BenchError(f"not running: {', '.join(missing)}")
    return [found[n] for n in names]
