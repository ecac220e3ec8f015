"""Debian packages with all that they need, as if nothing were installed: apt, set up apart."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

RELEASE = "12"
ARCHITECTURE = "amd64"
_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org"
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PRIORITIES = ("?essential", "?priority(required)")


def node_names(provision: Path) -> list[str]:
    """The packages that provision.sh wants on a machine."""
    found = re.search(r"^for package in (.+); do$", provision.read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"bundle: {provision} names no packages any more: mend node_names")
    return found[1].split()


class Debian:
    """Debian's archive.

    Parameters
    ----------
    kept : Path
        Where downloaded packages stay.
    """

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.work = Path(tempfile.mkdtemp(prefix="fqdnlab-debs-"))
        for folder in ("lists/partial", "cache", "etc"):
            (self.work / folder).mkdir(parents=True)
        (kept / "partial").mkdir(parents=True, exist_ok=True)
        (self.work / "status").touch()
        mirror = os.environ.get("FQDNLAB_MIRROR", _MIRROR).rstrip("/")
        lines = [
            f"deb [signed-by={_KEYS}] {mirror}/{path} {suite} main\n"
            for path, suite in (
                ("debian", _SUITE),
                ("debian", f"{_SUITE}-updates"),
                ("debian-security", f"{_SUITE}-security"),
            )
        ]
        (self.work / "sources.list").write_text("".join(lines))
        self._fresh = False

    def close(self) -> None:
        """Remove what is not kept."""
        shutil.rmtree(self.work, ignore_errors=True)

    def _apt(self, *words: str) -> str:
        options = {
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures": ARCHITECTURE,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
            "Dir::Cache": self.work / "cache",
            "Dir::Cache::archives": self.kept,
            "Dir::Etc::PreferencesParts": self.work / "etc",
            "Dir::Etc::Preferences": self.work / "etc/none",
            "Dir::Etc::SourceList": self.work / "sources.list",
            "Dir::Etc::SourceParts": self.work / "etc",
            "Dir::State::Lists": self.work / "lists",
            "Dir::State::extended_states": self.work / "extended_states",
            "Dir::State::status": self.work / "status",
        }
        command = ["apt-get", "-q"]
        command += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        if done.returncode != 0:
            sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
            raise subprocess.CalledProcessError(done.returncode, ["apt-get", *words[:2]])
        return done.stdout

    def _files(self, names: Iterable[str]) -> dict[str, str]:
        """Name → file of each package that `names` come to, themselves among them."""
        if not self._fresh:
            self._apt("update")
            self._fresh = True
        # apt tells nothing of what it has already: an empty archive of its own, for the list alone
        empty = self.work / "none"
        (empty / "partial").mkdir(parents=True, exist_ok=True)
        told = self._apt(
            "-y", "-o", f"Dir::Cache::archives={empty}", "--print-uris", "install", *names
        )
        files = re.findall(r"^'\S+' (\S+\.deb) \d+ ", told, re.MULTILINE)
        return {file.partition("_")[0]: file for file in files}

    def minimal(self) -> frozenset[str]:
        """Names of what every Debian has."""
        return frozenset(self._files([*_PRIORITIES, "apt"]))

    def collect(self, names: list[str], to: Path, without: frozenset[str] = frozenset()) -> None:
        """Have `names` and what they need in `to`, with an index that apt takes."""
        files = self._files(names)
        self._apt("-y", "--download-only", "install", *names)
        to.mkdir(parents=True)
        index = []
        for name, file in sorted(files.items()):
            if name not in without:
                index.append(self._index(shutil.copy2(self.kept / file, to / _plain(file))))
        (to / "Packages").write_text("\n".join(index))

    @staticmethod
    def _index(path: Path) -> str:
        control = subprocess.run(
            ["dpkg-deb", "--field", path], capture_output=True, text=True, check=True
        ).stdout
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return f"{control}Filename: ./{path.name}\nSize: {path.stat().st_size}\nSHA256: {digest}\n"


def _plain(file: str) -> str:
    """A name without `%3a`, which an URL would have to spell `%253a`."""
    return unquote(file).replace(":", "+")
