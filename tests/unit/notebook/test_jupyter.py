"""How JupyterLab is started, without starting it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jupyterlab.extensions import MANAGERS, ReadOnlyExtensionManager
from jupyterlab.handlers.announcements import NeverCheckForUpdate
from jupyterlab.labapp import LabApp
from traitlets.config.loader import JSONFileConfigLoader

import fqdnlab.notebook
from fqdnlab.notebook import jupyter


def test_the_folder_the_port_and_the_user_s_options(tmp_path: Path) -> None:
    words = jupyter.command(tmp_path, False, 8899, ["--ServerApp.ip=0.0.0.0"])
    assert f"--ServerApp.root_dir={tmp_path}" in words
    assert "--no-browser" in words
    assert words[-1] == "--ServerApp.ip=0.0.0.0", "the user's options come last: they win"


def test_where_there_is_a_start_it_is_opened(tmp_path: Path) -> None:
    option = "--LabApp.default_url=/lab/tree/start.ipynb"
    assert option not in jupyter.command(tmp_path, False, 8888, [])
    (tmp_path / "start.ipynb").touch()
    assert option in jupyter.command(tmp_path, False, 8888, [])


def test_our_configuration_stands_behind_the_user_s() -> None:
    env = jupyter.environment({"JUPYTER_CONFIG_PATH": "/theirs"})
    theirs, ours = env["JUPYTER_CONFIG_PATH"].split(":")
    assert theirs == "/theirs"
    assert Path(ours, "jupyter_server_config.json").exists()
    assert jupyter.environment({})["JUPYTER_CONFIG_PATH"] == ours


def test_it_fetches_nothing_by_itself() -> None:
    """As JupyterLab itself reads our configuration: its names may change with its releases."""
    ours = jupyter.environment({})["JUPYTER_CONFIG_PATH"]
    given = JSONFileConfigLoader("jupyter_server_config.json", ours).load_config()
    app = LabApp(config=given)
    assert app.news_url is None
    assert app.check_for_updates_class is NeverCheckForUpdate
    assert isinstance(MANAGERS[app.extension_manager].load()(), ReadOnlyExtensionManager)
    off = json.loads(Path(ours, "labconfig/page_config.json").read_text())["disabledExtensions"]
    assert off["@jupyterlab/apputils-extension:announcements"] is True
    assert off["@jupyterlab/extensionmanager-extension"] is True
    settings = json.loads(Path(ours, "labconfig/default_setting_overrides.json").read_text())
    told = settings["@jupyterlab/apputils-extension:notification"]
    assert told == {"fetchNews": "false", "checkForUpdates": False}


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert jupyter.main([str(tmp_path / "none")]) == 4
    assert "there is no folder" in capsys.readouterr().err


def test_every_public_name_is_what_it_says() -> None:
    """A submodule of the same name would hide it once it is imported."""
    assert all(callable(getattr(fqdnlab.notebook, name)) for name in fqdnlab.notebook.__all__)
    assert all(callable(getattr(fqdnlab.notebook, name)) for name in fqdnlab.notebook.__all__)
