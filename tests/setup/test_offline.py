"""A bundle, and a bare Debian 12 without any network that is set up from it and runs a lab."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.setup.bare_kit import run_bare, unpack

ROOT = Path(__file__).parents[2]
BUNDLE_SECONDS = 300  # with nothing in the cache: 400 MB are fetched
INSTALL_SECONDS = 300

#: What a lab is for, in short: allowed by name, refused by address, the agent killed.
LAB = """\
from fqdnlab import Lab, machine_service

with machine_service(), Lab("offline") as lab:
    web = lab.endpoint("web", labels={"app": "web"})
    lab.world["api.example.com"] = ["198.51.100.7"]
    lab.apply("notebooks/policies/web.yaml")
    print(web.connect("api.example.com", 443).ok, web.connect("198.51.100.8", 443).ok)
    print(web.run(["curl", "-sS", "-o", "/dev/null", "https://api.example.com/"]).exit)
"""


class Place(NamedTuple):
    """A bundle, and the root of a bare Debian beside it."""

    bundle: Path
    root: Path

    def run(self, *command: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        """Run `command` there, in the bundle's tree."""
        words = ["sh", "-c", 'cd /bundle/fqdnlab && exec "$@"', "sh", *command]
        return run_bare(self.root, self.bundle, *words, timeout=timeout)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A bundle of this clone, without the box (which is as it is), and a bare root."""
    folder = tmp_path_factory.mktemp("offline")
    bundle, root = folder / "a bundle", folder / "root"
    try:
        made = subprocess.run(
            [sys.executable, ROOT / "tools" / "bundle.py", bundle, "--without-box"],
            capture_output=True, text=True, timeout=BUNDLE_SECONDS,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        unpack(root)
        yield Place(bundle, root)
    finally:
        shutil.rmtree(folder)  # 2 GB: pytest would keep them


def refused(place: Place, *words: str) -> str:
    """What `./lab install --offline` says when it does not begin; nothing is changed then."""
    done = place.run("./lab", "install", "--offline", *words)
    assert done.returncode == 4, done.stdout + done.stderr
    assert not (place.bundle / "fqdnlab/.venv").exists()
    assert not (place.root / "usr/bin/make").exists()
    return done.stderr


@pytest.mark.timeout(BUNDLE_SECONDS + 360)
def test_a_bundle_has_checksums_of_all_its_files(place: Place) -> None:
    lines = (place.bundle / "SHA256SUMS").read_text().splitlines()
    told = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    files = {str(p.relative_to(place.bundle)): p for p in place.bundle.rglob("*") if p.is_file()}
    del files["SHA256SUMS"]
    assert set(told) == set(files)
    for name in ("README.txt", "fqdnlab/lab", "debs/Packages"):
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == told[name]
    lesson = "fqdnlab/notebooks/05-kill-the-agent.ipynb"
    assert {"fqdnlab/vagrant/build/payload.tar.gz", lesson} <= set(files)


def test_another_release_is_told_before_anything_is_done(place: Place) -> None:
    made_for = place.bundle / "made-for"
    kept = made_for.read_text()
    made_for.write_text("debian 11 amd64\n")
    try:
        said = refused(place)
    finally:
        made_for.write_text(kept)
    assert "made for: debian 11 amd64; this machine is: debian 12 amd64" in said


def test_a_file_that_changed_and_one_that_is_gone_are_named(place: Place) -> None:
    changed = next((place.bundle / "wheels").glob("click-*.whl"))
    gone = place.bundle / "debs/Packages"
    kept = changed.read_bytes(), gone.read_bytes()
    changed.write_bytes(kept[0][:-1] + b"?")
    gone.unlink()
    try:
        said = refused(place)
    finally:
        changed.write_bytes(kept[0])
        gone.write_bytes(kept[1])
    assert f"wheels/{changed.name}: FAILED" in said
    assert "debs/Packages" in said
    assert "Copy it again." in said


def test_a_folder_that_is_no_bundle_is_told(place: Place) -> None:
    assert "/usr is no bundle" in refused(place, "/usr")
    assert "no folder /nowhere" in refused(place, "/nowhere")


@pytest.mark.timeout(INSTALL_SECONDS + 300)
def test_a_bare_debian_without_a_network_is_set_up_and_runs_a_lab(place: Place) -> None:
    links = place.run("cat", "/proc/net/dev").stdout.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in links] == ["lo"], "there must be no network"

    done = place.run("./lab", "install", "--offline", timeout=INSTALL_SECONDS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Debian packages that are missing" in done.stderr
    assert "no daemon was started" in done.stderr
    assert not (place.root / "usr/sbin/policy-rc.d").exists()
    assert (place.root / "usr/bin/vagrant").exists()

    told = place.run("./lab", "doctor")
    assert told.returncode == 0, told.stdout + told.stderr
    lab = place.run(".venv/bin/python", "-c", LAB)
    assert lab.returncode == 0, lab.stdout + lab.stderr
    assert lab.stdout.split() == ["True", "False", "0"], lab.stdout

    again = place.run("./lab", "install", "--offline")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "missing" not in again.stderr, "the second time there is nothing to do"
    # pip knows no index in there, also later: a payload can be made again
    pip = place.run(".venv/bin/python", "-m", "pip", "download", "-d", "/tmp/x", "click")
    assert pip.returncode == 0, pip.stderr
