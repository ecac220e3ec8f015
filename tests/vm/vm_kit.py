"""Machines for tests: a libvirtd of our own, our box, emulation; and what is left of it all."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fqdnlab.lab.backends.vagrant import VagrantBackend
from fqdnlab.vagrant.box import BOX_NAME, ensure_box
from fqdnlab.vagrant.programs import run
from fqdnlab.vagrant.site import Site

__all__ = ["ROOT", "Figures", "Host", "host", "payload_with_packages", "python", "qemus"]

ROOT = Path(__file__).parents[2]
LIBVIRT = ROOT / "vagrant" / "private-libvirt"


class Figures:
    """What was measured, beside what is wanted; told at the end of the run, never a verdict."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, what: str, value: float, wanted: float | None, unit: str) -> None:
        said = f"{what}: {value:.3g} {unit}"
        if wanted is not None:
            word = "met" if value <= wanted else "missed"
            said += f" (wanted at most {wanted:g}): {word}"
        self.lines.append(said)
        path = ROOT / "build" / "vm" / "figures.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.lines, indent=1))


@dataclass
class Host:
    """Where the machines of the tests are.

    Attributes
    ----------
    folder : Path
        Of libvirt's and Vagrant's files.
    figures : Figures
    """

    folder: Path
    figures: Figures
    backends: list[VagrantBackend] = field(default_factory=list)

    def inside(self, *words: str, timeout: float = 120.0) -> str:
        """Run a command where libvirt is."""
        ended = run([str(LIBVIRT), "run", str(self.folder / "libvirt"), *words], timeout)
        assert ended.status == 0, f"{words}: {ended.output}"
        return ended.output

    def restart(self) -> None:
        """End libvirt, and start it again."""
        for verb in ("stop", "start"):
            _program([str(LIBVIRT), verb, str(self.folder / "libvirt")], 60)

    def backend(self, say: Callable[[str], None] = lambda _: None) -> VagrantBackend:
        """One that speaks to nobody else's links; closed at the end."""
        made = VagrantBackend(Site.from_environment(), say)
        self.backends.append(made)
        return made

    def environment(self) -> dict[str, str]:
        """What reaches the machines; for a program of its own, or this process."""
        return {
            "FQDNLAB_BACKEND": "vagrant",
            "FQDNLAB_VAGRANT_PREFIX": shlex.join(
                [str(LIBVIRT), "run", str(self.folder / "libvirt")]
            ),
            "FQDNLAB_BOX": BOX_NAME,
            "FQDNLAB_EMULATE": "1",
            "FQDNLAB_PATIENCE": "5",
            "VAGRANT_HOME": str(self.folder / "home"),
            "VAGRANT_DOTFILE_PATH": str(self.folder / "state"),
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "LIBVIRT_DEFAULT_URI": "qemu:///system",
        }


@contextmanager
def host(folder: Path, figures: Figures) -> Iterator[Host]:
    """libvirt and the box; at the end, whatever happens, nothing of it is left."""
    box = ensure_box(print)
    made = Host(folder, figures)
    patch = pytest.MonkeyPatch()
    for name, value in made.environment().items():
        patch.setenv(name, value)
    try:
        _program([str(LIBVIRT), "start", str(folder / "libvirt")], 60)
        begin = time.monotonic()
        made.inside("vagrant", "box", "add", "--name", BOX_NAME, str(box))
        figures.note("box added", time.monotonic() - begin, 20, "s")
        yield made
    finally:
        for backend in made.backends:
            backend.machines.close()
        _program([str(LIBVIRT), "remove", str(folder / "libvirt")], 60)
        patch.undo()


def _program(command: list[str], timeout: float) -> None:
    ended = run(command, timeout)
    assert ended.status == 0, f"{command}: {ended.output}"


def qemus(folder: Path) -> dict[str, int]:
    """Machine → MB of this host's memory, of every QEMU where the libvirt of `folder` is."""
    found = {}
    try:
        ours = os.readlink(f"/proc/{(folder / 'libvirt' / 'pid').read_text().strip()}/ns/net")
    except FileNotFoundError:
        return {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", entry, "cmdline").read_bytes().decode().split("\0")
            guests = [w.partition("guest=fqdnlab-")[2] for w in words if "guest=fqdnlab-" in w]
            # other processes' namespaces may be hidden, from root too
            if not guests or os.readlink(f"/proc/{entry}/ns/net") != ours:
                continue
            status = Path("/proc", entry, "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in status.splitlines():
            if line.startswith("VmRSS:"):  # a zombie has none
                found[guests[0].split(",")[0]] = int(line.split()[1]) // 1024
    return found


def python(*words: str, timeout: float, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run our Python with `words`; its status and output."""
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    )
    return done.returncode, done.stdout + done.stderr


#: What `fqdnlab vagrant bundle` does for machines that have no network.
_BUNDLED = """
import sys
sys.path.insert(0, "tools")
from pathlib import Path
import bundle
debian = bundle.Debian(bundle.cache() / "debs")
try:
    bundle.add_payload(Path(sys.argv[1]), debian, Path(sys.argv[1]))
finally:
    debian.close()
"""


@contextmanager
def payload_with_packages(folder: Path) -> Iterator[None]:
    """For this time the payload is a bundle's."""
    made = ROOT / "vagrant" / "build" / "payload.tar.gz"
    kept = made.read_bytes()
    status, said = python("-c", _BUNDLED, str(folder), timeout=300)
    assert status == 0, said
    shutil.copy2(folder / "vagrant" / "build" / made.name, made)
    try:
        yield
    finally:
        made.write_bytes(kept)
