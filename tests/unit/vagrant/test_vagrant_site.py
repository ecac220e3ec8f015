"""The machines that the environment names; programs that are given up; keys of what is made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fqdnlab.errors import SetupError, UsageError
from fqdnlab.testing import eventually
from fqdnlab.vagrant.box import box_key
from fqdnlab.vagrant.machines import Machines
from fqdnlab.vagrant.payload import BUNDLED, ensure_payload, payload_key, wanted_payload
from fqdnlab.vagrant.programs import Background, run
from fqdnlab.vagrant.site import Site, repository

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("FQDNLAB_", "VAGRANT_"))]:
        monkeypatch.delenv(name)


def test_the_clones_folder_with_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FQDNLAB_VAGRANT_PREFIX", "env -u 'A B'")
    monkeypatch.setenv("FQDNLAB_NODES", "2")
    monkeypatch.setenv("VAGRANT_DOTFILE_PATH", "elsewhere")
    site = Site.from_environment()
    assert site.folder == ROOT / "vagrant"
    assert site.prefix == ("env", "-u", "A B")
    assert site.machines == ("internet", "node", "node2")
    assert site.node_names == ("node", "node2")
    assert site.dotfiles == ROOT / "vagrant" / "elsewhere", "as Vagrant takes it: from its folder"


def test_no_vagrant_no_vagrantfile_no_such_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FQDNLAB_VAGRANT_PREFIX", str(tmp_path / "none"))
    with pytest.raises(SetupError, match="is not installed") as missing:
        Site.from_environment()
    assert "apt-get install vagrant" in missing.value.remedy
    monkeypatch.setenv("FQDNLAB_NODES", "3")
    with pytest.raises(UsageError, match="1 or 2, not '3'"):
        Site.from_environment()
    monkeypatch.setenv("FQDNLAB_VAGRANT_DIR", str(tmp_path))
    with pytest.raises(SetupError, match=r"there is no .*Vagrantfile"):
        Site.from_environment()


def test_addresses_are_the_vagrantfiles() -> None:
    text = (ROOT / "vagrant" / "Vagrantfile").read_text()
    site = Site(ROOT / "vagrant")
    for machine in ("internet", "node", "node2", "client"):
        assert f'"{site.address(machine)}"' in text, machine


def test_a_program_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 60 & echo $$ $! > {pids}; wait"
    ended = run(["sh", "-c", script], 2.0)
    assert ended.late
    for pid in pids.read_text().split():
        eventually(lambda pid=pid: not Path("/proc", pid, "exe").exists(), 5, f"the end of {pid}")


def test_lines_come_as_they_are_written_and_the_drawn_ones_do_not() -> None:
    heard: list[str] = []
    ended = run(["printf", "one\nProgress: 3%%\ntwo\n"], 10, on_line=heard.append)
    assert ended.status == 0
    assert heard == ["one", "two"]
    assert ended.output == "one\ntwo"


def test_a_long_download_is_told_of_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fqdnlab.vagrant.programs._PROGRESS_SECONDS", 0.0)
    heard: list[str] = []
    ended = run(["printf", "one\nProgress: 3%%\ntwo\n"], 10, on_line=heard.append)
    assert heard == ["one", "Progress: 3%", "two"]
    assert ended.output == "one\ntwo", "and is not kept"


def test_what_runs_beside_us_ends_with_its_input() -> None:
    cat = Background(["cat"])
    assert cat.alive
    cat.end()
    assert not cat.alive
    cat.end()


def test_boxes_and_payloads_are_told_apart_by_what_they_are_made_of(tmp_path: Path) -> None:
    recipe = tmp_path / "box"
    shutil.copytree(ROOT / "vagrant" / "box", recipe)
    first = box_key(recipe)
    assert first == box_key(ROOT / "vagrant" / "box")
    with (recipe / "packages").open("a") as more:
        more.write("nano\n")
    assert box_key(recipe) != first
    clone = repository()
    assert clone == ROOT
    assert payload_key(ROOT, "3.11") == payload_key(ROOT, "3.11") != payload_key(ROOT, "3.12")


def test_a_bundles_payload_is_taken_as_it_is(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with pytest.raises(SetupError, match=r"payload\.tar\.gz is missing"):
        ensure_payload(site)
    (tmp_path / "build").mkdir()
    made = tmp_path / "build" / "payload.tar.gz"
    made.write_bytes(b"x")
    (tmp_path / "build" / "payload.key").write_text(BUNDLED)
    assert ensure_payload(site) == made
    assert wanted_payload(site) == "", "nobody knows"
    (tmp_path / "build" / "payload.id").write_text("abc 3.11\n")
    assert wanted_payload(site) == "abc"


def test_a_bundle_in_its_clone_is_for_one_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fqdnlab.vagrant.payload.repository", lambda: tmp_path)
    site = Site(tmp_path / "vagrant")
    build = tmp_path / "vagrant" / "build"
    build.mkdir(parents=True)
    (build / "payload.tar.gz").write_bytes(b"x")
    (build / "payload.id").write_text("abc 3.11\n")
    assert wanted_payload(site) == payload_key(tmp_path, "3.11"), "of a clone: its sources"
    (build / "payload.key").write_text(BUNDLED)
    assert wanted_payload(site) == "abc"
    assert ensure_payload(site).exists()
    monkeypatch.setenv("FQDNLAB_VM_PYTHON", "3.13")
    with pytest.raises(SetupError, match=r"Python 3\.11 need, not 3\.13"):
        ensure_payload(site)


def test_folders_of_clients_that_were_killed_are_swept_and_paths_are_short() -> None:
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    left = Path(f"/tmp/fqdnlab-ssh-{dead.stdout.strip()}-test")
    left.mkdir()
    machines = Machines(Site(ROOT / "vagrant", nodes=2))
    try:
        folder = machines.folder()
        assert not left.exists()
        assert folder.stat().st_mode & 0o777 == 0o700
        longest = folder / f"internet-{'x' * 24}.observer"
        assert len(str(longest)) < 108, "what a Unix socket's path may have"
    finally:
        machines.close()
    assert not folder.exists()
