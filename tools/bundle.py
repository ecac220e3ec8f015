"""Make one folder that sets up a bare Debian 12 with no network: `./lab bundle DIR`.

    DIR/fqdnlab/     this tree, as git would commit it; in vagrant/build/ what is put on machines
    DIR/wheels/      all that pip needs, for Python 3.11 on x86-64
    DIR/debs/        Debian packages with an index; `names`: what is wanted, which needs the rest
    DIR/box/         the box of the virtual machines
    DIR/SHA256SUMS   of every file;  DIR/made-for: the machine that it fits;  DIR/README.txt

Needs the network, git, and apt (of any release).  Downloads are kept in ~/.cache/fqdnlab.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

from bundle_debian import ARCHITECTURE, RELEASE, Debian, node_names
from bundle_wheels import collect_wheels

from fqdnlab.errors import FqdnlabError
from fqdnlab.vagrant.box import cache, ensure_box
from fqdnlab.vagrant.payload import BUNDLED, ensure_payload
from fqdnlab.vagrant.site import Site

ROOT = Path(__file__).resolve().parents[1]
_README = """\
fqdnlab, whole, for a Debian 12 (x86-64) without a network:

    cd fqdnlab
    sudo ./lab install --offline     # checks this folder, installs from it; no daemon is started
    sudo ./lab demo                  # nine claims, build/demo/report.html
    sudo ./lab notebook              # JupyterLab with the lessons

In virtual machines, and for workshops: fqdnlab/vagrant/README.md.
A stick with FAT on it forgets which files may be run: carry this folder as a tar archive.
"""


def say(text: str) -> None:
    """Tell what goes on."""
    print(f"bundle: {text}", file=sys.stderr, flush=True)


def copy_tree(to: Path) -> None:
    """The files that git would commit from this work tree, and nothing that is made."""
    for name in git_files("--cached", "--others", "--exclude-standard"):
        source = ROOT / name
        if source.is_file():  # one that is deleted and not yet committed is listed too
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to / name)
    if new := git_files("--others", "--exclude-standard"):
        say(f"taken along, though git does not know them: {', '.join(new)}")


def git_files(*which: str) -> list[str]:
    """Paths that `git ls-files` tells."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", *which]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit("bundle: this is no git clone: a bundle is made in one") from error
    return [name for name in listed.stdout.split("\0") if name]


def add_payload(tree: Path, debian: Debian, work: Path) -> None:
    """What is put on the machines, and the packages that another's box may lack, in one archive."""
    made = ensure_payload(Site(ROOT / "vagrant"), say)
    debs = work / "node-debs"
    names = node_names(ROOT / "vagrant" / "provision.sh")
    debian.collect(names, debs, without=debian.minimal())
    build = tree / "vagrant" / "build"
    build.mkdir(parents=True)
    with (
        tarfile.open(made) as old,
        tarfile.open(build / made.name, "w:gz", compresslevel=5) as new,
    ):
        for member in old:
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
        new.add(debs, "debs", filter=_as_root)
    (build / "payload.key").write_text(BUNDLED)
    shutil.copy2(made.with_name("payload.id"), build)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def packages(*commands: str) -> list[str]:
    """The Debian packages that `./lab COMMAND` needs."""
    listed = subprocess.run(
        [ROOT / "lab", "packages", *commands], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


def write_sums(folder: Path) -> int:
    """SHA256SUMS of all files in `folder`; their size in octets."""
    size, lines = 0, []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            lines.append(
                f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder)}\n"
            )
        size += path.stat().st_size
    (folder / "SHA256SUMS").write_text("".join(lines))
    return size


def make(to: Path, box: bool, vms: bool, browser: bool) -> int:
    """Make the bundle; its size in octets."""
    part = to.with_name(f"{to.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    debian = Debian(cache() / "debs")
    try:
        say("the tree")
        copy_tree(part / "fqdnlab")
        say("wheels")
        collect_wheels(ROOT, cache(), part / "wheels")
        names = packages("notebook", *(["vm"] if vms else []))
        if browser:
            names += [n for n in packages("test") if n == "chromium" or n.startswith("fonts-")]
        say(f"Debian packages: {len(names)}, and what they need")
        debian.collect(names, part / "debs")
        (part / "debs" / "names").write_text("\n".join(names) + "\n")
        if vms:
            say("what is put on the machines")
            add_payload(part / "fqdnlab", debian, debian.work)
        if box and vms:
            say("the box")
            (part / "box").mkdir()
            shutil.copy2(ensure_box(say), part / "box" / "fqdnlab-bookworm.box")
        (part / "made-for").write_text(f"debian {RELEASE} {ARCHITECTURE}\n")
        (part / "README.txt").write_text(_README)
        size = write_sums(part)
        shutil.rmtree(to, ignore_errors=True)
        part.rename(to)
    finally:
        debian.close()
        shutil.rmtree(part, ignore_errors=True)
    return size


def main(arguments: list[str]) -> int:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(prog="bundle", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without-box", action="store_true", help="the box is not put in")
    parser.add_argument("--without-vms", action="store_true", help="nothing for virtual machines")
    parser.add_argument("--with-browser", action="store_true", help="Chromium, too")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is begun is cleared away
    to = given.folder.resolve()
    if to.exists() and not (to / "made-for").exists() and any(to.iterdir()):
        say(f"{to} is there, and no bundle: another name, or remove it")
        return 2
    try:
        size = make(to, not given.without_box, not given.without_vms, given.with_browser)
    except (FqdnlabError, OSError, subprocess.CalledProcessError) as error:
        say(f"{error}")
        return 1
    say(f"{to}: {size / 1e6:.0f} MB.  Copy it; there, in fqdnlab/: sudo ./lab install --offline")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
