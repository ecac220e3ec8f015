"""Each spoils one mechanism of the demo, for real, by other means than the demo's own client."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fqdnlab.datapath.libbpf import MapFd, obj_get
from fqdnlab.demo import Hooks
from fqdnlab.demo.policies import WEB_EGRESS
from fqdnlab.lab import Lab
from fqdnlab.paths import LabPaths, netns
from fqdnlab.testing import eventually

__all__ = ["SABOTEURS", "Saboteur"]


@dataclass(frozen=True)
class Saboteur:
    """What it spoils, how, and what must then be seen.

    Attributes
    ----------
    claim : int
        That must fail.
    name : str
    seen : str
        Part of one of the failures of that claim: it fails because of this, not of anything else.
    hooks : Hooks
    settings : mapping
        Of the lab, beside the demo's.
    """

    claim: int
    name: str
    seen: str
    hooks: Hooks = field(default_factory=Hooks)
    settings: Mapping[str, Any] = field(default_factory=dict)


def _policy(name: str, app: str, egress: str) -> str:
    return f"""\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: {name}}}
spec:
  endpointSelector: {{matchLabels: {{app: {app}}}}}
  {egress}
"""


#: Mappings grow old sooner.
_FAST = {"time_scale": 3.0}

_DNS_OF_ALL = """egress:
  - toEntities: [all]
    toPorts:
    - ports: [{port: "53", protocol: ANY}]
      rules: {dns: [{matchPattern: "*"}]}
  - toEntities: [all]
"""
_PLAIN_DNS = """egress:
  - toEndpoints:
    - matchLabels: {k8s:io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}
    toPorts:
    - ports: [{port: "53", protocol: ANY}]
"""
_ONLY_THE_RESOLVER = """egress:
  - toEndpoints:
    - matchLabels: {k8s:io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}
"""
_DENY_FIRST = """egressDeny:
  - toCIDR: [198.51.100.7/32]
"""


def _apply(policy: str) -> Callable[[Lab], None]:
    def act(lab: Lab) -> None:
        assert lab.apply(policy).accepted

    return act


def _detach(lab: Lab) -> None:
    """The enforcer's programs are taken off every interface."""
    pins = list(LabPaths(lab.name).bpf.glob("link_*"))
    for pin in pins:
        pin.unlink()
    if not pins:  # clsact: before Linux 6.6
        for end in lab.endpoints():
            tc = ["tc", "qdisc", "del", "dev", f"lxc{end.id}", "clsact"]
            subprocess.run(["ip", "netns", "exec", netns(lab.name, "node"), *tc], check=True)


def _empty_the_sockmap(lab: Lab) -> None:
    """Redirected DNS finds no proxy any more."""
    with MapFd(obj_get(LabPaths(lab.name).bpf / "dns_socks"), 4, 4) as slots:
        emptied = [slots.delete((53 * 4 + n).to_bytes(4, "little")) for n in range(4)]
    assert any(emptied)


def _kill_agent_and(spoil: Callable[[Lab], Any]) -> Callable[[Lab], None]:
    def act(lab: Lab) -> None:
        lab.agent.kill()
        spoil(lab)

    return act


def _revive(lab: Lab) -> None:
    """The agent is back, and the proxy at it: an answer is not early any more."""
    lab.agent.restart()
    eventually(lambda: lab.agent_status().proxy_acked_revision, 10, "the proxy at the new agent")


def _nothing(_: Lab) -> None:
    """What should be done is not."""


def _lose_the_queue(lab: Lab) -> None:
    """The proxy dies, and what it kept for the agent with it."""
    lab.proxy.kill()
    kept = list(LabPaths(lab.name).proxy_state.rglob("*.jsonl"))
    assert kept
    for path in kept:
        path.unlink()
    lab.proxy.restart()


def _ask_all_the_time(lab: Lab) -> None:
    (web,) = [e for e in lab.endpoints() if e.name == "web"]
    loop = "while :; do dig +tries=1 +time=1 api.example.com >/dev/null; sleep 0.1; done"
    web.popen(["sh", "-c", loop])


def _before(claim: int, act: Callable[[Lab], None]) -> Hooks:
    return Hooks(before={claim: act})


SABOTEURS = (
    Saboteur(
        1,
        "a policy redirects its DNS",
        "questions went through the proxy",
        _before(1, _apply(_policy("free-dns", "free", _DNS_OF_ALL))),
    ),
    Saboteur(
        1,
        "a policy denies it the web",
        "curl http://tracker.ads.net/",
        _before(1, _apply(_policy("free-deny", "free", _ONLY_THE_RESOLVER))),
    ),
    Saboteur(2, "enforcer detached", "192.0.2.66 was reached", _before(2, _detach)),
    Saboteur(
        2,
        "every name is let through",
        "dig tracker.ads.net: ;; Got answer:",
        _before(2, _apply(_policy("plain-dns", "web", _PLAIN_DNS))),
    ),
    Saboteur(
        3,
        "agent dead: the mapping is not handed over",
        "curl http://api.example.com/: curl: (28)",
        _before(3, lambda lab: lab.agent.kill()),
    ),
    Saboteur(
        3,
        "the policy is touched",
        "revision 1 → 2",
        _before(3, _apply(WEB_EGRESS.replace('port: "80"', 'port: "8080"'))),
    ),
    Saboteur(4, "agent not killed", "agent is running", Hooks(kill_agent=_nothing)),
    Saboteur(
        4,
        "the enforcer dies with the agent",
        "192.0.2.66 was reached",
        Hooks(kill_agent=_kill_agent_and(_detach)),
    ),
    Saboteur(
        4,
        "steering off",
        "dig api.example.com: ",
        Hooks(kill_agent=_kill_agent_and(_empty_the_sockmap)),
    ),
    Saboteur(
        5,
        "agent alive again",
        "198.51.100.9 was reached",
        _before(5, _revive),
    ),
    Saboteur(6, "mappings dropped", "198.51.100.9: ", settings={"agent_dead": "drop"}),
    Saboteur(6, "queue lost", "198.51.100.9: ", _before(6, _lose_the_queue)),
    Saboteur(
        6,
        "it looks up all the time",
        "look-ups since the restart",
        _before(6, _ask_all_the_time),
    ),
    Saboteur(
        7,
        "a supported policy",
        "it is enforced",
        Hooks(unsupported=_policy("batch", "batch", _ONLY_THE_RESOLVER)),
    ),
    Saboteur(
        8,
        "its address is denied meanwhile",
        "the connection ended by itself",
        _before(9, _apply(_policy("deny-first", "web", _DENY_FIRST))),
        settings=_FAST,
    ),
    Saboteur(
        8, "no zombies", "the connection ended by itself", settings={"max_zombies": 0, **_FAST}
    ),
    Saboteur(
        9,
        "kill and start instead of surge",
        " lost, ",
        Hooks(upgrade_proxy=lambda lab: (lab.proxy.kill(), lab.proxy.start())),
    ),
)
