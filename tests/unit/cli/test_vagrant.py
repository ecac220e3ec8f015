"""The machines' commands, as far as they need no machine: a Vagrant of a few lines stands in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fqdnlab.cli import cli, main
from fqdnlab.errors import UnavailableError, UsageError
from fqdnlab.lab.backends.vagrant import VagrantBackend

VAGRANT = """\
#!/bin/sh
echo "$@" >>"$0.log"
case $1 in
status) printf '1,%s,state,%s\\n' internet running node shutoff client not_created ;;
esac
"""


@pytest.fixture
def vagrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of a program that answers as `vagrant` does."""
    program = tmp_path / "vagrant"
    program.write_text(VAGRANT)
    program.chmod(0o755)
    (tmp_path / "set").mkdir()
    (tmp_path / "set/Vagrantfile").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("FQDNLAB_VAGRANT_DIR", str(tmp_path / "set"))
    monkeypatch.delenv("FQDNLAB_VAGRANT_PREFIX", raising=False)
    return tmp_path / "vagrant.log"


@pytest.mark.parametrize("command", ["up", "halt", "destroy", "status", "payload", "box", "bundle"])
def test_each_command_has_help(command: str) -> None:
    shown = CliRunner().invoke(cli, ["vagrant", command, "--help"])
    assert shown.exit_code == 0
    assert shown.output.strip()


@pytest.mark.usefixtures("vagrant")
def test_status_tells_each_machine() -> None:
    shown = CliRunner().invoke(cli, ["vagrant", "status", "-o", "json"])
    assert json.loads(shown.stdout) == [
        {"machine": "internet", "state": "running", "address": "10.77.0.30"},
        {"machine": "node", "state": "shutoff", "address": "10.77.0.10"},
        {"machine": "client", "state": "not_created", "address": "10.77.0.20"},
    ]


def test_machines_are_destroyed_when_it_was_confirmed(vagrant: Path) -> None:
    refused = CliRunner().invoke(cli, ["vagrant", "destroy"], input="n\n")
    assert (refused.exit_code, vagrant.exists()) == (1, False)
    agreed = CliRunner().invoke(cli, ["vagrant", "destroy", "--yes"])
    assert (agreed.exit_code, "destroyed" in agreed.output) == (0, True), agreed.output
    assert "destroy --force" in vagrant.read_text()


def test_halt_halts(vagrant: Path) -> None:
    assert CliRunner().invoke(cli, ["vagrant", "halt"]).exit_code == 0
    assert vagrant.read_text() == "halt\n"


def test_where_no_machine_is_up_nothing_is_brought_up_to_be_taken_down(vagrant: Path) -> None:
    program = vagrant.with_name("vagrant")
    program.write_text(program.read_text().replace(" running ", " poweroff "))
    backend = VagrantBackend(say=lambda _: None)
    assert backend.list() == []
    assert backend.clean() == []
    with pytest.raises(UsageError, match="no lab 'x' here: no machine is up"):
        backend.down("x")
    assert set(vagrant.read_text().splitlines()) == {"status --machine-readable"}


@pytest.mark.usefixtures("vagrant")
def test_half_a_set_is_told_which_half_and_how_to_mend_it() -> None:
    with pytest.raises(UnavailableError, match="node: shutoff") as told:
        VagrantBackend(say=lambda _: None).list()
    assert told.value.remedy == "fqdnlab vagrant up"


def test_a_machine_that_is_locked_for_a_moment_is_waited_for(vagrant: Path) -> None:
    program = vagrant.with_name("vagrant")
    locked = "another Vagrant process is currently reading or modifying\nthe machine."
    once = (
        f"halt) [ -e '{vagrant}.once' ] || {{ : >'{vagrant}.once'; echo '{locked}'; exit 1; }} ;;"
    )
    program.write_text(program.read_text().replace("esac", f"{once}\nesac"))
    assert CliRunner().invoke(cli, ["vagrant", "halt"]).exit_code == 0
    assert vagrant.read_text().splitlines() == ["halt", "halt"], "once more"


def test_halted_machines_are_forgotten_where_they_were(vagrant: Path) -> None:
    dotfiles = vagrant.with_name("set") / ".vagrant"
    dotfiles.mkdir()
    for name in ("node", "node2", "client"):
        (dotfiles / f"fqdnlab-ssh-{name}").write_text("Host …")
    assert CliRunner().invoke(cli, ["vagrant", "halt"]).exit_code == 0
    assert list(dotfiles.iterdir()) == []


def test_without_a_vagrantfile_it_says_where_it_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FQDNLAB_VAGRANT_DIR", str(tmp_path))
    assert main(["vagrant", "status"]) == 4
    assert "FQDNLAB_VAGRANT_DIR" in capsys.readouterr().err


def test_a_bundle_does_not_take_the_place_of_another_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    shown = CliRunner().invoke(cli, ["vagrant", "bundle", str(tmp_path), "--without-box"])
    assert shown.exit_code == 2
    assert "no bundle" in shown.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
