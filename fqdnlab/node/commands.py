"""What each process of a lab is started with (docs/architecture.md, "Processes"); pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import fqdnlab
from fqdnlab.model.place import Place
from fqdnlab.model.settings import LabSettings
from fqdnlab.node.netns import NETNS
from fqdnlab.node.plan import Plan
from fqdnlab.paths import PROXY_GID, PROXY_UID, LabPaths, netns

__all__ = ["Lab", "capture_plan", "process_plan"]

_CAP_NET_BIND_SERVICE, _CAP_NET_RAW = 10, 13


@dataclass(frozen=True)
class Lab:
    """What is fixed about a lab while it lives."""

    name: str
    settings: LabSettings
    uid: int
    gid: int
    place: Place = field(default_factory=Place)

    @property
    def paths(self) -> LabPaths:
        return LabPaths(self.name)

    def netns(self, part: str) -> str:
        """Name of one of its network namespaces."""
        return netns(self.name, part)


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", module, *arguments]


def _code() -> list[str]:
    """Directories that hold Python and fqdnlab: what a process reads of the machine's files."""
    executable = str(Path(sys.executable).resolve().parent)
    package = str(Path(fqdnlab.__file__).resolve().parents[1])
    return sorted({sys.prefix, sys.base_prefix, executable, package})


def capture_plan(namespace: str, link: str, env: dict[str, str]) -> Plan:
    """How what an endpoint's link carries is captured; raw sockets need root."""
    return Plan(_python("fqdnlab.node.capture", link), env, netns=namespace)


def process_plan(
    lab: Lab, name: str, env: dict[str, str], ready_fd: int, generation: int, socks_fd: int
) -> Plan:
    """How the process `name` of `lab` is started.

    Parameters
    ----------
    env : dict
        Its environment.
    ready_fd : int
        Descriptor on which it says that it serves.
    generation : int
        Of the proxy.
    socks_fd : int
        The proxy's descriptor of the map of its sockets; -1 for the others.
    """
    paths, ready = lab.paths, ("--ready-fd", str(ready_fd))
    common = ("--lab", lab.name, "--settings", lab.settings.to_json())
    index = ("--index", str(lab.place.index))
    node, world = str(NETNS / lab.netns("node")), str(NETNS / lab.netns("world"))
    if name == "world":
        where = ("--socket", str(paths.world_socket), "--state", str(paths.state("world")))
        metrics = ("--metrics", str(paths.metrics_socket("world")))
        return Plan(_python("fqdnlab.world", *where, *metrics, *ready), env, netns=world)
    if name == "agent":
        return Plan(_python("fqdnlab.agent", *common, *index, *ready), env, netns=node)
    if name == "observer":
        return Plan(_python("fqdnlab.observer", *common, *index, *ready), env)
    if name != "proxy":
        raise ValueError(f"no process {name!r}")
    own = ("--generation", str(generation), "--socks-fd", str(socks_fd))
    return Plan(
        _python("fqdnlab.dns.proxy", *common, *own, *ready),
        {**env, "HOME": str(paths.proxy_state), "PYTHONDONTWRITEBYTECODE": "1"},
        netns=node,
        uid=PROXY_UID,
        gid=PROXY_GID,
        capabilities=[_CAP_NET_BIND_SERVICE, _CAP_NET_RAW],
        readable=_code(),
    )
