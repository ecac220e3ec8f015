"""Where a lab keeps its files: the one place that knows the names.

Two trees for each lab, because they belong to two parties::

    /run/fqdnlab/machine.sock        the machine's root service (JSON lines, SO_PEERCRED)
    /run/fqdnlab/LAB/                0700, the calling user's: what clients speak to
        node.sock  agent.sock  observer.sock  world.sock
    /run/fqdnlab/.lab/LAB/           root's
        bpf/                         the lab's own bpffs (maps and links pinned)
        node/  agent/  observer/  world/   state of each process (0700 root)
        proxy/                       1770 root:PROXY_GID: what the proxy may reach
            fqdndata.sock  records.sock  state/ (0700, the proxy's)
        rules.json                   what numbers stand for: the agent's, for the observer
        metrics/NAME.sock            Prometheus text over HTTP on a Unix socket, one a process
        log/NAME.log
        resolv/                      files bind-mounted for endpoint commands
        ca.pem                       the world's CA, for endpoint commands
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fqdnlab.errors import UsageError

__all__ = [
    "MACHINE_SOCKET",
    "PLACE_FILE",
    "PROXY_GID",
    "PROXY_UID",
    "RUN",
    "LabPaths",
    "check_lab_name",
    "netns",
]

RUN = Path("/run/fqdnlab")
MACHINE_SOCKET = RUN / "machine.sock"
#: What this machine is to labs (`fqdnlab.model.place`); not there: it holds them whole.
PLACE_FILE = Path("/etc/fqdnlab/place.json")

#: The proxy's own uid and gid: nobody else's, so that no other unprivileged process can
#: signal it or reach its files (in Debian's range for globally allocated ids, unused).
PROXY_UID = 64053
PROXY_GID = 64053

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,22}[a-z0-9])?\Z")


def check_lab_name(name: str) -> str:
    """Return `name` if it can name a lab or an endpoint.

    Raises
    ------
    UsageError
        Unless it is a DNS label of at most 24 lower-case characters.
    """
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} cannot name a lab or an endpoint",
            "use at most 24 lower-case letters, digits and inner hyphens",
        )
    return name


def netns(lab: str, part: str) -> str:
    """Name of a network namespace of a lab: ``fqdnlab-LAB-PART`` (pinned in /run/netns)."""
    return f"fqdnlab-{lab}-{part}"


@dataclass(frozen=True)
class LabPaths:
    """Every path of the lab called `lab`."""

    lab: str

    @property
    def client(self) -> Path:
        return RUN / self.lab

    @property
    def root(self) -> Path:
        return RUN / ".lab" / self.lab

    @property
    def node_socket(self) -> Path:
        return self.client / "node.sock"

    @property
    def agent_socket(self) -> Path:
        return self.client / "agent.sock"

    @property
    def observer_socket(self) -> Path:
        return self.client / "observer.sock"

    @property
    def world_socket(self) -> Path:
        return self.client / "world.sock"

    @property
    def bpf(self) -> Path:
        return self.root / "bpf"

    @property
    def proxy(self) -> Path:
        return self.root / "proxy"

    @property
    def fqdndata_socket(self) -> Path:
        return self.proxy / "fqdndata.sock"

    @property
    def records_socket(self) -> Path:
        return self.proxy / "records.sock"

    @property
    def proxy_state(self) -> Path:
        return self.proxy / "state"

    @property
    def ca(self) -> Path:
        """The world's CA where commands of endpoints may read it."""
        return self.root / "ca.pem"

    @property
    def rules_file(self) -> Path:
        return self.root / "rules.json"

    def state(self, process: str) -> Path:
        """Directory for the state of a process (``agent``, ``node``, ``observer``, ``world``)."""
        return self.root / process

    def log(self, process: str) -> Path:
        return self.root / "log" / f"{process}.log"

    def metrics_socket(self, process: str) -> Path:
        return self.root / "metrics" / f"{process}.sock"
