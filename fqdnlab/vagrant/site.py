"""Where the machines are driven from: the folder, the words before commands, the environment."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import fqdnlab
from fqdnlab.errors import SetupError, UsageError

__all__ = ["SITE", "Site", "machine_names", "repository"]

#: The environment's variables that say which machines, and how they are reached.
SITE = (
    "FQDNLAB_VAGRANT_DIR",
    "FQDNLAB_VAGRANT_PREFIX",
    "FQDNLAB_NODES",
    "FQDNLAB_BOX",
    "FQDNLAB_EMULATE",
    "FQDNLAB_MEMORY",
    "FQDNLAB_CPUS",
)

_CLONE = Path(fqdnlab.__file__).resolve().parents[1]


def repository() -> Path | None:
    """The clone that this package is used from; None where it was installed from a wheel."""
    return (
        _CLONE if (_CLONE / "pyproject.toml").exists() and (_CLONE / "vagrant").is_dir() else None
    )


def machine_names(nodes: int) -> tuple[str, ...]:
    """The machines of a set with so many nodes, in the order in which they are needed."""
    return ("internet", "node", "node2")[: nodes + 1]


@dataclass(frozen=True)
class Site:
    """One set of machines.

    Attributes
    ----------
    folder : Path
        Of the Vagrantfile (FQDNLAB_VAGRANT_DIR).
    prefix : tuple of str
        The words before ``vagrant``, ``ssh`` and ``scp``, where the provider is elsewhere, as in
        a network namespace (FQDNLAB_VAGRANT_PREFIX).
    nodes : int
        1 or 2 (FQDNLAB_NODES).
    env : dict
        What vagrant and ssh are run with.
    """

    folder: Path
    prefix: tuple[str, ...] = ()
    nodes: int = 1
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> Site:
        """The set that the environment names, else that of the clone.

        Raises
        ------
        SetupError
            If there is no Vagrantfile, or no vagrant.
        UsageError
            If FQDNLAB_NODES is neither 1 nor 2.
        """
        given = os.environ.get("FQDNLAB_VAGRANT_DIR", "")
        clone = repository()
        folder = Path(given) if given else (clone / "vagrant" if clone else Path("vagrant"))
        if not (folder / "Vagrantfile").is_file():
            raise SetupError(
                f"there is no {folder / 'Vagrantfile'}",
                "FQDNLAB_VAGRANT_DIR says where it is: the folder vagrant/ of a clone or a bundle",
            )
        nodes = os.environ.get("FQDNLAB_NODES", "1")
        if nodes not in ("1", "2"):
            raise UsageError(f"FQDNLAB_NODES must be 1 or 2, not {nodes!r}")
        prefix = tuple(shlex.split(os.environ.get("FQDNLAB_VAGRANT_PREFIX", "")))
        if shutil.which(prefix[0] if prefix else "vagrant") is None:
            raise SetupError(
                f"{prefix[0] if prefix else 'vagrant'} is not installed here",
                "Debian: apt-get install vagrant vagrant-libvirt; elsewhere "
                "https://developer.hashicorp.com/vagrant/install; vagrant/README.md has the rest",
            )
        return cls(folder.resolve(), prefix, int(nodes), _environment())

    @property
    def machines(self) -> tuple[str, ...]:
        """The machines that labs need."""
        return machine_names(self.nodes)

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes, the first one first."""
        return self.machines[1:]

    @property
    def dotfiles(self) -> Path:
        """Where Vagrant keeps what it knows of the machines."""
        return self.folder / (self.env.get("VAGRANT_DOTFILE_PATH") or ".vagrant")

    def address(self, machine: str) -> str:
        """On the link between the machines; as in the Vagrantfile."""
        known = {"node": 10, "node2": 11, "client": 20, "internet": 30}
        return f"10.77.0.{known[machine]}"


def _environment() -> dict[str, str]:
    # no telephoning home
    return {**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_NO_COLOR": "1"}
