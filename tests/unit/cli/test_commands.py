"""What needs no lab: help, completion, exit statuses, errors without a root service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fqdnlab.cli import cli, main
from fqdnlab.cli.flow_request import flow_request
from fqdnlab.lab import machine

COMMANDS = {
    "up", "down", "status", "run", "policy", "endpoint", "world", "fqdn", "flows", "agent",
    "proxy", "observer", "demo", "notebook", "doctor", "clean", "serve", "dump", "completion",
    "explain",
}  # fmt: skip


@pytest.fixture
def no_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No machine service runs at the place where it is looked for."""
    nowhere = (tmp_path / "none.sock", 90.0, "")
    monkeypatch.setattr(machine.MachineClient.__init__, "__defaults__", nowhere)


@pytest.mark.usefixtures("no_service")
@pytest.mark.parametrize("words", [["up"], ["down"], ["status"], ["clean"]])
def test_without_a_root_service_the_sudo_line_is_said(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 4
    assert "sudo fqdnlab serve" in capsys.readouterr().err


def test_help_tells_what_exit_statuses_mean() -> None:
    text = CliRunner().invoke(cli, ["--help"]).output
    for status in ("0", "1", "2", "3", "4", "5", "130"):
        assert f"\n    {status} " in text


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_has_help(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0
    assert shown.output.strip()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_for_each_shell(shell: str) -> None:
    shown = CliRunner().invoke(cli, ["completion", shell])
    assert shown.exit_code == 0
    assert "_FQDNLAB_COMPLETE" in shown.output


def test_completion_completes() -> None:
    """As bash asks: the words so far, and which of them is being typed."""
    done = subprocess.run(
        [sys.executable, "-c", "from fqdnlab.cli import cli; cli(prog_name='fqdnlab')"],
        env={"_FQDNLAB_COMPLETE": "bash_complete", "COMP_WORDS": "fqdnlab policy ",
             "COMP_CWORD": "2"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    offered = {line.partition(",")[2] for line in done.stdout.splitlines()}
    assert {"apply", "validate", "list", "delete", "match"} <= offered, done


WANTED = {
    "last": 0, "endpoint": (), "verdict": (), "name": (), "address": (), "port": (),
    "protocol": (), "since": None, "until": None,
}  # fmt: skip


def test_no_filter_asks_for_all() -> None:
    assert not flow_request(False, WANTED).whitelist


def test_a_name_and_an_endpoint_are_met_in_every_way() -> None:
    request = flow_request(
        True, {**WANTED, "endpoint": ("web",), "name": ("A.org.",), "port": (80,)}
    )
    assert request.follow
    ways = {
        (
            tuple(f.source_pod),
            tuple(f.destination_pod),
            tuple(f.destination_fqdn),
            tuple(f.dns_query),
        )
        for f in request.whitelist
    }
    asked = (r"^a\.org\.?$",)
    assert ways == {
        (("web",), (), ("a.org",), ()), (("web",), (), (), asked),
        ((), ("web",), ("a.org",), ()), ((), ("web",), (), asked),
    }  # fmt: skip
    assert all(list(f.destination_port) == ["80"] for f in request.whitelist)
