"""What is put on a machine: the wheel and what it needs, unpacked for its Python; units; packages.

Made in a clone, once for each state of its sources; a bundle holds it ready.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from fqdnlab.errors import SetupError, UnavailableError
from fqdnlab.patience import patiently
from fqdnlab.vagrant.programs import run
from fqdnlab.vagrant.site import Site, repository

__all__ = ["BUNDLED", "PYTHON", "ensure_payload", "payload_key", "wanted_payload"]

#: The Python of the machines (FQDNLAB_VM_PYTHON): Debian 12's.
PYTHON = "3.11"
#: In the place of the key beside a payload that came in a bundle: it is good as it is, with the
#: packages that it holds for machines without a network.
BUNDLED = "bundled\n"
_PLATFORMS: tuple[str, ...] = (
    "manylinux_2_28_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
)
_PIP_SECONDS = 600.0
_SOURCES: tuple[str, ...] = (
    "fqdnlab/**/*.py",
    "fqdnlab/datapath/objects/*.o",
    "fqdnlab/notebook/js/*",
)
_SOURCES += ("pyproject.toml", "tools/constraints.txt", "vagrant/requirements.txt")
_SOURCES += ("vagrant/units/*", "vagrant/provision.sh")


def payload_key(clone: Path, python: str) -> str:
    """What tells one payload from another: a digest of the sources and the Python's version."""
    digest = hashlib.sha256(python.encode())
    for path in sorted(p for pattern in _SOURCES for p in clone.glob(pattern) if p.is_file()):
        digest.update(f"\0{path.relative_to(clone)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def ensure_payload(site: Site, say: Callable[[str], None] = lambda _: None) -> Path:
    """The payload beside the Vagrantfile, made if the sources have changed since.

    Raises
    ------
    SetupError
        If it is not there and this is no clone to make it from; if it came in a bundle, for
        another Python.
    UnavailableError
        If pip fails.
    """
    python = os.environ.get("FQDNLAB_VM_PYTHON", PYTHON)
    folder, clone = site.folder / "build", _clone_of(site)
    made, stamp = folder / "payload.tar.gz", folder / "payload.key"
    if clone is None:
        if made.exists():
            return made
        raise SetupError(f"{made} is missing", "make it in a clone, or use a bundle's folder")
    key, has = payload_key(clone, python), _text(stamp)
    if made.exists() and has == BUNDLED:
        _check_bundled(folder, python)
        return made
    if made.exists() and has == key:
        return made
    folder.mkdir(exist_ok=True)
    say("making what is put on the machines")
    with tempfile.TemporaryDirectory(prefix="payload-", dir=folder) as work:
        _make(clone, Path(work), python, key)
        fresh = Path(work, "payload.tar.gz")
        _pack(Path(work, "tree"), fresh)
        fresh.replace(made)
    (folder / "payload.id").write_text(f"{key} {python}\n")
    stamp.write_text(key)
    return made


def wanted_payload(site: Site) -> str:
    """What the machines ought to run, as their services tell it; empty: it cannot be known.

    Of a clone: its sources as they are now, whether a payload was made of them yet or not.
    """
    clone, folder = _clone_of(site), site.folder / "build"
    if clone is not None and _text(folder / "payload.key") != BUNDLED:
        return payload_key(clone, os.environ.get("FQDNLAB_VM_PYTHON", PYTHON))
    return _text(folder / "payload.id").partition(" ")[0]


def _clone_of(site: Site) -> Path | None:
    clone = repository()
    return clone if clone is not None and clone / "vagrant" == site.folder else None


def _check_bundled(folder: Path, python: str) -> None:
    has = _text(folder / "payload.id").split()[1:] or [PYTHON]
    if "FQDNLAB_VM_PYTHON" in os.environ and has != [python]:
        raise SetupError(
            f"the bundle has what machines with Python {has[0]} need, not {python}",
            f"another box, or a bundle made with FQDNLAB_VM_PYTHON={python}",
        )


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _make(clone: Path, work: Path, python: str, key: str) -> None:
    tree, wheels = work / "tree", work / "wheels"
    site = tree / "site"
    constraints = str(clone / "tools" / "constraints.txt")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(clone))
    # Binaries alone, for the machines' Python and no other: nothing is compiled there.
    there = ["--python-version", python, "--implementation", "cp", "--only-binary=:all:"]
    there += [word for platform in _PLATFORMS for word in ("--platform", platform)]
    there += ["--no-compile", "--target", str(site)]
    needs = str(clone / "vagrant" / "requirements.txt")
    _pip("install", *there, "--constraint", constraints, "--requirement", needs)
    _pip("install", *there, "--no-deps", "--upgrade", *map(str, wheels.glob("*.whl")))
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        # here, as it takes minutes where the machine is emulated
        checked = ["--invalidation-mode", "unchecked-hash"]
        _python("-m", "compileall", "-q", "-j0", *checked, "-s", str(site), str(site))
    shutil.copytree(clone / "vagrant" / "units", tree / "units")
    (tree / "python").write_text(f"{python}\n")
    (tree / "id").write_text(f"{key}\n")


def _pip(*words: str) -> None:
    _python("-m", "pip", "--quiet", "--disable-pip-version-check", *words)


def _python(*words: str) -> None:
    ended = run([sys.executable, *words], patiently(_PIP_SECONDS))
    if ended.status != 0 or ended.late:
        raise UnavailableError(
            f"{' '.join(words[:4])} … failed: {ended.output[-800:]}",
            "without a network: PIP_FIND_LINKS and PIP_NO_INDEX=1 with a folder of wheels",
        )


def _pack(tree: Path, to: Path) -> None:
    def as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode |= 0o444 | (0o111 if member.isdir() else 0)
        return member

    with tarfile.open(to, "w:gz", compresslevel=5) as archive:
        for path in sorted(tree.rglob("*")):
            archive.add(path, str(path.relative_to(tree)), recursive=False, filter=as_root)
