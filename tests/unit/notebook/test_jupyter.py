"""How JupyterLab is started, without starting it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fqdnlab.notebook
from fqdnlab.notebook import jupyter


def test_the_folder_the_port_and_the_user_s_options(tmp_path: Path) -> None:
    words = jupyter.command(tmp_path, False, 8899, ["--ServerApp.ip=0.0.0.0"])
    assert f"--ServerApp.root_dir={tmp_path}" in words
    assert "--no-browser" in words
    assert words[-1] == "--ServerApp.ip=0.0.0.0", "the user's options come last: they win"


def test_our_configuration_stands_behind_the_user_s() -> None:
    env = jupyter.environment({"JUPYTER_CONFIG_PATH": "/theirs"})
    theirs, ours = env["JUPYTER_CONFIG_PATH"].split(":")
    assert theirs == "/theirs"
    assert (
        json.loads(Path(ours, "jupyter_server_config.json").read_text())["LabApp"]["news_url"]
        is None
    )
    assert jupyter.environment({})["JUPYTER_CONFIG_PATH"] == ours


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert jupyter.main([str(tmp_path / "none")]) == 4
    assert "there is no folder" in capsys.readouterr().err


def test_every_public_name_is_what_it_says() -> None:
    """A submodule of the same name would hide it once it is imported."""
    assert all(callable(getattr(fqdnlab.notebook, name)) for name in fqdnlab.notebook.__all__)
    assert all(callable(getattr(fqdnlab.notebook, name)) for name in fqdnlab.notebook.__all__)
